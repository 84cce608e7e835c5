//! What is in force as a settings file.

use serde_json::Value;

use crate::config::key::{Key, Status};
use crate::config::keys;
use crate::config::kind::Kind;
use crate::config::note::Place;
use crate::config::settings::Settings;

impl Settings {
    /// The file that would lead to these settings in any environment, but for the secrets.
    pub fn to_yaml(&self) -> String {
        let mut open: Vec<&str> = Vec::new();
        let mut lines = Vec::new();
        for key in keys::all() {
            let shown = self.shown(key).filter(|(_, value)| !value.is_null());
            if let Some((path, value)) = shown {
                begin(key, &mut open, &mut lines);
                let name = path.rsplit('.').next().unwrap_or(&path);
                let indent = "  ".repeat(open.len());
                let remark = self.remark(key);
                lines.extend(
                    written(key.kind, name, &value, &remark).map(|line| format!("{indent}{line}")),
                );
            }
        }
        lines.join("\n") + "\n"
    }

    /// Where a value comes from, if not from the file, and whether it does anything.
    fn remark(&self, key: &Key) -> String {
        let mut remarks = Vec::new();
        if let Some(Place::Variable(name)) = self.written(key.path) {
            remarks.push(name.clone());
        }
        if key.status == Status::Later {
            remarks.push("no effect in this version".to_owned());
        }
        if remarks.is_empty() {
            return String::new();
        }
        format!("  # {}", remarks.join(", "))
    }
}

/// The heads of the sections that a key stands in, unless they stand there already.
fn begin(key: &Key, open: &mut Vec<&'static str>, lines: &mut Vec<String>) {
    for (depth, name) in key.sections().enumerate() {
        if open.get(depth) != Some(&name) {
            open.truncate(depth);
            open.push(name);
            lines.push(format!("{}{name}:", "  ".repeat(depth)));
        }
    }
    open.truncate(key.sections().count());
}

/// A key with its value, on as many lines as it has groups or entries.
fn written(kind: Kind, name: &str, value: &Value, remark: &str) -> impl Iterator<Item = String> {
    let below: Vec<String> = match value {
        Value::Object(groups) => groups
            .iter()
            .map(|(name, users)| format!("  {}: {}", scalar(name), flow(users)))
            .collect(),
        Value::Array(items) if kind == Kind::Items => items
            .iter()
            .map(|item| format!("  - {}", flow(item)))
            .collect(),
        _ => Vec::new(),
    };
    let value = if below.is_empty() {
        format!(" {}", flow(value))
    } else {
        String::new()
    };
    std::iter::once(format!("{name}:{value}{remark}")).chain(below)
}

/// YAML on one line.
fn flow(value: &Value) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Array(items) => format!("[{}]", list(items.iter().map(flow).collect())),
        Value::Object(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", list(pairs.collect()))
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Plain where `serde_yaml` takes it for a text without quotes, and nothing in it could end a list;
/// otherwise in JSON's quotes, which are YAML's.
pub(in crate::config) fn scalar(text: &str) -> String {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-./:@+".contains(c);
    let is_safe = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.chars().all(inside)
        && !text.ends_with(':');
    let is_text = serde_yaml::to_string(text).is_ok_and(|written| written.trim_end() == text);
    if is_safe && is_text {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_text_is_read_back_in_a_list_by_any_reader(text in "\\PC{0,20}|[ ,:#\\[\\]{}'\"\\n-]{0,6}|yes|no|~|null|1e3|0x1F|") {
            let list = format!("[{0}, {0}]", scalar(&text));
            let read: Vec<String> = serde_yaml::from_str(&list).unwrap();
            prop_assert_eq!(&read, &[text.clone(), text.clone()]);
            let ours = crate::config::yaml::parse(&list).unwrap();
            let crate::config::yaml::Value::Sequence(nodes) = ours.value else {
                panic!("{list}");
            };
            for node in nodes {
                let crate::config::yaml::Value::Scalar(read) = node.value else {
                    panic!("{list}");
                };
                prop_assert_eq!(&read, &text);
            }
        }
    }
}
