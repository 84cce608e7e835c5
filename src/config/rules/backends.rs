//! The servers of language models: addresses that can be reached, and their keys in files.

use crate::config::note::{Place, quoted};
use crate::config::read;
use crate::config::settings::{Settings, at};
use crate::domain::secret::Secret;

const BACKENDS: &str = "gateway.backends";

pub(super) fn apply(settings: &mut Settings) {
    for index in 0..settings.length(BACKENDS) {
        let item = at(BACKENDS, index);
        url(settings, &format!("{item}.url"));
        key(settings, &format!("{item}.api_key_file"));
    }
}

/// The model is on this host or beside it; what is farther away needs a proxy that speaks TLS.
fn url(settings: &mut Settings, path: &str) {
    let Some((text, place)) = written(settings, path) else {
        return;
    };
    let Some(rest) = text.strip_prefix("http://") else {
        let message = format!("{} is not accepted: write http://HOST:PORT", quoted(&text));
        return settings.problem(&place, path, message);
    };
    let authority = rest.trim_end_matches('/');
    let is_plain = authority.parse::<http::uri::Authority>().is_ok() && !authority.contains('@');
    if !is_plain {
        let message = format!(
            "{} is not accepted: write http://HOST:PORT without a path; `/v1` is added",
            quoted(&text)
        );
        settings.problem(&place, path, message);
    }
}

fn key(settings: &mut Settings, path: &str) {
    let Some((file, place)) = written(settings, path) else {
        return;
    };
    match read::secret(&file) {
        Ok(secret) => {
            if secret.others_may_read {
                let message = "everybody on this host may read that file: chmod 600 it";
                settings.warn(&place, path, message);
            }
            let secret = Secret::new(secret.text);
            settings.file_secrets.insert(path.to_owned(), secret);
        }
        Err(message) => settings.problem(&place, path, message),
    }
}

fn written(settings: &Settings, path: &str) -> Option<(String, Place)> {
    let entry = settings.entries.get(path)?;
    Some((entry.text.clone(), entry.place.clone()))
}
