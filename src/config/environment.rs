//! The environment over the file, and the secrets that are in files of their own.

use crate::config::env::{self, Vars};
use crate::config::key::Key;
use crate::config::keys;
use crate::config::note::Place;
use crate::config::read;
use crate::config::settings::{Settings, Spot};

pub(super) fn take(vars: &dyn Vars, settings: &mut Settings) {
    for key in keys::all() {
        let Some(name) = key.variable else {
            continue;
        };
        let file = key.has_file().then(|| format!("{name}_FILE"));
        let file = file.and_then(|file| Some((vars.value(&file)?, file)));
        match (vars.value(name), file) {
            (None, None) => {}
            (Some(text), None) => {
                settings.secret_files.remove(key.path);
                let place = Place::Variable(name.to_owned());
                settings.set(spot(key.path, &place), key, &text);
            }
            (None, Some((path, file))) => {
                settings.entries.remove(key.path);
                settings
                    .secret_files
                    .insert(key.path, (path, Place::Variable(file)));
            }
            (Some(_), Some((_, file))) => {
                let message = format!("{name} is set as well: keep one of them");
                settings.problem(&Place::Variable(file), key.path, message);
            }
        }
    }
    gone(vars, settings);
    secrets(settings);
}

fn gone(vars: &dyn Vars, settings: &mut Settings) {
    for (name, instead) in env::GONE {
        if vars.value(name).is_some() {
            settings.warn(&Place::Variable(name.to_owned()), "", instead);
        }
    }
}

/// Reads each secret that is in a file.
fn secrets(settings: &mut Settings) {
    for (path, (file, place)) in settings.secret_files.clone() {
        let Some(key) = keys::find(path) else {
            continue;
        };
        let shown = format!("{path}_file");
        if settings.entries.contains_key(path) {
            settings.problem(
                &place,
                &shown,
                format!("`{path}` is written as well: keep one of them"),
            );
            continue;
        }
        match read::secret(&file) {
            Ok(secret) => read_from(key, &secret, &shown, &place, settings),
            Err(message) => settings.problem(&place, &shown, message),
        }
    }
}

fn read_from(
    key: &'static Key,
    secret: &read::SecretFile,
    shown: &str,
    place: &Place,
    settings: &mut Settings,
) {
    if secret.others_may_read {
        settings.warn(
            place,
            shown,
            "everybody on this host may read that file: chmod 600 it",
        );
    }
    settings.set(spot(key.path, place), key, &secret.text);
}

fn spot<'a>(path: &'a str, place: &'a Place) -> Spot<'a> {
    Spot {
        path,
        shown: path,
        place,
    }
}
