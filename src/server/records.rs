//! Opening the store, with words for each way in which that fails.

use std::path::Path;
use std::sync::Arc;

use crate::auth::token;
use crate::config::Config;
use crate::domain::id::ApplianceId;
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, ground};
use crate::store::{Examined, Identity, Looked, Store, StoreError};

/// Before anything is written, here or elsewhere.
pub(super) fn look(config: &Config) -> Result<Looked, Trouble> {
    let path = config.store_path();
    let looked = Store::look(&path).map_err(|error| trouble(config, &error))?;
    if looked.examined.is_newer() {
        return Err(newer(&path, &looked.examined));
    }
    Ok(looked)
}

pub(super) fn open(
    config: &Config,
    looked: Looked,
    fresh: impl FnOnce() -> Identity,
) -> Result<Arc<Store>, Trouble> {
    let opened = Store::open_looked(looked, fresh);
    let store = opened.map_err(|error| trouble(config, &error))?;
    Ok(Arc::new(store))
}

/// Who a new appliance is.
pub(super) fn new_identity() -> Identity {
    Identity {
        appliance: ApplianceId::from_bits(token::id_bits()),
        editor_key: token::editor_key(),
    }
}

pub(super) fn newer(path: &Path, seen: &Examined) -> Trouble {
    let schema = seen.schema.unwrap_or_default();
    code::STORE_NEWER.says(format!(
        "{} has schema {schema}, which this version does not know",
        path.display()
    ))
}

fn trouble(config: &Config, error: &StoreError) -> Trouble {
    let room = ground::room(&config.state_dir).unwrap_or(u64::MAX);
    let entry = match error {
        StoreError::InUse(_) => &code::STORE_IN_USE,
        _ if room < ground::ROOM_BYTES_MIN => return ground::full(&config.state_dir, room),
        _ => &code::STORE_DAMAGED,
    };
    entry.says(error.to_string())
}
