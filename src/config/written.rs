//! The file's tree to settings: every key that is not known, and every value of the wrong shape.

mod lists;

use crate::config::key::Key;
use crate::config::kind::Kind;
use crate::config::settings::{Settings, Spot};
use crate::config::yaml::{Node, Pair, Value};
use crate::config::{groups, keys};

/// The old name of a section, and the new one.
const RENAMED: (&str, &str) = ("nginx", "proxy");

/// What a mapping is called in the file, and where its keys are registered.
#[derive(Clone, Copy)]
struct Section<'a> {
    shown: &'a str,
    path: &'a str,
}

pub(super) fn take(root: &Node, settings: &mut Settings) {
    match &root.value {
        Value::Null => {}
        Value::Mapping(pairs) => top(pairs, settings),
        _ => {
            let place = settings.source.place(root.line);
            let message = "not settings: write keys and values, for example `demo: true`";
            settings.problem(&place, "", message);
        }
    }
    lists::fill(settings);
}

/// The old name comes last: a key under the new one is the one to keep.
fn top(pairs: &[Pair], settings: &mut Settings) {
    let here = Section {
        shown: "",
        path: "",
    };
    let (old, new): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(|pair| pair.key == RENAMED.0);
    for pair in new {
        pair_of(here, pair, settings);
    }
    for pair in old {
        renamed(pair, settings);
    }
}

fn renamed(pair: &Pair, settings: &mut Settings) {
    let (shown, path) = RENAMED;
    if !matches!(pair.value.value, Value::Null) {
        let place = settings.source.place(pair.line);
        let message = format!("the old name of `{path}`: rename the section");
        settings.warn(&place, shown, message);
    }
    section(Section { shown, path }, &pair.value, settings);
}

fn section(here: Section<'_>, node: &Node, settings: &mut Settings) {
    match &node.value {
        Value::Null => {}
        Value::Mapping(pairs) => {
            for pair in pairs {
                pair_of(here, pair, settings);
            }
        }
        _ => refuse(
            node,
            here.shown,
            "keys and values, one a line, indented",
            settings,
        ),
    }
}

fn pair_of(here: Section<'_>, pair: &Pair, settings: &mut Settings) {
    let path = joined(here.path, &pair.key);
    let shown = joined(here.shown, &pair.key);
    if !pair.key.contains(['.', '[']) {
        if let Some(key) = keys::find(&path) {
            return known(key, &shown, pair, settings);
        }
        if let Some(secret) = keys::secret_of_file(&path) {
            return secret_file(secret, &shown, &pair.value, settings);
        }
        if keys::is_section(&path) {
            let here = Section {
                shown: &shown,
                path: &path,
            };
            return section(here, &pair.value, settings);
        }
    }
    let message = match (pair.key.as_str(), keys::find(&path)) {
        ("<<", _) => "keys are not merged here: write them out".to_owned(),
        (_, Some(key)) => format!(
            "unknown key; write `{}` under `{}`",
            key.name(),
            key.section()
        ),
        (name, None) if !settings.has_enough_problems() => keys::unknown(here.path, name),
        // Only counted from here on.
        _ => String::new(),
    };
    let place = settings.source.place(pair.line);
    settings.problem(&place, &shown, message);
}

fn known(key: &'static Key, shown: &str, pair: &Pair, settings: &mut Settings) {
    if shown != key.path && settings.has(key) {
        let place = settings.source.place(pair.line);
        let path = key.path;
        let message = format!("`{path}` is written as well: keep `{path}` and remove this one");
        return settings.problem(&place, shown, message);
    }
    match key.kind {
        Kind::Groups => settings.groups = groups::read(&pair.value, settings),
        Kind::Items => lists::items(key, shown, &pair.value, settings),
        Kind::Networks => lists::networks(key, shown, &pair.value, settings),
        _ => scalar(key, key.path, shown, &pair.value, settings),
    }
}

/// One value. Nothing and an empty text count as not written: the original wrote those by itself.
fn scalar(key: &'static Key, path: &str, shown: &str, node: &Node, settings: &mut Settings) {
    let place = &settings.source.place(node.line);
    let spot = Spot { path, shown, place };
    match &node.value {
        Value::Scalar(text) if !text.is_empty() => settings.set(spot, key, text),
        Value::Null | Value::Scalar(_) => {}
        // Whatever it was, it is gone.
        other if key.kind == Kind::Anything => settings.set(spot, key, shape(other)),
        _ => refuse(node, shown, &key.kind.accepted(), settings),
    }
}

fn secret_file(secret: &'static Key, shown: &str, node: &Node, settings: &mut Settings) {
    match &node.value {
        Value::Scalar(text) if !text.is_empty() => {
            let place = settings.source.place(node.line);
            settings
                .secret_files
                .insert(secret.path, (text.clone(), place));
        }
        Value::Null | Value::Scalar(_) => {}
        _ => refuse(node, shown, "an absolute path", settings),
    }
}

/// A value of the wrong shape.
fn refuse(node: &Node, shown: &str, accepted: &str, settings: &mut Settings) {
    let place = settings.source.place(node.line);
    let shape = shape(&node.value);
    settings.problem(
        &place,
        shown,
        format!("{shape} is not accepted: write {accepted}"),
    );
}

fn joined(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Scalar(_) => "a single value",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}
