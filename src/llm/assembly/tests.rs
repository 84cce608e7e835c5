//! A stream put together is the answer that would have come without one.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::llm::spoken::{any_value, pieces_of, spoken};
use crate::llm::upstream::Fault;

fn assembled(endpoint: Endpoint, stream: &str) -> (Result<Value, UpstreamError>, Report) {
    let mut assembly = Assembly::new(endpoint, "tiny", 1, 100_000);
    assembly.feed(&Bytes::copy_from_slice(stream.as_bytes()));
    let end = assembly.end();
    let end = end.map(|body| serde_json::from_slice(&body).unwrap());
    (end, assembly.report().clone())
}

#[test]
fn completions_are_put_together_with_what_each_token_might_have_been() {
    let stream = concat!(
        r#"data: {"choices":[{"text":" bu","index":0,"logprobs":{"tokens":[" bu"],"token_logprobs":[-0.5]},"finish_reason":null}],"created":3,"model":"/m","object":"text_completion","id":"c"}"#,
        "\n\n",
        r#"data: {"choices":[{"text":"pi","index":1,"logprobs":null,"finish_reason":null}]}"#,
        "\n\n",
        r#"data: {"choices":[{"text":" far","index":0,"logprobs":{"tokens":[" far"],"token_logprobs":[-0.25]},"finish_reason":null}]}"#,
        "\n\n",
        r#"data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"usage":{"completion_tokens":2,"prompt_tokens":4,"total_tokens":6},"timings":{"prompt_n":4,"prompt_per_second":3389.830,"predicted_n":2}}"#,
        "\n\ndata: [DONE]\n\n",
    );
    let (answer, report) = assembled(Endpoint::Completions, stream);
    assert_eq!(
        answer.unwrap(),
        json!({
            "id": "c", "object": "text_completion", "created": 3, "model": "tiny",
            "choices": [
                {"text": " bu far", "index": 0, "finish_reason": "length",
                 "logprobs": {"tokens": [" bu", " far"], "token_logprobs": [-0.5, -0.25]}},
                {"text": "pi", "index": 1, "finish_reason": null, "logprobs": null},
            ],
            "usage": {"completion_tokens": 2, "prompt_tokens": 4, "total_tokens": 6},
            "timings": {"prompt_n": 4, "prompt_per_second": 3389.83, "predicted_n": 2},
        })
    );
    assert_eq!((report.deltas, report.finished), (3, true));
}

#[test]
fn an_answer_without_usage_gets_that_of_the_timings() {
    let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\"timings\":{\"cache_n\":3,\"prompt_n\":2,\"predicted_n\":1}}\n\n";
    let (answer, _) = assembled(Endpoint::Chat, stream);
    assert_eq!(
        answer.unwrap()["usage"],
        json!({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "prompt_tokens_details": {"cached_tokens": 3}})
    );
}

#[test]
fn a_response_is_what_its_last_event_repeats() {
    for kind in ["response.completed", "response.incomplete"] {
        let stream = format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"response\":{{\"id\":\"r\",  \"model\":\"/m\",\"x\":1.50}},\"timings\":{{\"predicted_n\":1}}}}\n\ndata: [DONE]\n\n"
        );
        let mut assembly = Assembly::new(Endpoint::Responses, "tiny", 1, 10_000);
        assembly.feed(&Bytes::from(stream));
        assert_eq!(
            assembly.end().unwrap(),
            "{\"id\":\"r\",  \"model\":\"tiny\",\"x\":1.50}"
        );
    }
    let nothing = assembled(Endpoint::Responses, "data: [DONE]\n\n").0;
    assert_eq!(nothing.unwrap_err().kind, Fault::Failed);
}

#[test]
fn what_is_cut_or_fails_is_an_error_and_is_counted_all_the_same() {
    let begun = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let (answer, report) = assembled(Endpoint::Chat, begun);
    assert_eq!(answer.unwrap_err(), UpstreamError::broke_off());
    assert_eq!((report.deltas, report.finished), (1, false));
    let error =
        "data: {\"error\":{\"message\":\"x exceeds the available context size\",\"code\":400}}\n\n";
    let (answer, report) = assembled(Endpoint::Chat, &format!("{begun}{error}data: [DONE]\n\n"));
    let answer = answer.unwrap_err();
    assert_eq!((answer.kind, answer.status), (Fault::ContextLength, 400));
    assert_eq!((report.failed, report.deltas), (Some(answer), 1));
}

#[test]
fn more_than_is_kept_is_an_error_and_not_memory() {
    let mut assembly = Assembly::new(Endpoint::Chat, "tiny", 1, 1_000);
    let chunk = Bytes::from(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"aaaaaaaaaaaaaaaaaa\"}}]}\n\n",
    );
    let mut fed = 0;
    while !assembly.is_over() {
        assembly.feed(&chunk);
        fed += chunk.len();
    }
    assert!(fed <= 1_000 + chunk.len());
    assert_eq!(assembly.end().unwrap_err(), UpstreamError::too_long());
    let calls: Vec<String> = (0..5_000)
        .map(|n| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{n}}}]}}}}]}}\n\n"))
        .collect();
    let mut assembly = Assembly::new(Endpoint::Chat, "tiny", 1, 10_000_000);
    assembly.feed(&Bytes::from(calls.concat()));
    assert!(assembly.is_over() && assembly.end().is_err());
}

#[test]
fn members_that_are_not_known_are_kept() {
    let stream = concat!(
        r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","annotations":[{"a":1}],"extra":{"x":"1"}}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","annotations":[{"a":2}],"extra":{"x":"2","y":null}},"finish_reason":"stop"}]}"#,
        "\n\n",
    );
    let (answer, _) = assembled(Endpoint::Chat, stream);
    let message = &answer.unwrap()["choices"][0]["message"];
    assert_eq!(
        message,
        &json!({"role": "assistant", "content": null, "annotations": [{"a": 1}, {"a": 2}], "extra": {"x": "12", "y": null}})
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn an_assembled_answer_is_the_direct_one(
        spoken in spoken(3),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let answers = u32::try_from(spoken.choices.len()).unwrap();
        let mut assembly = Assembly::new(Endpoint::Chat, "tiny", answers, 1_000_000);
        for piece in pieces_of(spoken.stream().as_bytes(), &cuts) {
            assembly.feed(&piece);
        }
        prop_assert!(assembly.is_over());
        let body: Value = serde_json::from_slice(&assembly.end().unwrap()).unwrap();
        prop_assert_eq!(body, spoken.direct("tiny"));
        prop_assert_eq!(assembly.report().deltas, spoken.said());
    }

    #[test]
    fn no_stream_makes_it_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        value in any_value(),
        kind in 0_usize..6,
    ) {
        let event = json!({"choices": [&value], "id": &value, "response": &value, "type": "response.completed"});
        let delta = json!({"choices": [{"index": 0, "delta": value}]});
        for stream in [noise, format!("data: {event}\n\n").into(), format!("data: {delta}\n\n").into()] {
            let mut assembly = Assembly::new(Endpoint::ALL[kind], "tiny", 1, 10_000);
            assembly.feed(&Bytes::from(stream));
            let is_whole = assembly.end().is_ok();
            prop_assert_eq!(is_whole, assembly.report().failed.is_none());
        }
    }
}
