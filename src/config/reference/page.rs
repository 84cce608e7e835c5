//! The tables of the reference page.

use super::further_words;
use crate::config::env;
use crate::config::key::{Key, Status};
use crate::config::keys::{self, SECTIONS, Section};

const COLUMNS: [&str; 2] = [
    "| key | type | default | environment | meaning |",
    "|---|---|---|---|---|",
];

/// What stands between the marks of the page.
pub fn render() -> String {
    let mut lines: Vec<String> = Vec::new();
    for section in SECTIONS {
        table(section, &mut lines);
    }
    gone(&mut lines);
    others(&mut lines);
    lines.join("\n") + "\n"
}

fn table(section: &Section, lines: &mut Vec<String>) {
    lines.push(match section.name {
        "" => "### At the top".to_owned(),
        name => format!("### `{name}`"),
    });
    lines.extend([
        String::new(),
        format!("{}.", section.meaning),
        String::new(),
    ]);
    lines.extend(COLUMNS.map(str::to_owned));
    let keys = section.keys.iter();
    lines.extend(keys.filter(|key| key.status != Status::Gone).map(row));
    lines.push(String::new());
}

fn row(key: &Key) -> String {
    let mut path = format!("`{}`", key.path);
    let mut variable = key
        .variable
        .map(|name| format!("`{name}`"))
        .unwrap_or_default();
    if key.has_file() {
        path = format!("{path}, `{}_file`", key.name());
        variable = format!("{variable}, `…_FILE`");
    }
    if key.status == Status::Later {
        path.push_str(" †");
    }
    let kind = if key.secret {
        "secret"
    } else {
        key.kind.label()
    };
    format!(
        "| {path} | {kind} | {} | {variable} | {} |",
        default(key),
        meaning(key)
    )
}

fn default(key: &Key) -> String {
    match (key.default, key.computed) {
        (_, Some(computed)) => computed.to_owned(),
        ("", None) if key.required => "must be written".to_owned(),
        ("", None) => "none".to_owned(),
        (default, None) if default.contains('\n') => "the original's two".to_owned(),
        (default, None) => format!("`{default}`"),
    }
}

fn meaning(key: &Key) -> String {
    let words: Vec<String> = further_words(key)
        .iter()
        .map(|word| format!("`{word}`"))
        .collect();
    if words.is_empty() {
        return key.meaning.to_owned();
    }
    format!("{}: {}", key.meaning, words.join(", "))
}

fn gone(lines: &mut Vec<String>) {
    let head = [
        "### Of the original, without meaning",
        "",
        "Accepted with a warning, in the file and in the environment.",
        "",
        "| key | environment | what replaces it |",
        "|---|---|---|",
    ];
    lines.extend(head.map(str::to_owned));
    for key in keys::all().filter(|key| key.status == Status::Gone) {
        let variable = key
            .variable
            .map(|name| format!("`{name}`"))
            .unwrap_or_default();
        lines.push(format!("| `{}` | {variable} | {} |", key.path, key.meaning));
    }
    let variables = env::GONE.iter();
    lines.extend(variables.map(|(name, instead)| format!("| | `{name}` | {instead} |")));
    lines.push(String::new());
}

fn others(lines: &mut Vec<String>) {
    let head = [
        "### Variables that are no setting's",
        "",
        "| variable | meaning |",
        "|---|---|",
    ];
    lines.extend(head.map(str::to_owned));
    let variables = env::OTHERS.iter();
    lines.extend(variables.map(|(name, meaning)| format!("| `{name}` | {meaning} |")));
}
