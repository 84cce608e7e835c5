//! A new certificate authority in the place of the present one.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::api::CaView;
use crate::config::Config;
use crate::server::doors::ca_view;
use crate::server::listeners::only_one;
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, certificates, ground, privileges};
use crate::tls;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Rotated {
    pub ca: CaView,
    /// Where the one from before is now, if there was one.
    pub kept: Option<PathBuf>,
}

/// Refused while an appliance runs with these settings: it would go on with the authority that it
/// has in memory, and show participants the wrong fingerprint.
pub fn rotate_authority(config: &Config) -> anyhow::Result<Rotated> {
    tls::install_provider();
    let _lock = only_one(&config.runtime_dir).map_err(stopped_first)?;
    ground::private_dir(&config.state_dir, "state_dir")?;
    let rotated = certificates::rotate(config, Timestamp::now());
    // In any case: a lock of root's would keep the service from starting.
    privileges::give_to_owner(&[&config.state_dir, &config.runtime_dir], &config.state_dir)?;
    let (authority, kept) = rotated?;
    Ok(Rotated {
        ca: ca_view(&authority),
        kept,
    })
}

fn stopped_first(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Trouble>() {
        Ok(running) if running.entry == &code::SECOND => running
            .with_hint("the authority is exchanged while the appliance is stopped only: stop it, then try again")
            .into(),
        Ok(trouble) => trouble.into(),
        Err(error) => error,
    }
}
