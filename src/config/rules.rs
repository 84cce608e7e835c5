//! Rules over several keys, old words for new ones, and what is accepted without effect.

mod backends;
mod certificates;
mod listeners;

use std::collections::BTreeMap;

use crate::config::env::{self, Places, Vars};
use crate::config::key::Status;
use crate::config::kind::Kind;
use crate::config::note::{Place, quoted};
use crate::config::settings::Settings;
use crate::config::{SANDBOX_IMAGE, keys};

/// The original's image, which no registry that this program knows has.
const ORIGINAL_IMAGE: &str = "waterpistol/thon";

/// More names than these say no more.
const NAMES_MAX: usize = 6;

pub(super) fn apply(vars: &dyn Vars, settings: &mut Settings) {
    home(vars, settings);
    gone(settings);
    later(settings);
    address(settings);
    image(settings);
    access(settings);
    certificates::apply(settings);
    backends::apply(settings);
    workspace(settings);
    sign_in(settings);
    docker_host(vars, settings);
    permissions(settings);
    places(vars, settings);
    listeners::apply(settings);
}

/// `~/` as a shell would read it.
fn home(vars: &dyn Vars, settings: &mut Settings) {
    let Some(home) = vars.value(env::HOME) else {
        return;
    };
    for entry in settings.entries.values_mut() {
        if let (Kind::RelativePath, Some(rest)) = (entry.key.kind, entry.text.strip_prefix("~/")) {
            entry.text = format!("{home}/{rest}");
        }
    }
}

fn gone(settings: &mut Settings) {
    let found = settings.set_in(Status::Gone).into_iter();
    let found: Vec<_> = found
        .map(|(path, entry)| (path.to_owned(), entry.place.clone(), entry.key.meaning))
        .collect();
    for (path, place, instead) in found {
        settings.warn(&place, &path, instead);
    }
}

/// One warning for each section, at the first of its keys.
fn later(settings: &mut Settings) {
    let mut sections: BTreeMap<&str, (Place, Vec<&str>)> = BTreeMap::new();
    for (_, entry) in settings.set_in(Status::Later) {
        let path = entry.key.path;
        let (section, name) = path.split_once('.').unwrap_or(("", path));
        let name = name.split('[').next().unwrap_or(name);
        let (place, names) = sections
            .entry(section)
            .or_insert_with(|| (entry.place.clone(), Vec::new()));
        if entry.place < *place {
            *place = entry.place.clone();
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for (section, (place, names)) in sections {
        let more = if names.len() > NAMES_MAX { ", …" } else { "" };
        let names: Vec<&str> = names.into_iter().take(NAMES_MAX).collect();
        let names = names.join(", ");
        let message = format!("accepted, and of no effect in this version: {names}{more}");
        settings.warn(&place, section, message);
    }
}

/// Both spellings of the address are one setting; the environment wins over both.
fn address(settings: &mut Settings) {
    let Some(nested) = settings.entries.remove("proxy.external_ip") else {
        return;
    };
    let outer = settings.written("external_ip");
    if !matches!(outer, Some(Place::Variable(_))) {
        settings.follow("external_ip", &nested.text, nested.place);
    }
}

fn image(settings: &mut Settings) {
    let is_original = |text: &str| {
        let rest = text.strip_prefix(ORIGINAL_IMAGE);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
    };
    let Some(place) = settings.written("sandbox.image").cloned() else {
        return;
    };
    if settings.text("sandbox.image").is_some_and(is_original) {
        let message = format!(
            "the original's image is not used: `{SANDBOX_IMAGE}`, which `thon up` builds on this host, takes its place"
        );
        settings.warn(&place, "sandbox.image", message);
        settings.follow("sandbox.image", SANDBOX_IMAGE, place);
    }
}

/// The original's passwords for everybody. What is written as `access` wins.
fn access(settings: &mut Settings) {
    let written = settings.entries.contains_key("sandbox.access");
    if let (true, false, Some(place)) = (
        settings.flag("vscode.secure"),
        written,
        settings.written("vscode.secure").cloned(),
    ) {
        settings.follow("sandbox.access", "password", place);
    }
}

fn workspace(settings: &mut Settings) {
    // The original had no `mode`: a directory meant bind mounts.
    let dir = settings.path("workspace.dir");
    if settings.text("workspace.mode").is_none() && settings.sound(&["workspace.mode"]) {
        let mode = if dir.is_some() { "bind" } else { "volume" };
        settings.follow("workspace.mode", mode, Place::Default);
    }
    let absolute = dir.is_some_and(|dir| dir.is_absolute());
    if settings.text("workspace.mode") == Some("bind") && !absolute {
        let entries = [
            settings.entries.get("workspace.dir"),
            settings.entries.get("workspace.mode"),
        ];
        let place = entries
            .into_iter()
            .flatten()
            .next()
            .map(|entry| entry.place.clone());
        settings.problem(
            &place.unwrap_or(Place::Default),
            "workspace.dir",
            "bind mounts need an absolute directory, for example /thon-workspace",
        );
    }
}

/// Half of a client is none.
fn sign_in(settings: &mut Settings) {
    let mut clients = 0;
    for provider in ["github", "gitlab", "linkedin"] {
        let id = format!("auth.{provider}.client_id");
        let secret = format!("auth.{provider}.client_secret");
        let place = |path: &str| settings.entries.get(path).map(|entry| entry.place.clone());
        let missing = match (place(&id), place(&secret)) {
            (Some(_), Some(_)) => {
                clients += 1;
                continue;
            }
            (None, None) => continue,
            (Some(place), None) => (place, secret),
            (None, Some(place)) => (place, id),
        };
        clients += 1;
        if settings.sound(&[&missing.1, &format!("{}_file", missing.1)]) {
            settings.problem(
                &missing.0,
                &missing.1,
                "is missing: the service asks for both",
            );
        }
    }
    let password = settings.text("auth.local_password").is_some();
    let place = settings.written("auth.enabled").cloned();
    if let Some(place) = place.filter(|_| clients == 0 && !password && settings.sound(&["auth"])) {
        settings.problem(
            &place,
            "auth.enabled",
            "nobody could sign in: write `client_id` and `client_secret` of github, gitlab or linkedin",
        );
    }
}

/// Only a socket of this host: instances are on a bridge that only this host can reach.
fn docker_host(vars: &dyn Vars, settings: &mut Settings) {
    let Some(text) = vars.value(env::DOCKER_HOST) else {
        return;
    };
    let path = text.strip_prefix("unix://");
    if let Some(path) = path.filter(|path| path.starts_with('/')) {
        settings.docker_socket = Some(path.into());
        return;
    }
    let message = format!(
        "{} is not accepted: Docker must be on this host, write unix:///var/run/docker.sock",
        quoted(&text)
    );
    settings.problem(&Place::Variable(env::DOCKER_HOST.to_owned()), "", message);
}

/// A file that everybody can read is no place for a secret; one that everybody can write decides what
/// root does.
fn permissions(settings: &mut Settings) {
    if settings.source.others_may_write {
        let place = settings.source.place(0);
        settings.warn(
            &place,
            "",
            "everybody on this host may write it: chmod 600 the file",
        );
    }
    let in_file = |place: &Place| matches!(place, Place::File { .. });
    let mut secrets = settings.entries.iter().filter(|(path, entry)| {
        let own = settings.secret_files.contains_key(path.as_str());
        entry.key.has_file() && in_file(&entry.place) && !own
    });
    let found = secrets
        .next()
        .map(|(path, entry)| (path.clone(), entry.place.clone()));
    if let Some((path, place)) = found.filter(|_| settings.source.others_may_read) {
        let message = format!(
            "everybody on this host may read this secret: chmod 600 the file, or write `{path}_file`"
        );
        settings.warn(&place, &path, message);
    }
}

/// Where things are, if nobody says so.
fn places(vars: &dyn Vars, settings: &mut Settings) {
    let places = Places::of(vars);
    for (path, default) in [
        ("state_dir", places.state_dir),
        ("runtime_dir", places.runtime_dir),
    ] {
        if settings.text(path).is_some() || !settings.sound(&[path]) {
            continue;
        }
        let text = default.display().to_string();
        if Kind::AbsolutePath.checked(&text).is_some() {
            settings.follow(path, &text, Place::Default);
        } else {
            let name = keys::find(path)
                .and_then(|key| key.variable)
                .unwrap_or_default();
            let message = format!(
                "{} is no absolute path: set HOME, {name} or this key",
                quoted(&text)
            );
            settings.problem(&Place::Default, path, message);
        }
    }
}
