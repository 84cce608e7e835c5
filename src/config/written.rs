//! The file's tree to settings: every key that is not known, and every value of the wrong shape.

use crate::config::key::Key;
use crate::config::kind::Kind;
use crate::config::note::Place;
use crate::config::settings::{Settings, at};
use crate::config::yaml::{self, Node, Pair, Value};
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
    let top = Section {
        shown: "",
        path: "",
    };
    match &root.value {
        Value::Null => {}
        Value::Mapping(pairs) => {
            let (old, new): (Vec<&Pair>, Vec<&Pair>) =
                pairs.iter().partition(|pair| pair.key == RENAMED.0);
            new.into_iter()
                .for_each(|pair| pair_of(top, pair, settings));
            old.into_iter().for_each(|pair| renamed(pair, settings));
        }
        _ => {
            let place = settings.source.place(root.line);
            settings.problem(
                &place,
                "",
                "not settings: write keys and values, for example `demo: true`",
            );
        }
    }
    defaults_of_lists(settings);
}

/// After everything else: a key under the new name is the one to keep.
fn renamed(pair: &Pair, settings: &mut Settings) {
    let (shown, path) = RENAMED;
    if !matches!(pair.value.value, Value::Null) {
        let place = settings.source.place(pair.line);
        settings.warn(
            &place,
            shown,
            format!("the old name of `{path}`: rename the section"),
        );
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
        other => {
            let place = settings.source.place(node.line);
            let message = format!(
                "{} is not accepted: keys and values belong here, one a line, indented",
                shape(other)
            );
            settings.problem(&place, here.shown, message);
        }
    }
}

fn pair_of(here: Section<'_>, pair: &Pair, settings: &mut Settings) {
    let path = joined(here.path, &pair.key);
    let shown = joined(here.shown, &pair.key);
    let place = settings.source.place(pair.line);
    if pair.key.contains(['.', '[']) {
        let message = match keys::find(&path) {
            Some(key) => format!(
                "unknown key; write `{}` under `{}`",
                key.name(),
                key.section()
            ),
            None => "unknown key".to_owned(),
        };
        return settings.problem(&place, &shown, message);
    }
    if let Some(key) = keys::find(&path) {
        if here.shown != here.path && settings.entries.contains_key(&path) {
            let message = format!("`{path}` is written as well: keep `{path}` and remove this one");
            settings.problem(&place, &shown, message);
            return;
        }
        return value(key, &shown, &pair.value, settings);
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
    let message = match pair.key.as_str() {
        "<<" => "keys are not merged here: write them out".to_owned(),
        name => keys::unknown(here.path, name),
    };
    settings.problem(&place, &shown, message);
}

fn value(key: &'static Key, shown: &str, node: &Node, settings: &mut Settings) {
    match key.kind {
        Kind::Groups => settings.groups = groups::read(node, settings),
        Kind::Items => items(key, shown, node, settings),
        Kind::Networks => networks(key, shown, node, settings),
        _ => scalar(key, key.path, shown, node, settings),
    }
}

/// One value. Nothing and an empty text count as not written: the original wrote those by itself.
fn scalar(key: &'static Key, path: &str, shown: &str, node: &Node, settings: &mut Settings) {
    let place = settings.source.place(node.line);
    match &node.value {
        Value::Null => {}
        Value::Scalar(text) if text.is_empty() => {}
        Value::Scalar(text) => settings.set_shown(path, shown, key, text, &place),
        // Whatever it was, it is gone.
        other if key.kind == Kind::Anything => settings.set(path, key, shape(other), &place),
        other => {
            let accepted = key.kind.accepted();
            settings.problem(
                &place,
                shown,
                format!("{} is not accepted: write {accepted}", shape(other)),
            );
        }
    }
}

fn secret_file(secret: &'static Key, shown: &str, node: &Node, settings: &mut Settings) {
    let place = settings.source.place(node.line);
    match &node.value {
        Value::Null => {}
        Value::Scalar(text) if text.is_empty() => {}
        Value::Scalar(text) => {
            settings
                .secret_files
                .insert(secret.path, (text.clone(), place));
        }
        other => settings.problem(
            &place,
            shown,
            format!("{} is not accepted: write a path", shape(other)),
        ),
    }
}

/// A list of addresses and ranges, or a single one without the list.
fn networks(key: &'static Key, shown: &str, node: &Node, settings: &mut Settings) {
    let nodes = match &node.value {
        Value::Null => return,
        Value::Sequence(nodes) => nodes.iter().collect(),
        _ => vec![node],
    };
    let nothing = |node: &Node| match &node.value {
        Value::Scalar(text) => text.is_empty(),
        value => matches!(value, Value::Null),
    };
    let nodes: Vec<&Node> = nodes.into_iter().filter(|node| !nothing(node)).collect();
    let place = settings.source.place(node.line);
    settings.lists.insert(key.path, (nodes.len(), place));
    for (index, node) in nodes.iter().enumerate() {
        scalar(key, &at(key.path, index), &at(shown, index), node, settings);
    }
}

fn items(list: &'static Key, shown: &str, node: &Node, settings: &mut Settings) {
    let place = settings.source.place(node.line);
    let nodes = match &node.value {
        Value::Null => return,
        Value::Sequence(nodes) => nodes,
        other => {
            let accepted = list.kind.accepted();
            let message = format!("{} is not accepted: write {accepted}", shape(other));
            return settings.problem(&place, shown, message);
        }
    };
    settings.lists.insert(list.path, (nodes.len(), place));
    for (index, node) in nodes.iter().enumerate() {
        let here = Section {
            shown: &at(shown, index),
            path: &at(list.path, index),
        };
        item(list, here, node, settings);
    }
    if says_the_default(list, nodes.len(), settings) {
        settings
            .lists
            .insert(list.path, (nodes.len(), Place::Default));
        let inside = settings.entries.iter_mut();
        let inside =
            inside.filter(|(_, entry)| entry.key.section().strip_suffix("[]") == Some(list.path));
        inside.for_each(|(_, entry)| entry.place = Place::Default);
    }
}

fn item(list: &Key, here: Section<'_>, node: &Node, settings: &mut Settings) {
    let Value::Mapping(pairs) = &node.value else {
        let place = settings.source.place(node.line);
        let message = format!(
            "{} is not accepted: write `name: value` pairs",
            shape(&node.value)
        );
        return settings.problem(&place, here.shown, message);
    };
    for pair in pairs {
        let path = joined(here.path, &pair.key);
        let shown = joined(here.shown, &pair.key);
        match keys::find(&path) {
            Some(key) => scalar(key, &path, &shown, &pair.value, settings),
            None => {
                let place = settings.source.place(pair.line);
                let message = keys::unknown(&at_any(list.path), &pair.key);
                settings.problem(&place, &shown, message);
            }
        }
    }
    required(list, here, node.line, settings);
}

/// What an entry means nothing without. A mistake in the entry may be just that key.
fn required(list: &Key, here: Section<'_>, line: usize, settings: &mut Settings) {
    let place = settings.source.place(line);
    for key in inside(list).filter(|key| key.required) {
        let path = joined(here.path, key.name());
        if !settings.entries.contains_key(&path) && settings.sound(&[here.shown]) {
            settings.problem(
                &place,
                &joined(here.shown, key.name()),
                "is missing: it must be written",
            );
        }
    }
}

/// The keys of a list's entries.
fn inside(list: &Key) -> impl Iterator<Item = &'static Key> {
    let list = list.path;
    keys::all().filter(move |key| key.section().strip_suffix("[]") == Some(list))
}

/// Lists that nobody wrote, as their keys have them.
fn defaults_of_lists(settings: &mut Settings) {
    for key in keys::all().filter(|key| key.kind == Kind::Items) {
        if !settings.lists.contains_key(key.path) {
            default_of(key, settings);
        }
    }
}

fn default_of(list: &'static Key, settings: &mut Settings) {
    let Ok(node) = yaml::parse(list.default) else {
        return;
    };
    let Value::Sequence(nodes) = &node.value else {
        return;
    };
    settings
        .lists
        .insert(list.path, (nodes.len(), Place::Default));
    for (index, node) in nodes.iter().enumerate() {
        let Value::Mapping(pairs) = &node.value else {
            continue;
        };
        for pair in pairs {
            let path = joined(&at(list.path, index), &pair.key);
            if let (Some(key), Value::Scalar(text)) = (keys::find(&path), &pair.value.value) {
                settings.set(&path, key, text, &Place::Default);
            }
        }
    }
}

/// The original wrote its defaults into every file; nobody chose those.
fn says_the_default(list: &'static Key, length: usize, settings: &Settings) -> bool {
    let mut default = Settings::default();
    default_of(list, &mut default);
    default.length(list.path) == length
        && inside(list).all(|key| {
            (0..length).all(|index| {
                let path = joined(&at(list.path, index), key.name());
                default.text(&path) == settings.text(&path)
            })
        })
}

fn joined(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    }
}

/// Where the keys of a list's entries are registered.
fn at_any(list: &str) -> String {
    format!("{list}[]")
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Scalar(_) => "a single value",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}
