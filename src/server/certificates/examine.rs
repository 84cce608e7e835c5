//! What can be told of the certificates while no appliance runs. Nothing is written.

use jiff::Timestamp;

use super::files::{self, Files};
use super::{authority_dir, own, pair, unusable};
use crate::config::Config;
use crate::server::ground::ca_files;
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, clock, ground};
use crate::tls::Authority;

/// The authority: whole, private, and in time.
pub(in crate::server) fn authority(config: &Config, now: Timestamp) -> Result<String, Trouble> {
    let existing = Authority::existing(&authority_dir(config));
    let Some(authority) = existing.map_err(|error| code::CA_DAMAGED.says(error.to_string()))?
    else {
        return Ok("it will be made at the first start".to_owned());
    };
    let [_, key] = ca_files(config);
    ground::key_is_private(&key)?;
    let validity = authority.validity();
    clock::after("the authority's certificate", validity.from, now)?;
    match own::standing(validity, now) {
        Some(trouble) => Err(trouble.told()),
        None => Ok(format!(
            "{} is valid until {}",
            authority.path().display(),
            validity.until.strftime("%Y-%m-%d")
        )),
    }
}

/// The files that the settings name, if they do: whole, one belongs to the other, in time, and for
/// whom visitors look.
pub(in crate::server) fn provided(
    config: &Config,
    now: Timestamp,
) -> Option<Result<String, Trouble>> {
    let pair = pair(config)?;
    let path = pair.certificate.display().to_string();
    Some(files::read(&pair).map_err(unusable).and_then(|provided| {
        let until = provided.validity.until.strftime("%Y-%m-%d").to_string();
        match Files::new(pair, provided, config).0.standing(now) {
            Some(trouble) => Err(trouble.told()),
            None => Ok(format!("{path} is valid until {until}")),
        }
    }))
}
