//! `thon config env`: settings as variables, on standard output or in a file of their own.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output::say;
use crate::cli::words::count;
use crate::config::{Settings, Variable};

const HEAD: &str = "# THON's settings as environment variables, written by `thon config env`.\n";

/// A terminal or a pipe gets no secret: what is printed ends up in scrollback and logs.
pub(super) fn perform(
    context: &Context<'_>,
    settings: &Settings,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let (secret, open): (Vec<Variable>, Vec<Variable>) = settings
        .variables()
        .into_iter()
        .partition(|variable| variable.secret && output.is_none());
    if let Some(path) = output {
        let text: String = open.iter().map(line).collect();
        write(path, &format!("{HEAD}{text}"))
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
        let answer = json!({"path": path.display().to_string(), "variables": open.len()});
        return context.output.show(&answer, |_| {
            format!(
                "wrote {} to {}",
                count(open.len(), "variable"),
                path.display()
            )
        });
    }
    if !secret.is_empty() {
        let names: Vec<&str> = secret
            .iter()
            .map(|variable| variable.name.as_str())
            .collect();
        say(&format!(
            "left out, because they are secret: {}",
            names.join(", ")
        ));
        context
            .output
            .hint("--output PATH writes them too, to a file that only you can read");
    }
    let pairs = open
        .iter()
        .map(|variable| (variable.name.clone(), variable.value.clone().into()));
    let answer = Value::Object(pairs.collect::<Map<String, Value>>());
    context
        .output
        .show(&answer, |_| open.iter().map(line).collect())
}

fn line(variable: &Variable) -> String {
    format!("{}={}\n", variable.name, quoted(&variable.value))
}

/// As a shell and systemd's `EnvironmentFile=` both read it. Values have no line ends.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,%".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    if !value.contains('\'') {
        return format!("'{value}'");
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(c);
    }
    text + "\""
}

/// All of it or nothing, and at no moment readable by others.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut options = OpenOptions::new();
    // A file that is there already, or a link, is somebody else's.
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    let mut finish = || {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    let written = finish();
    if written.is_err() {
        drop(std::fs::remove_file(&temporary));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_so_that_shells_read_it_back() {
        for value in [
            "plain",
            "two words",
            "it's",
            "$HOME `id` \\ \"x\" it's",
            "",
            "#",
            "a=b",
        ] {
            let script = format!("X={}; printf %s \"$X\"", quoted(value));
            let output = std::process::Command::new("sh")
                .arg("-c")
                .arg(script)
                .output();
            assert_eq!(output.unwrap().stdout, value.as_bytes(), "{value}");
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind_and_removes_nothing_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        assert!(write(&path, "X=1\n").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
