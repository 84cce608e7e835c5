//! How files are written: their first line, their length, their names, and how tests are named.

use std::fs;

use crate::support::sources::{root, rust_files, sources};

/// Lines of a file before its unit tests.
const LINES_MAX: usize = 400;

#[test]
fn every_file_opens_with_a_sentence_that_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for file in sources() {
        let first = file.text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 20 {
            wrong.push(format!("src/{}.rs: {first}", file.path));
        }
    }
    assert!(
        wrong.is_empty(),
        "say it in a `//!` line:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_file_is_named_mod_and_no_module_is_a_drawer() {
    let drawers = [
        "util", "utils", "common", "helpers", "misc", "manager", "types", "models",
    ];
    for file in sources() {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
        assert_ne!(
            name, "mod",
            "src/{}.rs: write part.rs beside part/",
            file.path
        );
        assert!(
            !drawers.contains(&name.as_str()),
            "src/{}.rs: what is it for?",
            file.path
        );
    }
}

#[test]
fn no_file_is_longer_than_a_reader_s_patience() {
    for file in sources() {
        let lines = file.production().lines().count();
        assert!(
            lines <= LINES_MAX,
            "src/{}.rs has {lines} lines before its tests, at most {LINES_MAX} are wanted: split it",
            file.path
        );
    }
}

#[test]
fn nobody_reaches_past_their_parent() {
    for path in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("super::super"),
            "{}: name the way from the crate's root",
            path.display()
        );
    }
}

#[test]
fn every_test_is_named_by_the_rule_that_it_keeps() {
    let mut short = Vec::new();
    for dir in ["src", "tests"] {
        for path in rust_files(&root().join(dir)) {
            for name in tests_in(&fs::read_to_string(&path).unwrap()) {
                if name.matches('_').count() < 2 {
                    short.push(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(short.is_empty(), "say the rule:\n{}", short.join("\n"));
}

fn tests_in(text: &str) -> Vec<&str> {
    let mut lines = text.lines().map(str::trim_start);
    let mut names = Vec::new();
    while let Some(line) = lines.next() {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            let function = lines.find_map(|line| line.split_once("fn "));
            names.extend(function.and_then(|(_, rest)| rest.split('(').next()));
        }
    }
    names
}

#[test]
fn no_test_takes_a_port_that_another_may_have() {
    for path in rust_files(&root().join("tests")) {
        let text = fs::read_to_string(&path).unwrap();
        for call in text.split("bind(\"").skip(1) {
            let address = call.split('"').next().unwrap_or_default();
            let is_free = address.ends_with(":0") || !address.contains(':');
            assert!(is_free, "{}: bind to port 0, not {address}", path.display());
        }
    }
}
