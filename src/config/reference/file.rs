//! The commented reference file: every key, its default, its meaning.

use super::{further_words, without_effect};
use crate::config::key::{Key, Status};
use crate::config::keys::{SECTIONS, Section, inside};
use crate::config::kind::Kind;
use crate::config::show;

/// How wide a comment may be.
const COLUMNS: usize = 100;

const HEAD: [&str; 6] = [
    "## THON's settings: every key with its default and its meaning. Take the `#` away in front of a key",
    "## and of the section it stands in; what begins with `##` are words.",
    "##",
    "## `thon config validate` checks the file, `thon config show` prints what is in force. A variable in",
    "## brackets wins over the key, and with `_FILE` behind a secret's, it names a file that holds it. A",
    "## change takes effect when the appliance starts again.",
];

const GROUPS: [&str; 2] = [
    "##   red: [alice, bob]",
    "##   blue: {title: The Blue Team, users: [carol, {name: dave, email: dave@example.org}]}",
];

/// Every key, commented out. Without one `#` a line it is a file that means the defaults.
pub fn render() -> String {
    let mut lines: Vec<String> = HEAD.map(str::to_owned).to_vec();
    for section in SECTIONS {
        let remark = if without_effect(section) {
            " No effect in this version."
        } else {
            ""
        };
        lines.push(String::new());
        lines.push(format!("## {}.{remark}", section.meaning));
        let mut open: Vec<&str> = Vec::new();
        for key in section.keys.iter().filter(|key| is_shown(key)) {
            commented(section, key, &mut open, &mut lines);
        }
    }
    lines.join("\n") + "\n"
}

/// Keys of a list's entries are in the words about the list.
fn is_shown(key: &Key) -> bool {
    key.status != Status::Gone && !key.path.contains('[')
}

fn commented(
    section: &Section,
    key: &'static Key,
    open: &mut Vec<&'static str>,
    lines: &mut Vec<String>,
) {
    for (depth, name) in key.sections().enumerate() {
        if open.get(depth) != Some(&name) {
            open.truncate(depth);
            open.push(name);
            lines.push(format!("#{}{name}:", "  ".repeat(depth)));
        }
    }
    let depth = key.sections().count();
    open.truncate(depth);
    let indent = "  ".repeat(depth);
    wrapped(&indent, &sentences(section, key), lines);
    if key.kind == Kind::Groups {
        lines.extend(GROUPS.map(str::to_owned));
    }
    if key.kind == Kind::Items && key.default.starts_with('-') {
        lines.push(format!("#{indent}{}:", key.name()));
        let items = key.default.lines();
        lines.extend(items.map(|line| format!("#{indent}  {line}")));
        return;
    }
    let value = format!("#{indent}{}: {}", key.name(), value(key));
    lines.push(value.trim_end().to_owned());
    if key.has_file() {
        lines.push(format!("#{indent}{}_file:", key.name()));
    }
}

fn sentences(section: &Section, key: &'static Key) -> String {
    let mut parts = vec![capitalised(&without_links(key.meaning))];
    let words = further_words(key).join(", ");
    if !words.is_empty() {
        parts.push(format!("One of {words}"));
    }
    let inner: Vec<String> = inside(key).map(inner).collect();
    if !inner.is_empty() {
        parts.push(format!("Each has {}", inner.join(", ")));
    }
    parts.extend(key.computed.map(|computed| format!("Default: {computed}")));
    if key.status == Status::Later && !without_effect(section) {
        parts.push("No effect in this version".to_owned());
    }
    let variable = key.variable.map(|name| format!(" [{name}]"));
    format!("{}.{}", parts.join(". "), variable.unwrap_or_default())
}

fn inner(key: &Key) -> String {
    let must = if key.required {
        "; must be written"
    } else {
        ""
    };
    format!("{} ({}{must})", key.name(), key.meaning)
}

/// Meanings are written for the page.
fn without_links(text: &str) -> String {
    text.replace(
        "[operating.md](operating.md#access-modes)",
        "docs/operating.md",
    )
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

fn value(key: &Key) -> String {
    match key.kind {
        _ if key.default.is_empty() => String::new(),
        Kind::Decimal { .. }
        | Kind::Flag
        | Kind::Groups
        | Kind::Integer { .. }
        | Kind::Items
        | Kind::Networks => key.default.to_owned(),
        _ => show::scalar(key.default),
    }
}

/// Words over as many comment lines as they need.
fn wrapped(indent: &str, text: &str, lines: &mut Vec<String>) {
    let begin = format!("##{indent}");
    let mut line = begin.clone();
    for word in text.split(' ') {
        if line != begin && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut line, begin.clone()));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
}
