//! What is read as what, and what is refused.

use proptest::prelude::*;

use super::*;

fn faults(text: &str) -> String {
    let faults = parse(text).unwrap_err();
    let lines = faults
        .iter()
        .map(|fault| format!("{}:{}: {}", fault.line, fault.column, fault.message));
    lines.collect::<Vec<_>>().join("\n")
}

fn mapping(node: Node) -> Vec<Pair> {
    match node.value {
        Value::Mapping(pairs) => pairs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn scalars_are_what_was_typed_and_know_their_line() {
    let pairs = mapping(parse("a: yes\nb: '007'\nc: 007\n\nd:\ne: ~\nf: 'null'\n").unwrap());
    let found: Vec<(usize, String)> = pairs
        .iter()
        .map(|pair| (pair.line, format!("{:?}", pair.value.value)))
        .collect();
    let expected = [
        (1, r#"Scalar("yes")"#),
        (2, r#"Scalar("007")"#),
        (3, r#"Scalar("007")"#),
        (5, "Null"),
        (6, "Null"),
        (7, r#"Scalar("null")"#),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn every_key_that_is_written_twice_is_named_with_both_lines() {
    assert_eq!(
        faults("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"),
        "4:3: `c` is written twice, first in line 3: keep one\n\
         5:1: `a` is written twice, first in line 1: keep one"
    );
}

#[test]
fn a_mistake_in_the_syntax_has_line_and_column() {
    assert!(
        faults("a: 1\n  b: 2\n").starts_with("2:4: not YAML: "),
        "{}",
        faults("a: 1\n  b: 2\n")
    );
    assert!(faults("a: [1\n").contains("not YAML"));
    assert!(faults("a: !run x\n").contains("1:9: the tag `!run` is not read"));
    assert!(faults("a: 1\n---\nb: 2\n").starts_with("3:1: a settings file is one document"));
    assert!(faults("[a]: 1\n").contains("a key must be a word"));
}

#[test]
fn bombs_do_not_go_off() {
    assert!(faults(&"[".repeat(100)).contains("nested too deeply"));
    assert!(faults(&"[".repeat(1 << 20)).contains("recursion limit"));
    assert!(faults(&"- ".repeat(1 << 19)).contains("nested too deeply"));
    assert!(faults("a: &a [*a]\n").contains("not complete yet"));
    let line = |level: usize| {
        let below = match level {
            0 => "lol".to_owned(),
            level => format!("*l{}", level - 1),
        };
        format!("l{level}: &l{level} [{}]", [below.as_str(); 10].join(", "))
    };
    let bomb = (0..20).map(line).collect::<Vec<_>>().join("\n");
    assert!(faults(&bomb).contains("too large for a settings file"));
}

#[test]
fn an_alias_is_what_its_anchor_was() {
    let pairs = mapping(parse("a: &x [red, blue]\nb: *x\n").unwrap());
    assert!(matches!(&pairs[1].value.value, Value::Sequence(nodes) if nodes.len() == 2));
}

fn of_json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "~".to_owned(),
        serde_json::Value::String(text) => format!("{text:?}"),
        serde_json::Value::Array(items) => items.iter().map(of_json).collect::<Vec<_>>().join(","),
        serde_json::Value::Object(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| format!("{key:?}={}", of_json(value)));
            pairs.collect::<Vec<_>>().join(";")
        }
        other => format!("{:?}", other.to_string()),
    }
}

fn of_yaml(node: &Node) -> String {
    match &node.value {
        Value::Null => "~".to_owned(),
        Value::Scalar(text) => format!("{text:?}"),
        Value::Sequence(nodes) => nodes.iter().map(of_yaml).collect::<Vec<_>>().join(","),
        Value::Mapping(pairs) => {
            let pairs = pairs
                .iter()
                .map(|pair| format!("{:?}={}", pair.key, of_yaml(&pair.value)));
            pairs.collect::<Vec<_>>().join(";")
        }
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let text = "[ -~äß€🦀\\n\\t]{0,12}";
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        text.prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::Array),
            prop::collection::btree_map(text, inner, 0..5)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_yaml_and_means_the_same(value in json()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let node = parse(&text).map_err(|faults| TestCaseError::fail(format!("{text}\n{faults:?}")))?;
            prop_assert_eq!(of_yaml(&node), of_json(&value));
        }
    }
}

#[test]
fn nothing_at_all_is_nothing() {
    for text in ["", "# nothing yet\n", "---\n", "\u{feff}", "~"] {
        assert!(
            matches!(parse(text).unwrap().value, Value::Null),
            "{text:?}"
        );
    }
}
