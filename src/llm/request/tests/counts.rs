//! How long answers may be, how many there are, and what reaches past that.

use serde_json::{Map, Value, json};

use super::{asked, chat, sent};
use crate::llm::endpoint::Endpoint;
use crate::llm::request::BadRequest;

#[test]
fn the_largest_cap_counts_and_no_alias_is_left() {
    for (caps, cap) in [
        (json!({}), 4_096),
        (json!({"max_tokens": 3}), 3),
        (
            json!({"max_tokens": 1, "max_completion_tokens": 7_000}),
            7_000,
        ),
        (json!({"max_tokens": 3, "n_predict": 7}), 7),
        (json!({"max_output_tokens": 12, "max_tokens": 3}), 12),
        (json!({"max_completion_tokens": 1_000_000}), 8_192),
        (json!({"n_predict": 9_007_199_254_740_991_u64}), 8_192),
        (json!({"max_tokens": null, "n_predict": null}), 4_096),
        (json!({"max_tokens": 0}), 1),
    ] {
        for (endpoint, field, body) in [
            (Endpoint::Chat, "max_tokens", chat(&caps)),
            (Endpoint::Completions, "max_tokens", {
                let mut body = chat(&caps);
                body["prompt"] = "a".into();
                body
            }),
            (Endpoint::Responses, "max_output_tokens", {
                let mut body = chat(&caps);
                body["input"] = "a".into();
                body
            }),
        ] {
            let (prepared, sent) = sent(endpoint, &body);
            assert_eq!(prepared.output_cap, cap, "{caps}");
            assert_eq!(sent[field], cap, "{caps}");
            let names = [
                "max_tokens",
                "max_completion_tokens",
                "max_output_tokens",
                "n_predict",
            ];
            for other in names.iter().filter(|name| **name != field) {
                assert!(sent.get(other).is_none(), "{other} of {caps}");
            }
        }
    }
}

#[test]
fn a_count_that_is_no_whole_number_is_refused() {
    for field in [
        "max_tokens",
        "max_completion_tokens",
        "n_predict",
        "n",
        "n_cmpl",
        "best_of",
    ] {
        for value in [
            "-1",
            "1.5",
            "1e3",
            "\"5\"",
            "true",
            "[1]",
            "{}",
            "9007199254740992",
            "1e999",
        ] {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],"{field}":{value}}}"#
            );
            let error = asked(Endpoint::Chat, body).unwrap_err();
            assert!(
                matches!(error, BadRequest::Wrong(it, _) if it == field),
                "{field} {value}: {error}"
            );
            assert_eq!(error.words().param.as_deref(), Some(field));
        }
    }
}

#[test]
fn several_answers_cost_several_and_have_a_bound() {
    for (counts, answers) in [
        (json!({}), 1),
        (json!({"n": 1}), 1),
        (json!({"n": 3}), 3),
        (json!({"n": 1, "n_cmpl": 4}), 4),
        (json!({"best_of": 4}), 1),
    ] {
        let (prepared, sent) = sent(Endpoint::Chat, &chat(&counts));
        assert_eq!(prepared.answers, answers, "{counts}");
        assert_eq!(
            sent.get("n").map_or(1, |n| n.as_u64().unwrap()),
            u64::from(answers)
        );
        assert!(sent.get("n_cmpl").is_none() && sent.get("best_of").is_none());
    }
    for field in ["n", "n_cmpl", "best_of"] {
        for (count, is_wrong) in [(5, false), (4_294_967_297_u64, false), (0, true)] {
            let error = asked(Endpoint::Chat, chat(&json!({field: count})).to_string());
            let error = error.unwrap_err();
            assert_eq!(matches!(error, BadRequest::Wrong(..)), is_wrong, "{error}");
        }
    }
}

#[test]
fn dangerous_fields_do_not_pass_in_any_spelling() {
    let body = r#"{"model":"m","messages":[],"id_slot":1,"cache_prompt":false,"n_keep":1,"n_discard":1,"lora":[{"id":0}],"ignore_eos":true,"t_max_predict_ms":1,"sse_ping_interval":0,"response_fields":["x"],"verbose":true,"return_tokens":true,"ctx_size":9,"\u0069d_slot2":3,"n_\u0070robs":50,"top_logprobs":99,"logprobs":true,"ctx\u005fsize2":1,"llamacpp_args":"x"}"#;
    let prepared = asked(Endpoint::Chat, body).unwrap();
    let sent: Map<String, Value> = serde_json::from_slice(&prepared.body("up")).unwrap();
    let names: Vec<&str> = sent.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ctx_size2",
            "id_slot2",
            "logprobs",
            "max_tokens",
            "messages",
            "model",
            "n_probs",
            "stream",
            "stream_options",
            "top_logprobs"
        ]
    );
    assert_eq!(
        (&sent["n_probs"], &sent["top_logprobs"]),
        (&json!(20), &json!(20))
    );
    let hidden =
        r#"{"model":"m","messages":[],"\u0069d_slot":1,"m\u0061x_tokens":3,"n_predic\u0074":5}"#;
    let prepared = asked(Endpoint::Chat, hidden).unwrap();
    let sent: Map<String, Value> = serde_json::from_slice(&prepared.body("up")).unwrap();
    assert_eq!(
        (sent.get("id_slot"), &sent["max_tokens"]),
        (None, &json!(5))
    );
}
