//! What is in force, for people, for programs, and as environment variables. Secrets stay hidden.

mod yaml;

pub(in crate::config) use yaml::scalar;

use serde_json::{Map, Value};

use crate::config::key::{Key, Status};
use crate::config::keys;
use crate::config::kind::Kind;
use crate::config::note::Place;
use crate::config::settings::{Settings, at};
use crate::config::{ConfiguredGroup, ConfiguredUser};

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// A setting as a variable that leads to it.
pub struct Variable {
    pub name: String,
    pub value: String,
    pub secret: bool,
}

impl Settings {
    /// What is in force as one object; what is not set is `null`.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        for key in keys::all() {
            if let Some((path, value)) = self.shown(key) {
                insert(&mut root, &path, value);
            }
        }
        Value::Object(root)
    }

    /// Settings that differ from their defaults and have a variable, by name.
    pub fn variables(&self) -> Vec<Variable> {
        let mut variables: Vec<Variable> = keys::all()
            .filter(|key| key.status != Status::Gone)
            .filter_map(|key| self.variable(key))
            .collect();
        variables.sort_by(|a, b| a.name.cmp(&b.name));
        variables
    }

    fn variable(&self, key: &Key) -> Option<Variable> {
        let name = key.variable?;
        if let Some((file, _)) = self.secret_files.get(key.path) {
            return Some(Variable {
                name: format!("{name}_FILE"),
                value: file.clone(),
                secret: false,
            });
        }
        self.written(key.path)?;
        Some(Variable {
            name: name.to_owned(),
            value: self.string(key.path),
            secret: key.secret,
        })
    }

    /// A key's path and value; keys without effect only if they were written.
    pub(super) fn shown(&self, key: &'static Key) -> Option<(String, Value)> {
        let path = key.path.to_owned();
        if let Some((file, _)) = self.secret_files.get(key.path) {
            return Some((format!("{path}_file"), file.as_str().into()));
        }
        let written = match key.kind {
            Kind::Items => self
                .lists
                .get(key.path)
                .is_some_and(|(_, place)| *place != Place::Default),
            _ => self.written(key.path).is_some(),
        };
        if key.status == Status::Gone
            || key.path.contains('[')
            || (key.status == Status::Later && !written)
        {
            return None;
        }
        let value = match key.kind {
            Kind::Groups => groups(&self.groups),
            Kind::Items => (0..self.length(key.path))
                .map(|index| self.item(key, index))
                .collect(),
            Kind::Networks => (0..self.length(key.path))
                .filter_map(|index| Some(Value::from(self.text(&at(key.path, index))?)))
                .collect(),
            _ if key.secret => self.text(key.path).map_or(Value::Null, |_| HIDDEN.into()),
            kind => self
                .text(key.path)
                .map_or(Value::Null, |text| kind.json(text)),
        };
        Some((path, value))
    }

    fn item(&self, list: &Key, index: usize) -> Value {
        let item = at(list.path, index);
        let inside = keys::all().filter(|key| key.section().strip_suffix("[]") == Some(list.path));
        let pairs = inside.filter_map(|key| {
            let text = self.text(&format!("{item}.{}", key.name()))?;
            Some((key.name().to_owned(), key.kind.json(text)))
        });
        Value::Object(pairs.collect())
    }
}

fn insert(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = object.entry(section).or_insert_with(|| Map::new().into());
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Groups as the file would have them: the short form where nothing is lost by it.
fn groups(groups: &[ConfiguredGroup]) -> Value {
    let user = |user: &ConfiguredUser| {
        let name = user.name.user.as_str();
        match &user.email {
            None => Value::from(name),
            Some(email) => serde_json::json!({"name": name, "email": email}),
        }
    };
    let group = |group: &ConfiguredGroup| {
        let users: Value = group.users.iter().map(user).collect();
        let value = match &group.title {
            None => users,
            Some(title) => serde_json::json!({"title": title, "users": users}),
        };
        (group.name.to_string(), value)
    };
    Value::Object(groups.iter().map(group).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::FixedVars;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Settings {
        let values = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let vars = FixedVars {
            root: true,
            values: values.collect(),
        };
        Settings::of(text, &vars).unwrap_or_else(|problems| panic!("{problems}"))
    }

    const RICH: &str = "\
groups: {red: [alice, '7'], blue: {title: 'Blue: the #1', users: [{name: bob, email: b@example.org}]}}
title: Spring # hack
nginx: {domain: old.example.org, ssl_provider: none, trusted_proxies: ['::1', 10.0.0.0/24]}
sandbox: {memory: 512 MiB, sudo: yes, cpus: 1.5}
workspace: {dir: /srv/thon}
vscode: {secure: true}
lemonade: {enabled: true, model: 'a: b', chat_models: [{name: x, checkpoint: 'y:z'}], llamacpp: {min_p: 0.1}}
gateway: {model_concurrency: [{model: x, priority: -1}], redis_password: hunter2}
";

    #[test]
    fn what_is_shown_leads_to_the_same_settings() {
        for text in ["", RICH] {
            let variables = [
                ("EXTERNAL_IP", "203.0.113.9"),
                ("GATEWAY_MODE", "per-group"),
            ];
            let first = settings(text, &variables);
            let second = settings(&first.to_yaml(), &[]);
            let without_remarks = |yaml: String| {
                let lines = yaml
                    .lines()
                    .map(|line| line.split("  #").next().unwrap().to_owned());
                lines.collect::<Vec<_>>().join("\n")
            };
            assert_eq!(
                without_remarks(second.to_yaml()),
                without_remarks(first.to_yaml())
            );
            assert_eq!(second.to_json(), first.to_json());
        }
    }

    #[test]
    fn what_is_shown_says_what_is_in_force_and_where_it_comes_from() {
        let yaml = settings(RICH, &[("THON_DOMAIN", "new.example.org")]).to_yaml();
        for line in [
            "  domain: new.example.org  # THON_DOMAIN",
            "  blue: {title: \"Blue: the #1\", users: [{email: b@example.org, name: bob}]}",
            "  red: [alice, \"7\"]",
            "  access: password",
            "  trusted_proxies: [\"::1/128\", 10.0.0.0/24]",
            "  mode: bind",
            "  redis_password: \"***\"",
            "    min_p: 0.1  # no effect in this version",
            "  state_dir: /var/lib/thon",
        ] {
            assert!(yaml.contains(line.trim_start()), "{line}\n{yaml}");
        }
        assert!(!yaml.contains("hunter2"));
    }

    #[test]
    fn variables_are_those_that_differ_from_their_defaults() {
        let variables = settings(RICH, &[("LEMONADE_API_KEY", "s3cret")]).variables();
        let lines: Vec<String> = variables
            .iter()
            .map(|variable| format!("{}={} {}", variable.name, variable.value, variable.secret))
            .collect();
        let expected = [
            "GATEWAY_REDIS_PASSWORD=hunter2 true",
            "LEMONADE_API_KEY=s3cret true",
            "THON_DOMAIN=old.example.org false",
            "THON_EVENT_TITLE=Spring false",
            "THON_SSL_PROVIDER=none false",
            "THON_WORKSPACE_DIR=/srv/thon false",
        ];
        assert_eq!(lines, expected);
    }
}
