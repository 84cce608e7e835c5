//! Keys that hold lists: each entry's values have paths of their own, and a list may be a default.

use super::{Section, joined, refuse, scalar};
use crate::config::key::Key;
use crate::config::keys;
use crate::config::kind::Kind;
use crate::config::note::Place;
use crate::config::settings::{Settings, Spot, at};
use crate::config::yaml::{self, Node, Value};

/// More models or proxies than any event has.
const LENGTH_MAX: usize = 256;

/// A list of addresses and ranges, or a single one without the list.
pub(super) fn networks(key: &'static Key, shown: &str, node: &Node, settings: &mut Settings) {
    let nodes = match &node.value {
        Value::Sequence(nodes) => nodes.iter().collect(),
        _ => vec![node],
    };
    let nodes: Vec<&Node> = nodes.into_iter().filter(|node| !is_nothing(node)).collect();
    let place = settings.source.place(node.line);
    if nodes.len() > LENGTH_MAX {
        return settings.problem(&place, shown, too_long());
    }
    settings.lists.insert(key.path, (nodes.len(), place));
    for (index, node) in nodes.into_iter().enumerate() {
        scalar(key, &at(key.path, index), &at(shown, index), node, settings);
    }
}

fn too_long() -> String {
    format!("too many entries: {LENGTH_MAX} at most")
}

fn is_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(text) => text.is_empty(),
        value => matches!(value, Value::Null),
    }
}

pub(super) fn items(list: &'static Key, shown: &str, node: &Node, settings: &mut Settings) {
    let nodes = match &node.value {
        Value::Null => return,
        Value::Sequence(nodes) => nodes,
        _ => return refuse(node, shown, &list.kind.accepted(), settings),
    };
    let mut place = settings.source.place(node.line);
    if nodes.len() > LENGTH_MAX {
        return settings.problem(&place, shown, too_long());
    }
    for (index, node) in nodes.iter().enumerate() {
        let here = Section {
            shown: &at(shown, index),
            path: &at(list.path, index),
        };
        item(list, here, node, settings);
    }
    if says_the_default(list, nodes.len(), settings) {
        place = Place::Default;
        let entries = settings.entries.values_mut();
        for entry in
            entries.filter(|entry| entry.key.section().strip_suffix("[]") == Some(list.path))
        {
            entry.place = Place::Default;
        }
    }
    settings.lists.insert(list.path, (nodes.len(), place));
}

fn item(list: &Key, here: Section<'_>, node: &Node, settings: &mut Settings) {
    let Value::Mapping(pairs) = &node.value else {
        return refuse(node, here.shown, "keys and values", settings);
    };
    for pair in pairs {
        let path = joined(here.path, &pair.key);
        let shown = joined(here.shown, &pair.key);
        if let Some(key) = keys::find(&path) {
            scalar(key, &path, &shown, &pair.value, settings);
            continue;
        }
        let place = settings.source.place(pair.line);
        let message = keys::unknown(&format!("{}[]", list.path), &pair.key);
        settings.problem(&place, &shown, message);
    }
    required(list, here, node.line, settings);
}

/// What an entry means nothing without. A mistake in the entry may be just that key.
fn required(list: &Key, here: Section<'_>, line: usize, settings: &mut Settings) {
    if !settings.sound(&[here.shown]) {
        return;
    }
    let place = settings.source.place(line);
    for key in keys::inside(list).filter(|key| key.required) {
        if !settings
            .entries
            .contains_key(&joined(here.path, key.name()))
        {
            let shown = joined(here.shown, key.name());
            settings.problem(&place, &shown, "is missing: it must be written");
        }
    }
}

/// Lists that nobody wrote, as their keys have them.
pub(super) fn fill(settings: &mut Settings) {
    for key in keys::all().filter(|key| key.kind == Kind::Items) {
        if !settings.lists.contains_key(key.path) {
            default_of(key, settings);
        }
    }
}

fn default_of(list: &'static Key, settings: &mut Settings) {
    let default = yaml::parse(list.default).map(|node| node.value);
    let Ok(Value::Sequence(nodes)) = default else {
        return;
    };
    let place = &Place::Default;
    settings
        .lists
        .insert(list.path, (nodes.len(), Place::Default));
    for (index, node) in nodes.into_iter().enumerate() {
        let Value::Mapping(pairs) = node.value else {
            continue;
        };
        for pair in pairs {
            let path = &joined(&at(list.path, index), &pair.key);
            if let (Some(key), Value::Scalar(text)) = (keys::find(path), &pair.value.value) {
                let spot = Spot {
                    path,
                    shown: path,
                    place,
                };
                settings.set(spot, key, text);
            }
        }
    }
}

/// The original wrote its defaults into every file; nobody chose those.
fn says_the_default(list: &'static Key, length: usize, settings: &Settings) -> bool {
    let mut default = Settings::default();
    default_of(list, &mut default);
    let same = |key: &Key| {
        let mut paths = (0..length).map(|index| joined(&at(list.path, index), key.name()));
        paths.all(|path| default.text(&path) == settings.text(&path))
    };
    default.length(list.path) == length && keys::inside(list).all(same)
}
