//! What is JSON, and that the walk over it sees what is there.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::llm::spoken::any_value;

/// Text that is nearly JSON: what a parser meets on a bad day.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\\u00e4".to_owned()),
        Just("\\ud83d\\ude00".to_owned()),
        Just("\\ud83d".to_owned()),
        Just("\"a\":1".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0.5e+3".to_owned()),
        Just("01".to_owned()),
        Just(" \n".to_owned()),
        "[ -~]{0,3}",
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat().into_bytes())
}

#[test]
fn the_strict_grammar_is_kept_to_the_letter() {
    for good in [
        "{}",
        " [ ] ",
        "0",
        "-0.5e+30",
        "\"\\u00e4\\ud83d\\ude00\\/\"",
        "{\"a\":[1,{\"b\":null}],\"a\":true}",
    ] {
        assert_eq!(check(good.as_bytes(), 64), Ok(()), "{good}");
    }
    for bad in [
        "",
        " ",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "[1,]",
        "[1 2]",
        "[1}",
        "{]",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "NaN",
        "nul",
        "True",
        "'a'",
        "{a:1}",
        "\"a\nb\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"",
        "\"\\",
        "\"\\u12",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "// a\n{}",
    ] {
        assert!(
            matches!(check(bad.as_bytes(), 64), Err(Fault::Malformed(_))),
            "{bad}"
        );
    }
    assert_eq!(check(b"\"\xff\"", 64), Err(Fault::Malformed(1)));
}

#[test]
fn depth_has_a_bound_and_costs_no_stack() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert_eq!(check(nested(64).as_bytes(), 64), Ok(()));
    assert_eq!(check(nested(65).as_bytes(), 64), Err(Fault::TooDeep));
    assert_eq!(
        check("[".repeat(1_000_000).as_bytes(), 64),
        Err(Fault::TooDeep)
    );
    let objects = "{\"a\":".repeat(1_000_000);
    assert_eq!(check(objects.as_bytes(), 64), Err(Fault::TooDeep));
    assert_eq!(elements(nested(1_000_000).as_bytes()).count(), 1);
}

#[test]
fn a_key_is_known_however_it_is_written() {
    let object = br#"{"n_\u0070redict":7,"n_predicts":8}"#;
    assert_eq!(pick(object, ["n_predict"]), Ok([Some(&b"7"[..])]));
    let both = br#"{"n_predict":1,"n_\u0070redict":7}"#;
    assert_eq!(pick(both, ["n_predict"]), Err(Twice("n_predict")));
    assert_eq!(pick(b"[]", ["n_predict"]), Ok([None]));
}

#[test]
fn whole_numbers_are_written_with_digits_only() {
    assert_eq!(whole(b"0"), Some(0));
    assert_eq!(whole(b"9007199254740991"), Some(9_007_199_254_740_991));
    for none in [
        "",
        "-1",
        "1.0",
        "1e3",
        "\"1\"",
        "9007199254740992",
        "+1",
        "99999999999999999999999",
    ] {
        assert_eq!(whole(none.as_bytes()), None, "{none}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_accepted_others_accept_too(text in nearly()) {
        let ours = check(&text, 64);
        let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&text);
        if ours.is_ok() {
            // Numbers of any size are JSON; how large they may be is for whoever reads them.
            prop_assert!(theirs.is_ok(), "{:?}", text);
        } else {
            // It only skips, and so lets half a character through.
            let has_half = String::from_utf8_lossy(&text).contains("\\u");
            prop_assert!(theirs.is_err() || has_half, "{:?}", text);
        }
    }

    #[test]
    fn every_value_is_accepted_and_walked(value in any_value(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value)
        } else {
            serde_json::to_string(&value)
        }.unwrap();
        prop_assert_eq!(check(text.as_bytes(), 64), Ok(()));
        match &value {
            Value::Object(map) => {
                let walked: Result<Vec<_>, _> = members(text.as_bytes()).collect();
                let walked = walked.unwrap();
                prop_assert_eq!(walked.len(), map.len());
                for member in walked {
                    let key = decoded(member.key).unwrap();
                    prop_assert!(member.is(&key));
                    prop_assert_eq!(&text.as_bytes()[member.value_at()..member.span.end], member.value);
                    prop_assert_eq!(&serde_json::from_slice::<Value>(member.value).unwrap(), &map[&*key]);
                }
            }
            Value::Array(list) => {
                let walked: Vec<Value> = elements(text.as_bytes())
                    .map(|element| serde_json::from_slice(element.unwrap()).unwrap())
                    .collect();
                prop_assert_eq!(&walked, list);
            }
            Value::String(said) => {
                prop_assert_eq!(decoded(text.as_bytes()).unwrap(), said.as_str());
                prop_assert_eq!(length(text.as_bytes()), said.len() as u64);
            }
            _ => {}
        }
    }

    #[test]
    fn length_is_that_of_the_text_however_it_is_escaped(said in ".{0,40}") {
        let escaped: Vec<String> = said.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        prop_assert_eq!(length(format!("\"{}\"", escaped.concat()).as_bytes()), said.len() as u64);
        let written = quoted(&said);
        prop_assert_eq!(decoded(written.as_bytes()).unwrap(), said);
    }

    #[test]
    fn no_bytes_make_a_walk_panic_or_hang(text in proptest::collection::vec(any::<u8>(), 0..60), near in nearly()) {
        for text in [text, near] {
            let some = members(&text).count() + elements(&text).count();
            prop_assert!(some <= text.len() + 2);
            let _unread = (decoded(&text), length(&text), whole(&text), pick(&text, ["a", "error"]));
        }
    }
}
