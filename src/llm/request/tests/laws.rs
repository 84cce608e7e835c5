//! Laws of reading and writing requests, tried on thousands.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{POLICY, asked};
use crate::llm::endpoint::Endpoint;
use crate::llm::json::check;
use crate::llm::request::read;
use crate::llm::spoken::any_value;

/// Fields that the gateway has an opinion of.
const OWN: [&str; 12] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n_predict",
    "n",
    "n_cmpl",
    "best_of",
    "messages",
    "id_slot",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn edits_change_what_they_mean_to_and_nothing_else(
        others in proptest::collection::btree_map("[a-z\"\\\\ ä]{1,6}", any_value(), 0..6),
        caps in proptest::collection::btree_map(
            prop_oneof![Just("max_tokens"), Just("max_completion_tokens"), Just("n_predict"), Just("max_output_tokens")],
            0_u64..20_000, 0..4),
        slot in any::<bool>(),
        stream in proptest::option::of(any::<bool>()),
        order in any::<prop::sample::Index>(),
        pretty in any::<bool>(),
    ) {
        let mut fields: Vec<(String, Value)> = others
            .into_iter()
            .filter(|(key, _)| !OWN.contains(&key.as_str()))
            .collect();
        fields.push(("model".to_owned(), "m".into()));
        fields.push(("messages".to_owned(), json!([{"role": "user", "content": "x"}])));
        fields.extend(caps.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
        fields.extend(slot.then(|| ("id_slot".to_owned(), json!(3))));
        fields.extend(stream.map(|stream| ("stream".to_owned(), stream.into())));
        let at = order.index(fields.len());
        fields.rotate_left(at);
        let written: Vec<String> = fields
            .iter()
            .map(|(key, value)| {
                let value = if pretty { format!("{value:#}") } else { value.to_string() };
                format!("{}: {value}", Value::from(key.as_str()))
            })
            .collect();
        let body = format!("{{ {} }}", written.join(" ,\n"));

        let prepared = asked(Endpoint::Chat, body).unwrap();
        let sent = prepared.body("up");
        let sent_text = std::str::from_utf8(&sent).unwrap();
        let cap = caps.values().max().copied().unwrap_or(4_096).clamp(1, 8_192);
        prop_assert_eq!(prepared.output_cap, cap);
        let mut expected: Map<String, Value> = fields.iter().cloned().collect();
        for name in ["max_completion_tokens", "n_predict", "max_output_tokens", "id_slot"] {
            expected.remove(name);
        }
        expected.insert("max_tokens".to_owned(), cap.into());
        expected.insert("model".to_owned(), "up".into());
        expected.insert("stream".to_owned(), true.into());
        expected.insert("stream_options".to_owned(), json!({"include_usage": true}));
        let got: Map<String, Value> = serde_json::from_slice(&sent).unwrap();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(check(&sent, 64), Ok(()));
        for ((key, _), written) in fields.iter().zip(&written) {
            if !OWN.contains(&key.as_str()) {
                prop_assert!(sent_text.contains(written), "{written} is not in {sent_text}");
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        noise in proptest::collection::vec(any::<u8>(), 0..80),
        value in any_value(),
        field in prop_oneof![
            Just("messages"), Just("input"), Just("prompt"), Just("documents"), Just("max_tokens"),
            Just("stream"), Just("stream_options"), Just("tools"), Just("n"), Just("system"), Just("tool_choice"),
        ],
        wrapped in any::<bool>(),
    ) {
        let value = if wrapped { json!([{"role": "user", "content": [value]}]) } else { value };
        let mut body = json!({"model": "m", "messages": [], "input": "a", "prompt": "a", "query": "q", "documents": ["d"]});
        body[field] = value;
        for endpoint in Endpoint::ALL {
            prop_assert!(read(endpoint, Bytes::from(noise.clone()), &POLICY).is_err());
            match asked(endpoint, body.to_string()) {
                Ok(prepared) => {
                    prop_assert!(prepared.answers <= POLICY.answers_max);
                    prop_assert!(prepared.output_cap <= POLICY.output_max);
                    prop_assert_eq!(check(&prepared.body("up"), 64), Ok(()));
                }
                Err(error) => {
                    prop_assert_eq!(error.words().status, 400);
                    prop_assert!(error.words().message.len() < 2_000);
                }
            }
        }
    }
}
