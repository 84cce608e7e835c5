//! Whatever a file holds, reading it ends, and what it says is fit for a terminal.

use std::fs;

use proptest::prelude::*;

use super::Desk;
use crate::config::Settings;

/// Pieces of settings files and of YAML, in any order.
fn soup() -> impl Strategy<Value = String> {
    let words = "groups proxy nginx lemonade chat_models name domain ssl_provider files none alice true 0 -1";
    let marks = "\n;\n  ;\n    ;: ;:;- ;[;];{;};, ;&a ;*a;!!str ;!x ;<<;? ;|\n;>-\n;';\";#;---\n;...\n;%YAML 1.2\n;\t;~;\\;\0;\u{1b};\r;\u{85};\u{2028};é;🦀";
    let pieces: Vec<&str> = words.split(' ').chain(marks.split(';')).collect();
    prop::collection::vec(prop::sample::select(pieces), 0..60).prop_map(|pieces| pieces.concat())
}

/// A good file with something cut out and something put in.
fn damaged() -> impl Strategy<Value = String> {
    let text: Vec<char> = include_str!("../../../config/examples/original.yaml")
        .chars()
        .collect();
    let length = text.len();
    (0..length, 0..40_usize, soup()).prop_map(move |(at, cut, put)| {
        let before = text.iter().take(at);
        let after = text.iter().skip(at + cut);
        before
            .copied()
            .chain(put.chars())
            .chain(after.copied())
            .collect()
    })
}

#[test]
fn however_much_is_wrong_the_answer_is_short() {
    let lines = |line: fn(usize) -> String| (0..60_000).map(line).collect::<String>();
    for (text, said) in [
        (lines(|n| format!("key{n}: 1\n")), "59900 more problems"),
        (
            format!("{}: 1\n", "k".repeat(1000)),
            "unknown key; known here",
        ),
        (
            format!(
                "lemonade:\n  chat_models:\n{}",
                lines(|_| "  - {x: 1}\n".to_owned())
            ),
            "too many entries",
        ),
        (
            format!("groups:\n  red:\n{}", lines(|_| "  - A\n".to_owned())),
            "more problems",
        ),
        ("a: 1\n".repeat(60_000), "too many keys are written twice"),
    ] {
        let problems = Desk::with(&text).problems();
        assert!(problems.len() <= 101, "{}", problems.len());
        assert!(
            problems.concat().contains(said),
            "{said}: {:?}",
            problems.last()
        );
        assert!(problems.iter().all(|line| line.len() < 1000));
    }
}

proptest! {
    #[test]
    fn no_text_makes_loading_panic_or_hang(text in prop_oneof![any::<String>(), soup(), damaged()]) {
        let desk = Desk::with(&text);
        let path = desk.dir.path().join("thon.yaml");
        match Settings::load(Some(&path), &desk.vars) {
            Err(problems) => {
                let said = problems.to_string();
                prop_assert!(!said.is_empty());
                prop_assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
            }
            // What is accepted can be shown, and read again.
            Ok(settings) => {
                fs::write(&path, settings.to_yaml()).unwrap();
                let again = Settings::load(Some(&path), &desk.vars);
                let again = again.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
                prop_assert_eq!(again.to_json(), settings.to_json());
            }
        }
    }
}
