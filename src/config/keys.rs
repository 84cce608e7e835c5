//! Every key there is, section by section, and how to find one.

mod accounts;
mod base;
mod gateway;
mod lemonade;
mod proxy;
mod sandbox;

use crate::config::key::{Key, Status};

/// A longer word is no typing mistake.
const NAME_CHARS_MAX: usize = 64;

/// A part of the file and what it is about.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) keys: &'static [Key],
}

/// In the order of the reference.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "",
        meaning: "The event and this host",
        keys: base::ROOT,
    },
    Section {
        name: "proxy",
        meaning: "The public listener, its certificate, and how participants reach it",
        keys: proxy::PROXY,
    },
    Section {
        name: "dashboard",
        meaning: "The admin listener",
        keys: proxy::DASHBOARD,
    },
    Section {
        name: "sandbox",
        meaning: "What each participant's instance is made of",
        keys: sandbox::SANDBOX,
    },
    Section {
        name: "workspace",
        meaning: "Where participants' files are kept",
        keys: sandbox::WORKSPACE,
    },
    Section {
        name: "vscode",
        meaning: "What the editor is given",
        keys: sandbox::VSCODE,
    },
    Section {
        name: "gateway",
        meaning: "The way to the language model, and how it is shared",
        keys: gateway::GATEWAY,
    },
    Section {
        name: "lemonade",
        meaning: "The server of the language model",
        keys: lemonade::LEMONADE,
    },
    Section {
        name: "kilo",
        meaning: "Kilo Code, the agent in the editor",
        keys: accounts::KILO,
    },
    Section {
        name: "langfuse",
        meaning: "Where the model's use is traced to",
        keys: accounts::LANGFUSE,
    },
    Section {
        name: "auth",
        meaning: "How organizers sign in",
        keys: accounts::AUTH,
    },
];

pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The keys of a list's entries.
pub(super) fn inside(list: &Key) -> impl Iterator<Item = &'static Key> {
    let list = list.path;
    all().filter(move |key| key.section().strip_suffix("[]") == Some(list))
}

/// The key of a path, in which `[7]` stands for `[]`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    let Some((list, rest)) = path.split_once('[') else {
        return all().find(|key| key.path == path);
    };
    let (_, name) = rest.split_once(']')?;
    if name.is_empty() {
        return all().find(|key| key.path == list);
    }
    let path = format!("{list}[]{name}");
    all().find(|key| key.path == path)
}

/// The secret that `path` names a file for.
pub(super) fn secret_of_file(path: &str) -> Option<&'static Key> {
    let secret = path.strip_suffix("_file")?;
    all().find(|key| key.has_file() && key.path == secret)
}

/// Whether keys stand below this path.
pub(super) fn is_section(path: &str) -> bool {
    all().any(|key| {
        let rest = key.path.strip_prefix(path);
        rest.is_some_and(|rest| rest.starts_with('.'))
    })
}

/// What to say of a key that nobody knows.
pub(super) fn unknown(section: &str, name: &str) -> String {
    let known = names_in(section);
    if let Some(nearest) = nearest(name, &known) {
        return format!("unknown key; did you mean `{nearest}`?");
    }
    let elsewhere = all().find(|key| key.name() == name && !key.path.contains('['));
    if let Some(key) = elsewhere {
        return format!("unknown key here; did you mean `{}`?", key.path);
    }
    format!("unknown key; known here: {}", known.join(", "))
}

/// What may be written in a section: keys and sections, each once.
fn names_in(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in all().filter(|key| key.status != Status::Gone) {
        let inside = match section {
            "" => Some(key.path),
            _ => key
                .path
                .strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.')),
        };
        let name = inside.and_then(|inside| inside.split(['.', '[']).next());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The known word that a typing mistake is nearest to. A short word has little room for mistakes.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let length = written.chars().count();
    // Comparing takes time and memory with the length, and no known word is that long.
    if length > NAME_CHARS_MAX {
        return None;
    }
    let room = (length / 2).min(3);
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, written), *known))
        .min()
        .filter(|(distance, _)| *distance <= room)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::kind::Kind;

    #[test]
    fn every_key_says_what_it_is_for() {
        for key in all() {
            assert!(key.meaning.len() > 6, "{} has no meaning", key.path);
            assert!(
                !key.meaning.ends_with('.'),
                "{}: a phrase, no full stop",
                key.path
            );
            assert!(
                key.meaning.is_ascii() && !key.meaning.contains('|'),
                "{}",
                key.path
            );
        }
    }

    #[test]
    fn every_key_leads_to_something() {
        let readers = [
            include_str!("build.rs"),
            include_str!("build/gateway.rs"),
            include_str!("build/later.rs"),
            include_str!("rules.rs"),
            include_str!("rules/backends.rs"),
            include_str!("rules/certificates.rs"),
            include_str!("settings.rs"),
        ]
        .concat();
        for key in all().filter(|key| key.status != Status::Gone) {
            let whole = readers.contains(&format!("\"{}\"", key.path));
            let last = readers.contains(&format!(".{}\"", key.name()));
            let groups = key.kind == Kind::Groups;
            assert!(whole || last || groups, "nobody reads {}", key.path);
        }
    }

    #[test]
    fn no_key_and_no_variable_is_there_twice() {
        let mut seen = BTreeSet::new();
        for name in all()
            .flat_map(|key| [Some(key.path), key.variable])
            .flatten()
        {
            assert!(seen.insert(name), "{name}");
        }
    }

    #[test]
    fn every_default_is_accepted_by_its_own_key() {
        for key in all().filter(|key| !key.default.is_empty()) {
            if !matches!(key.kind, Kind::Groups | Kind::Items | Kind::Networks) {
                assert_eq!(
                    key.kind.checked(key.default).as_deref(),
                    Some(key.default),
                    "{}",
                    key.path
                );
            }
        }
    }

    #[test]
    fn a_typing_mistake_is_told_apart_from_another_word() {
        assert_eq!(
            unknown("proxy", "htps_listen"),
            "unknown key; did you mean `https_listen`?"
        );
        assert_eq!(unknown("", "grups"), "unknown key; did you mean `groups`?");
        assert_eq!(
            unknown("", "trusted_proxies"),
            "unknown key here; did you mean `proxy.trusted_proxies`?"
        );
        assert!(unknown("workspace", "nonsense").starts_with("unknown key; known here: mode, dir"));
    }
}
