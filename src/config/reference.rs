//! Renders the commented reference file and the tables of the reference page.

use crate::config::key::{Key, Status};
use crate::config::keys::{self, SECTIONS, Section};
use crate::config::kind::Kind;
use crate::config::{env, show};

/// How wide a comment may be.
const COLUMNS: usize = 100;

const HEAD: &str = "\
## THON's settings: every key with its default and its meaning. Take the `#` away in front of a key
## and of the section it stands in; what begins with `##` are words.
##
## `thon config validate` checks the file, `thon config show` prints what is in force. A variable in
## brackets wins over the key. A change takes effect when the appliance starts again.
";

/// Every key, commented out. Without one `#` a line it is a file that means the defaults.
pub fn file() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let remark = if without_effect(section) {
            ". No effect in this version"
        } else {
            ""
        };
        text.push_str(&format!("\n## {}{remark}.\n", section.meaning));
        let mut open: Vec<&str> = Vec::new();
        for key in section.keys.iter().filter(|key| key.status != Status::Gone) {
            if !key.path.contains('[') {
                commented(key, &mut open, &mut text);
            }
        }
    }
    text
}

fn commented(key: &Key, open: &mut Vec<&'static str>, text: &mut String) {
    let sections: Vec<&'static str> = match key.path.rsplit_once('.') {
        Some(_) => key.section().split('.').collect(),
        None => Vec::new(),
    };
    for (depth, name) in sections.iter().enumerate() {
        if open.get(depth) != Some(name) {
            open.truncate(depth);
            open.push(name);
            text.push_str(&format!("#{}{name}:\n", "  ".repeat(depth)));
        }
    }
    let indent = "  ".repeat(sections.len());
    words(&indent, &sentence(key), text);
    if key.kind == Kind::Groups {
        text.push_str("##   red: [alice, bob]\n");
        text.push_str("##   blue: {title: The Blue Team, users: [carol, {name: dave, email: dave@example.org}]}\n");
    }
    text.push_str(&format!(
        "#{indent}{}:{}\n",
        key.name(),
        value(key, &indent)
    ));
    if key.has_file() {
        text.push_str(&format!("#{indent}{}_file:\n", key.name()));
    }
}

/// Whether that is said once for all of its keys.
fn without_effect(section: &Section) -> bool {
    section.keys.iter().all(|key| key.status != Status::InForce)
}

fn sentence(key: &Key) -> String {
    let mut text = plain(&capitalised(key.meaning));
    if key.kind == Kind::Items {
        let inside =
            keys::all().filter(|inner| inner.section().strip_suffix("[]") == Some(key.path));
        let inside: Vec<String> = inside
            .map(|inner| {
                let must = if inner.required {
                    "; must be written"
                } else {
                    ""
                };
                format!("{} ({}{must})", inner.name(), plain(inner.meaning))
            })
            .collect();
        text = format!("{text}. Each has {}", inside.join(", "));
    }
    if let Kind::Words(words) = key.kind
        && !words.iter().all(|word| key.meaning.contains(word))
    {
        text = format!("{text}: {}", words.join(", "));
    }
    if let Some(computed) = key.computed {
        text = format!("{text}. Default: {}", plain(computed));
    }
    if let Some(variable) = key.variable {
        text = format!("{text} [{variable}]");
    }
    if key.has_file() {
        text = format!("{text}. Or the path of a file that holds it");
    }
    let section = SECTIONS
        .iter()
        .find(|section| section.keys.iter().any(|other| other.path == key.path));
    if key.status == Status::Later && !section.is_some_and(without_effect) {
        text = format!("{text}. No effect in this version");
    }
    text + "."
}

/// Meanings are written for the page: without its links.
fn plain(text: &str) -> String {
    text.replace(
        "see [operating.md](operating.md#access-modes)",
        "see docs/operating.md",
    )
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

fn value(key: &Key, indent: &str) -> String {
    match key.kind {
        _ if key.default.is_empty() => String::new(),
        Kind::Items if key.default.starts_with('-') => {
            let lines = key.default.lines();
            lines.map(|line| format!("\n#{indent}  {line}")).collect()
        }
        Kind::Groups
        | Kind::Items
        | Kind::Networks
        | Kind::Integer { .. }
        | Kind::Decimal { .. }
        | Kind::Flag => {
            format!(" {}", key.default)
        }
        _ => format!(" {}", show::scalar(key.default)),
    }
}

/// Words over as many comment lines as they need.
fn words(indent: &str, text: &str, into: &mut String) {
    let mut line = format!("##{indent}");
    for word in text.split(' ') {
        let begun = line.len() > indent.len() + 2;
        if begun && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            into.push_str(&line);
            into.push('\n');
            line = format!("##{indent}");
        }
        line.push(' ');
        line.push_str(word);
    }
    into.push_str(&line);
    into.push('\n');
}

/// The tables of the reference page, between its marks.
pub fn tables() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&table(section));
    }
    text.push_str(&gone());
    text.push_str(&others());
    text
}

fn table(section: &Section) -> String {
    let title = match section.name {
        "" => "### At the top".to_owned(),
        name => format!("### `{name}`"),
    };
    let mut text = format!(
        "{title}\n\n{}.\n\n| key | type | default | environment | meaning |\n|---|---|---|---|---|\n",
        section.meaning
    );
    for key in section.keys.iter().filter(|key| key.status != Status::Gone) {
        text.push_str(&row(key));
    }
    text + "\n"
}

fn row(key: &Key) -> String {
    let default = match (key.default, key.computed) {
        (_, Some(computed)) => computed.to_owned(),
        ("", None) if key.required => "must be written".to_owned(),
        ("", None) => "none".to_owned(),
        (default, None) if default.contains('\n') => "two models".to_owned(),
        (default, None) => format!("`{default}`"),
    };
    let file = if key.has_file() { " or `…_FILE`" } else { "" };
    let variable = key.variable.map(|name| format!("`{name}`{file}"));
    let own_file = if key.has_file() {
        format!(", `{}_file`", key.name())
    } else {
        String::new()
    };
    let words = match key.kind {
        Kind::Words(words) if !words.iter().all(|word| key.meaning.contains(word)) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            format!(": {}", words.join(", "))
        }
        _ => String::new(),
    };
    let later = if key.status == Status::Later {
        " †"
    } else {
        ""
    };
    format!(
        "| `{}`{own_file}{later} | {} | {default} | {} | {}{words} |\n",
        key.path,
        if key.secret {
            "secret"
        } else {
            key.kind.label()
        },
        variable.unwrap_or_default(),
        key.meaning
    )
}

fn gone() -> String {
    let mut text = "### Of the original, without meaning\n\nAccepted with a warning, in the file and in the environment.\n\n| key | environment | what replaces it |\n|---|---|---|\n".to_owned();
    for key in keys::all().filter(|key| key.status == Status::Gone) {
        let variable = key
            .variable
            .map(|name| format!("`{name}`"))
            .unwrap_or_default();
        text.push_str(&format!(
            "| `{}` | {variable} | {} |\n",
            key.path, key.meaning
        ));
    }
    for (name, instead) in env::GONE {
        text.push_str(&format!("| | `{name}` | {instead} |\n"));
    }
    text + "\n"
}

fn others() -> String {
    let mut text =
        "### Variables that are no setting's\n\n| variable | meaning |\n|---|---|\n".to_owned();
    for (name, meaning) in env::OTHERS {
        text.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    text
}
