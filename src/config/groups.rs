//! Groups and their users, in every form that the original took, with every mistake named.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use crate::config::validate::Problems;
use crate::config::{ConfiguredGroup, ConfiguredUser};
use crate::domain::id::{GroupName, UserRef};

const GROUP_KEYS: [&str; 2] = ["title", "users"];
const USER_KEYS: [&str; 3] = ["name", "username", "email"];

/// `alpha: [alice, {name: bob, email: …}]`, or `alpha: {title: …, users: […]}`.
pub(super) fn read(
    written: &BTreeMap<String, Value>,
    problems: &mut Problems,
) -> Vec<ConfiguredGroup> {
    let groups = written.iter().filter_map(|(name, value)| {
        let key = format!("groups.{name}");
        let name: Option<GroupName> = accepted(name.parse(), &key, problems);
        let (title, users) = body(&key, value, problems)?;
        let users = self::users(&key, name.as_ref(), users, problems);
        name.map(|name| ConfiguredGroup { name, title, users })
    });
    groups.collect()
}

/// The title and the list of users, whichever form it is.
fn body<'a>(
    key: &str,
    value: &'a Value,
    problems: &mut Problems,
) -> Option<(Option<String>, &'a [Value])> {
    let (title, users) = match value {
        Value::Sequence(users) => (None, Some(users.as_slice())),
        Value::Mapping(mapping) => {
            unknown_keys(key, mapping, &GROUP_KEYS, problems);
            let users = mapping.get("users").and_then(Value::as_sequence);
            (
                text(key, mapping, "title", problems),
                users.map(Vec::as_slice),
            )
        }
        _ => (None, None),
    };
    if users.is_none_or(<[Value]>::is_empty) {
        problems.add(
            key,
            "the group has no users: write a list, for example [alice, bob]",
        );
    }
    users.map(|users| (title, users))
}

fn users(
    key: &str,
    group: Option<&GroupName>,
    written: &[Value],
    problems: &mut Problems,
) -> Vec<ConfiguredUser> {
    let mut users: Vec<ConfiguredUser> = Vec::new();
    for value in written {
        let Some((name, email)) = user(key, value, problems) else {
            continue;
        };
        let name = accepted(name.parse(), key, problems);
        // Without a valid group there is nobody to name; that was said already.
        let (Some(user), Some(group)) = (name, group) else {
            continue;
        };
        let name = UserRef::new(group.clone(), user);
        if users.iter().any(|other| other.name == name) {
            problems.add(key, format!("`{}` is listed twice", name.user));
        }
        users.push(ConfiguredUser { name, email });
    }
    users
}

fn user(key: &str, value: &Value, problems: &mut Problems) -> Option<(String, Option<String>)> {
    match value {
        Value::String(name) => Some((name.clone(), None)),
        Value::Mapping(mapping) => {
            unknown_keys(key, mapping, &USER_KEYS, problems);
            let email = text(key, mapping, "email", problems);
            let name = text(key, mapping, "name", problems);
            let name = name.or_else(|| text(key, mapping, "username", problems));
            if name.is_none() {
                problems.add(key, "a user has no `name`");
            }
            name.map(|name| (name, email))
        }
        // `7` and `true` are no texts to YAML.
        Value::Number(_) | Value::Bool(_) => {
            let written = serde_yaml::to_string(value).unwrap_or_default();
            let written = written.trim();
            problems.add(
                key,
                format!("`{written}` is not a name: put it in quotes, '{written}'"),
            );
            None
        }
        _ => {
            problems.add(
                key,
                "a user is a name, or a mapping with `name` and `email`",
            );
            None
        }
    }
}

fn text(key: &str, mapping: &Mapping, name: &str, problems: &mut Problems) -> Option<String> {
    let value = mapping.get(name).filter(|value| !value.is_null())?;
    if value.as_str().is_none() {
        problems.add(key, format!("`{name}` must be a text"));
    }
    value.as_str().map(str::to_owned)
}

fn unknown_keys(key: &str, mapping: &Mapping, known: &[&str], problems: &mut Problems) {
    let written = mapping.keys().filter_map(Value::as_str);
    for unknown in written.filter(|written| !known.contains(written)) {
        let known = known
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>();
        problems.add(
            &format!("{key}.{unknown}"),
            super::read::unknown_key(unknown, &known),
        );
    }
}

fn accepted<T, E: ToString>(parsed: Result<T, E>, key: &str, problems: &mut Problems) -> Option<T> {
    parsed
        .map_err(|error| problems.add(key, error.to_string()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> (Vec<ConfiguredGroup>, String) {
        let mut problems = Problems::default();
        let groups = read(&serde_yaml::from_str(text).unwrap(), &mut problems);
        (groups, problems.to_string())
    }

    #[test]
    fn every_mistake_in_a_group_is_named_with_what_is_meant() {
        for (written, said) in [
            (
                "red: {user: [alice]}",
                "groups.red.user: unknown key; did you mean `users`?",
            ),
            (
                "red: [{nam: alice}]",
                "groups.red.nam: unknown key; did you mean `name`?",
            ),
            ("red: [{nam: alice}]", "groups.red: a user has no `name`"),
            ("red: [7]", "`7` is not a name: put it in quotes, '7'"),
            ("red: [[alice]]", "a user is a name, or a mapping"),
            ("red: alice", "the group has no users"),
            ("red:", "the group has no users"),
            ("red: [{name: alice, email: 5}]", "`email` must be a text"),
        ] {
            let (_, problems) = check(written);
            assert!(problems.contains(said), "{written}: {problems}");
        }
    }

    #[test]
    fn a_group_is_a_list_or_a_mapping_with_a_title() {
        let (groups, problems) =
            check("red: [alice]\nblue: {title: The Blues, users: [{username: bob}]}");
        assert_eq!(problems, "");
        assert_eq!(groups[0].title.as_deref(), Some("The Blues"));
        assert_eq!(groups[1].users[0].name.to_string(), "red/alice");
    }
}
