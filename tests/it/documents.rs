//! The documents say what the sources do, in both directions.

use std::collections::BTreeSet;
use std::fs;

use crate::architecture::FLOORS;
use crate::support::sources::{agree, between, root, rust_files, section, sources, text};

const MAP: &str = "ARCHITECTURE.md";
const OPERATING: &str = "docs/operating.md";
const RECIPES: &str = "docs/changing.md";

/// Every `THN-PART-00` of a text.
fn health_codes(text: &str) -> BTreeSet<String> {
    let is_code = |word: &&str| {
        let parts: Vec<&str> = word.split('-').collect();
        matches!(parts.as_slice(), ["THN", part, number]
            if !part.is_empty() && number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit()))
    };
    text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-'))
        .filter(is_code)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_health_code_says_what_to_do_and_none_is_made_up() {
    let given: BTreeSet<String> = sources()
        .iter()
        .flat_map(|file| health_codes(&file.code()))
        .collect();
    let operating = text(OPERATING);
    let rows = section(&operating, "## Doctor").lines();
    let explained: BTreeSet<String> = rows
        .filter_map(|row| row.strip_prefix("| `"))
        .flat_map(|row| health_codes(row.split('`').next().unwrap_or_default()))
        .collect();
    agree(
        (&given, "not in docs/operating.md, *Doctor*"),
        (&explained, "docs/operating.md explains what nobody reports"),
    );
}

#[test]
fn every_test_that_the_invariants_name_is_there() {
    let map = text(MAP);
    let mut tests = String::new();
    for dir in ["src", "tests"] {
        for path in rust_files(&root().join(dir)) {
            tests.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let named: Vec<&str> = between(section(&map, "## Invariants"), '`')
        .into_iter()
        .filter(|word| word.matches('_').count() > 1 && !word.contains('/'))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for test in named {
        assert!(tests.contains(&format!("fn {test}(")), "{MAP} names {test}");
    }
}

#[test]
fn every_room_is_on_the_map_and_every_place_on_the_map_is_there() {
    let map = text(MAP);
    let places = between(section(&map, "## Code map"), '`');
    for module in FLOORS.concat() {
        assert!(
            places
                .iter()
                .any(|place| { place.trim_end_matches(".rs") == format!("src/{module}") }),
            "{MAP} has no line for src/{module}"
        );
    }
    for place in places.iter().filter(|place| place.starts_with("src/")) {
        let is_there = ["", ".rs"]
            .iter()
            .any(|end| root().join(format!("{place}{end}")).exists());
        assert!(is_there, "{MAP} has a line for {place}");
    }
}

#[test]
fn the_floors_are_drawn_as_they_are_enforced() {
    for drawing in [MAP, "src/lib.rs"] {
        let text = text(drawing);
        for (number, floor) in FLOORS.iter().enumerate() {
            let line = text
                .lines()
                .map(|line| line.trim_start_matches("//!").trim_start())
                .find_map(|line| line.strip_prefix(&format!("{number}  ")))
                .unwrap_or_else(|| panic!("{drawing} draws no floor {number}"));
            let rooms = line.split("  ").next().unwrap_or_default();
            let drawn: BTreeSet<&str> = rooms
                .split([' ', '|'])
                .filter(|room| !room.is_empty())
                .collect();
            let enforced: BTreeSet<&str> = floor.iter().copied().collect();
            assert_eq!(drawn, enforced, "{drawing}, floor {number}");
        }
    }
}

#[test]
fn every_file_that_a_recipe_names_is_there() {
    let recipes = text(RECIPES);
    let is_path = |word: &&str| {
        let first = word.split('/').next().unwrap_or_default();
        ["src", "tests", "static", "docs", "config"].contains(&first)
            && word.contains('/')
            && !word.contains('<')
    };
    let named: Vec<&str> = between(&recipes, '`').into_iter().filter(is_path).collect();
    assert!(named.len() > 20, "{named:?}");
    for path in named {
        let path = path.trim_end_matches('/');
        let is_there = ["", ".rs"]
            .iter()
            .any(|end| root().join(format!("{path}{end}")).exists());
        assert!(is_there, "{RECIPES} names {path}");
    }
}

/// The dotted names before a `=` in a line of the log.
fn log_fields(text: &str, separator: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '.' || c == '_';
    text.match_indices(separator)
        .map(|(at, _)| {
            text[..at]
                .rsplit(|c| !is_name(c))
                .next()
                .unwrap_or_default()
        })
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_access_line_in_the_documents_has_the_fields_of_the_real_one() {
    let source = text("src/proxy/access_log.rs");
    let event = source
        .split_once("tracing::event!(")
        .and_then(|(_, rest)| rest.split_once("\"request\""))
        .unwrap()
        .0;
    let operating = text(OPERATING);
    let example = section(&operating, "## Logs")
        .lines()
        .find(|line| line.contains(" INFO request "))
        .unwrap();
    agree(
        (
            &log_fields(event, " = "),
            "not in the line of docs/operating.md, *Logs*",
        ),
        (
            &log_fields(example, "="),
            "docs/operating.md shows what is not logged",
        ),
    );
}

#[test]
fn every_promise_of_a_runtime_has_a_rule_in_the_contract() {
    let port = text("src/runtime.rs");
    let contract = text("tests/it/support/contract.rs");
    let methods: Vec<&str> = port
        .split("fn ")
        .skip(1)
        .filter_map(|rest| rest.split_once("(&self").map(|(name, _)| name))
        .collect();
    assert!(methods.len() > 10, "{methods:?}");
    for method in methods {
        assert!(
            contract.contains(&format!(".{method}(")),
            "tests/it/support/contract.rs says nothing of `{method}`"
        );
    }
}

#[test]
fn every_action_of_the_plan_is_in_its_table_of_tests() {
    let plan = text("src/control/plan.rs");
    let table = text("src/control/plan/tests.rs");
    let actions = plan
        .split_once("pub fn instance(&self)")
        .and_then(|(_, rest)| rest.split_once('}'))
        .unwrap()
        .0;
    let actions: Vec<&str> = actions
        .split("Self::")
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .collect();
    assert!(actions.len() > 5, "{actions:?}");
    for action in actions {
        let is_there = table.contains(&format!("Action::{action}("));
        assert!(
            is_there,
            "src/control/plan/tests.rs never expects `{action}`"
        );
    }
}
