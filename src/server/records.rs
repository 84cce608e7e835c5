//! Opening the store, with words for each way in which that fails.

use std::path::Path;
use std::sync::Arc;

use crate::auth::token;
use crate::config::Config;
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, ground};
use crate::store::{Examined, Identity, Store, StoreError, examine};

/// A copy is looked at before the file itself is opened: opening a damaged one could change it, or
/// panic.
pub(super) fn look(config: &Config) -> Result<(), Trouble> {
    let path = config.store_path();
    match examine(&path) {
        Ok(seen) if seen.is_newer() => Err(newer(&path, &seen)),
        Err(error @ StoreError::Refused(_)) => Err(trouble(config, &error)),
        // None yet, or too large for a look: opening it says more.
        Ok(_) | Err(_) => Ok(()),
    }
}

pub(super) fn open(
    config: &Config,
    fresh: impl FnOnce() -> Identity,
) -> Result<Arc<Store>, Trouble> {
    let opened = Store::open(&config.store_path(), fresh);
    let store = opened.map_err(|error| trouble(config, &error))?;
    Ok(Arc::new(store))
}

/// Who a new appliance is.
pub(super) fn new_identity() -> Identity {
    #[expect(clippy::expect_used, reason = "`random_id` makes what an id is")]
    let appliance = token::random_id()
        .parse()
        .expect("sixteen hexadecimal digits");
    Identity {
        appliance,
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
