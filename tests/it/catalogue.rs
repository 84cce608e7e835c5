//! The codes of what can be wrong: explained in the manual, and each provoked by a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use thon::server::{CATALOGUE, Entry, Severity};

/// The table in the manual is the catalogue.
#[test]
fn every_code_is_in_the_manual_as_the_catalogue_says_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let table: String = CATALOGUE.iter().map(|entry| row(entry)).collect();
    assert!(
        manual.contains(&table),
        "the table in docs/operating.md has to be:\n{table}"
    );
}

fn row(entry: &Entry) -> String {
    let severity = match entry.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Ok => panic!("{} finds nothing", entry.code),
    };
    let Entry {
        code,
        meaning,
        hint,
        ..
    } = entry;
    format!("| `{code}` | {severity} | {meaning} | {hint} |\n")
}

/// A code in the program that nobody finds in the manual, or that no test has ever provoked, helps
/// nobody.
#[test]
fn every_code_in_the_program_is_explained_and_provoked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let (mut program, mut tests) = (BTreeSet::new(), BTreeSet::new());
    for path in rust_files(&["src", "tests"].map(|dir| root.join(dir))) {
        let text = fs::read_to_string(&path).unwrap();
        let (code, test) = if path.starts_with(root.join("src")) {
            text.split_once("#[cfg(test)]").unwrap_or((&text, ""))
        } else {
            ("", text.as_str())
        };
        program.extend(codes(code));
        tests.extend(codes(test));
    }
    assert!(program.len() >= CATALOGUE.len());
    for code in program {
        assert!(manual.contains(&code), "{code} is not in docs/operating.md");
        assert!(tests.contains(&code), "no test provokes {code}");
    }
}

fn codes(text: &str) -> impl Iterator<Item = String> {
    let starts = text.match_indices("THN-").map(|(at, _)| {
        text[at..]
            .chars()
            .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '-')
            .collect::<String>()
    });
    // What ends in a dash is the beginning of several.
    starts.filter(|code| code.ends_with(|c: char| c.is_ascii_digit()))
}

fn rust_files(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = dirs.to_vec();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    found
}
