//! Groups and their users, in every form that the original took, with every mistake named.

use std::collections::HashSet;

use crate::config::keys::nearest;
use crate::config::note::{Place, quoted};
use crate::config::settings::Settings;
use crate::config::yaml::{Node, Pair, Value};
use crate::config::{ConfiguredGroup, ConfiguredUser};
use crate::domain::id::{GroupName, UserName, UserRef};

const GROUP_KEYS: [&str; 2] = ["title", "users"];
const USER_KEYS: [&str; 3] = ["name", "username", "email"];

/// Longest title or e-mail address: pages and records hold them.
const TEXT_CHARS_MAX: usize = 254;

/// `alpha: [alice, {name: bob, email: …}]`, or `alpha: {title: …, users: […]}`. By name, so that
/// the order of the file changes nothing.
pub(super) fn read(node: &Node, settings: &mut Settings) -> Vec<ConfiguredGroup> {
    let pairs = match &node.value {
        Value::Null => return Vec::new(),
        Value::Mapping(pairs) => pairs,
        _ => {
            let place = settings.source.place(node.line);
            settings.problem(
                &place,
                "groups",
                "write groups with their users, for example `red: [alice, bob]`",
            );
            return Vec::new();
        }
    };
    let mut groups: Vec<ConfiguredGroup> = pairs
        .iter()
        .filter_map(|pair| group(pair, settings))
        .collect();
    groups.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    groups
}

fn group(pair: &Pair, settings: &mut Settings) -> Option<ConfiguredGroup> {
    let key = format!("groups.{}", pair.key);
    let place = settings.source.place(pair.line);
    let name: Option<GroupName> = accepted(&pair.key, &key, &place, settings);
    let (title, users) = match &pair.value.value {
        Value::Sequence(users) => (None, users.as_slice()),
        Value::Mapping(group) => {
            unknown_keys(&key, group, &GROUP_KEYS, settings);
            let title = text(&key, group, "title", settings);
            let users = group.iter().find(|pair| pair.key == "users");
            match users.map(|users| &users.value.value) {
                Some(Value::Sequence(users)) => (title, users.as_slice()),
                _ => (title, &[][..]),
            }
        }
        _ => (None, &[][..]),
    };
    if users.is_empty() {
        settings.problem(
            &place,
            &key,
            "the group has no users: write a list, for example [alice, bob]",
        );
    }
    let users = self::users(&key, name.as_ref(), users, settings);
    name.map(|name| ConfiguredGroup { name, title, users })
}

fn users(
    key: &str,
    group: Option<&GroupName>,
    written: &[Node],
    settings: &mut Settings,
) -> Vec<ConfiguredUser> {
    let mut names: HashSet<UserName> = HashSet::new();
    let mut users: Vec<ConfiguredUser> = Vec::new();
    for node in written {
        let place = settings.source.place(node.line);
        let Some((name, email)) = user(key, node, &place, settings) else {
            continue;
        };
        let name: Option<UserName> = accepted(&name, key, &place, settings);
        // Without a valid group there is nobody to name; that was said already.
        let (Some(user), Some(group)) = (name, group) else {
            continue;
        };
        if !names.insert(user.clone()) {
            settings.problem(&place, key, format!("`{user}` is listed twice"));
            continue;
        }
        let name = UserRef::new(group.clone(), user);
        users.push(ConfiguredUser { name, email });
    }
    users
}

fn user(
    key: &str,
    node: &Node,
    place: &Place,
    settings: &mut Settings,
) -> Option<(String, Option<String>)> {
    match &node.value {
        Value::Scalar(name) => Some((name.clone(), None)),
        Value::Mapping(user) => {
            unknown_keys(key, user, &USER_KEYS, settings);
            let email = text(key, user, "email", settings);
            let name = text(key, user, "name", settings);
            let name = name.or_else(|| text(key, user, "username", settings));
            if name.is_none() {
                settings.problem(place, key, "a user has no `name`");
            }
            name.map(|name| (name, email))
        }
        _ => {
            settings.problem(
                place,
                key,
                "a user is a name, or a mapping with `name` and `email`",
            );
            None
        }
    }
}

fn text(key: &str, pairs: &[Pair], name: &str, settings: &mut Settings) -> Option<String> {
    let pair = pairs.iter().find(|pair| pair.key == name)?;
    match &pair.value.value {
        Value::Null => None,
        Value::Scalar(text) if text.is_empty() => None,
        Value::Scalar(text) if is_plain(text) => Some(text.clone()),
        _ => {
            let place = settings.source.place(pair.line);
            settings.problem(&place, key, format!("`{name}` must be a text on one line"));
            None
        }
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

fn unknown_keys(key: &str, pairs: &[Pair], known: &[&str], settings: &mut Settings) {
    for pair in pairs
        .iter()
        .filter(|pair| !known.contains(&pair.key.as_str()))
    {
        let message = match nearest(&pair.key, known) {
            Some(nearest) => format!("unknown key; did you mean `{nearest}`?"),
            None => format!("unknown key; known here: {}", known.join(", ")),
        };
        let place = settings.source.place(pair.line);
        settings.problem(&place, &format!("{key}.{}", pair.key), message);
    }
}

fn accepted<T>(text: &str, key: &str, place: &Place, settings: &mut Settings) -> Option<T>
where
    T: std::str::FromStr<Err = crate::domain::id::ParseError>,
{
    use crate::domain::id::ParseError;
    let message = match text.parse() {
        Ok(name) => return Some(name),
        Err(ParseError::Name { cleaned, .. }) => {
            let example = if cleaned.is_empty() {
                String::new()
            } else {
                format!(", for example `{cleaned}`")
            };
            format!(
                "{} is not a valid name: use 1 to 32 of a-z, 0-9 and `-`, with a letter or digit first and last{example}",
                quoted(text)
            )
        }
        Err(_) => format!("{} is not a valid name", quoted(text)),
    };
    settings.problem(place, key, message);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::FixedVars;

    fn root() -> FixedVars {
        FixedVars {
            root: true,
            ..FixedVars::default()
        }
    }

    fn problems(groups: &str) -> String {
        let text = format!("groups:\n  {}\n", groups.replace('\n', "\n  "));
        Settings::of(&text, &root())
            .err()
            .unwrap_or_default()
            .to_string()
    }

    #[test]
    fn every_mistake_in_a_group_is_named_with_what_is_meant() {
        for (written, said) in [
            (
                "red: {user: [alice]}",
                "thon.yaml:2: groups.red.user: unknown key; did you mean `users`?",
            ),
            (
                "red: [{nam: alice}]",
                "groups.red.nam: unknown key; did you mean `name`?",
            ),
            ("red: [{nam: alice}]", "groups.red: a user has no `name`"),
            ("red: [[alice]]", "a user is a name, or a mapping"),
            ("red: alice", "the group has no users"),
            ("red:", "the group has no users"),
            ("red: []", "the group has no users"),
            (
                "red:\n- ann\n- bob\n- ann",
                "thon.yaml:5: groups.red: `ann` is listed twice",
            ),
            ("Red: [alice]", "`Red` is not a valid name"),
            ("Red: [alice]", "for example `red`"),
            ("red: [{name: alice, email: [5]}]", "`email` must be a text"),
            ("red: [\"a\\e[2J\"]", "`a\\u{1b}[2J` is not a valid name"),
        ] {
            let problems = problems(written);
            assert!(problems.contains(said), "{written}: {problems}");
        }
    }

    #[test]
    fn a_group_is_a_list_or_a_mapping_with_a_title() {
        let text = "groups: {red: [alice, 7, {name: bob, email: b@example.org}], blue: {title: The Blues, users: [{username: bob}]}}";
        let settings = Settings::of(text, &root()).unwrap_or_else(|problems| panic!("{problems}"));
        let groups = settings.groups();
        assert_eq!(groups[0].title.as_deref(), Some("The Blues"));
        assert_eq!(groups[0].users[0].name.to_string(), "blue/bob");
        let red: Vec<String> = groups[1]
            .users
            .iter()
            .map(|user| user.name.to_string())
            .collect();
        assert_eq!(red, ["red/alice", "red/7", "red/bob"]);
        assert_eq!(groups[1].users[2].email.as_deref(), Some("b@example.org"));
    }
}
