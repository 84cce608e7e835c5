//! What passes, what is counted, and how each stream ends.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::quota::Tokens;
use crate::llm::spoken::{pieces_of, spoken};
use crate::llm::upstream::Fault;

fn tokens(input: u64, cached: u64, output: u64) -> Tokens {
    Tokens {
        input,
        cached,
        output,
    }
}

fn watch(endpoint: Endpoint) -> Watch {
    Watch::new(endpoint, "tiny", 1, false)
}

fn through(watch: &mut Watch, stream: &str) -> String {
    let mut passed = watch
        .feed(&Bytes::copy_from_slice(stream.as_bytes()))
        .to_vec();
    passed.extend_from_slice(&watch.end());
    String::from_utf8(passed).unwrap()
}

/// As Lemonade streams it, with usage asked for.
const CHAT: &str = concat!(
    r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"c","model":"/models/tiny-chat.gguf","object":"chat.completion.chunk"}"#,
    "\n\n: ping\n\n",
    r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"who"}}],"created":1,"id":"c","model":"/models/tiny-chat.gguf","object":"chat.completion.chunk"}"#,
    "\n\n",
    r#"data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1,"id":"c","model":"/models/tiny-chat.gguf","object":"chat.completion.chunk"}"#,
    "\n\n",
    r#"data: {"choices":[],"created":1,"id":"c","model":"/models/tiny-chat.gguf","object":"chat.completion.chunk","usage":{"completion_tokens":3,"prompt_tokens":21,"total_tokens":24,"prompt_tokens_details":{"cached_tokens":20}},"timings":{"cache_n":20,"prompt_n":1,"prompt_ms":0.4,"predicted_n":3}}"#,
    "\n\ndata: [DONE]\n\n",
);

#[test]
fn a_chat_passes_with_its_own_model_s_name_and_without_the_usage_nobody_asked_for() {
    let mut plain = watch(Endpoint::Chat);
    let named = CHAT.replace("/models/tiny-chat.gguf", "tiny");
    let (before, rest) = named.split_once("data: {\"choices\":[],").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    assert_eq!(through(&mut plain, CHAT), format!("{before}{after}"));
    let expected = Report {
        usage: Some(tokens(1, 20, 3)),
        timings: Some(tokens(1, 20, 3)),
        deltas: 1,
        output_bytes: 3,
        finished: true,
        failed: None,
    };
    assert_eq!(plain.report(), &expected);
    assert!(plain.is_over());
    let mut asked = Watch::new(Endpoint::Chat, "tiny", 1, true);
    assert_eq!(through(&mut asked, CHAT), named);
    assert_eq!(asked.report(), &expected);
}

#[test]
fn what_does_not_change_is_the_same_bytes() {
    let mut watch = watch(Endpoint::Chat);
    let chunk = Bytes::from(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"model\":\"tiny\"}\n\n: ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"model\":\"tiny\"}\n\n",
    );
    let passed = watch.feed(&chunk);
    assert_eq!(
        (passed.as_ptr(), passed.len()),
        (chunk.as_ptr(), chunk.len())
    );
    assert_eq!(watch.report().deltas, 2);
}

#[test]
fn completions_and_their_constant_usage_pass() {
    let stream = concat!(
        r#"data: {"choices":[{"text":"friend","index":0,"logprobs":null,"finish_reason":null}],"model":"tiny"}"#,
        "\n\n",
        r#"data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"model":"tiny","usage":{"completion_tokens":1,"prompt_tokens":4,"total_tokens":5},"timings":{"cache_n":3,"prompt_n":1,"predicted_n":1}}"#,
        "\n\ndata: [DONE]\n\n",
    );
    let mut watch = watch(Endpoint::Completions);
    assert_eq!(through(&mut watch, stream), stream);
    let report = watch.report();
    assert_eq!(
        (report.usage, report.timings),
        (Some(tokens(4, 0, 1)), Some(tokens(1, 3, 1)))
    );
    assert_eq!((report.deltas, report.output_bytes), (1, 6));
}

#[test]
fn several_prompts_bring_a_usage_each_and_an_event_that_says_nothing() {
    let end = |index: u32, prompt: u32| {
        format!(
            r#"data: {{"choices":[{{"text":"a","index":{index},"finish_reason":"length"}}],"model":"tiny","usage":{{"completion_tokens":3,"prompt_tokens":{prompt}}},"timings":{{"cache_n":1,"prompt_n":{},"predicted_n":3}}}}"#,
            prompt - 1
        )
    };
    let stream = format!("{}\n\n{}\n\ndata: [DONE]\n\n", end(1, 2), end(0, 4));
    let mut watch = Watch::new(Endpoint::Completions, "tiny", 2, false);
    let passed = through(&mut watch, &format!("data: null\n\n{stream}"));
    assert_eq!(passed, stream);
    let report = watch.report();
    assert_eq!(
        (report.usage, report.timings),
        (Some(tokens(6, 0, 6)), Some(tokens(4, 2, 6)))
    );
}

#[test]
fn a_response_says_its_cost_at_its_end_and_has_no_done() {
    let stream = concat!(
        "event: response.created\n",
        r#"data: {"type":"response.created","response":{"id":"r","model":"/m.gguf","usage":null}}"#,
        "\n\nevent: response.output_text.delta\n",
        r#"data: {"type":"response.output_text.delta","delta":"hi"}"#,
        "\n\nevent: response.completed\n",
        r#"data: {"type":"response.completed","response":{"id":"r","model":"/m.gguf","output":[],"usage":{"input_tokens":21,"output_tokens":4,"input_tokens_details":{"cached_tokens":20}}},"timings":{"cache_n":20,"prompt_n":1,"predicted_n":4}}"#,
        "\n\n",
    );
    let mut watch = watch(Endpoint::Responses);
    let passed = through(&mut watch, &format!("{stream}data: [DONE]\n\n"));
    assert_eq!(passed, stream.replace("/m.gguf", "tiny"));
    let report = watch.report();
    assert_eq!(
        (report.usage, report.timings),
        (Some(tokens(1, 20, 4)), Some(tokens(1, 20, 4)))
    );
    assert!(report.finished && report.deltas == 1 && report.output_bytes == 2);
}

#[test]
fn a_second_done_and_what_follows_it_are_nobody_s() {
    let mut watch = watch(Endpoint::Chat);
    let passed = through(
        &mut watch,
        "data: [DONE]\n\ndata: [DONE]\n\ndata: {\"x\":1}\n\n: a\n\n",
    );
    assert_eq!(passed, "data: [DONE]\n\n");
    assert!(
        watch
            .feed(&Bytes::from_static(b"data: [DONE]\n\n"))
            .is_empty()
    );
}

#[test]
fn a_stream_without_done_gets_one_if_it_is_whole() {
    let mut watch = watch(Endpoint::Chat);
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}";
    assert_eq!(
        through(&mut watch, end),
        format!("{end}\n\ndata: [DONE]\n\n")
    );
    assert!(watch.report().finished);
}

#[test]
fn an_answer_that_breaks_off_says_so_and_counts_what_was_there() {
    let mut watch = watch(Endpoint::Chat);
    let (cut, _) = CHAT
        .split_once("data: {\"choices\":[{\"finish_reason\":\"length\"")
        .unwrap();
    let passed = through(&mut watch, cut);
    assert!(
        passed.ends_with("\"code\":\"backend_failed\"}}\n\ndata: [DONE]\n\n"),
        "{passed}"
    );
    let report = watch.report();
    assert_eq!(
        (report.deltas, report.finished, report.usage),
        (1, false, None)
    );
    assert_eq!(
        report.failed.as_ref().map(|it| it.kind),
        Some(Fault::Failed)
    );
}

#[test]
fn an_error_within_a_stream_is_known_in_both_shapes_and_cleaned() {
    for (error, kind) in [
        (
            r#"{"error":{"code":400,"message":"request (6020 tokens) exceeds the available context size (4096 tokens), try increasing it","n_ctx":4096,"status_code":400,"type":"exceed_context_size_error"}}"#,
            Fault::ContextLength,
        ),
        (r#"{"error":"no place for /models/x.gguf"}"#, Fault::Failed),
        (
            r#"{"error":{"details":{"code":"backend_watchdog_reset","retryable":true},"message":"llama-server was unresponsive","type":"backend_error"}}"#,
            Fault::Failed,
        ),
    ] {
        let mut watch = watch(Endpoint::Chat);
        let passed = through(&mut watch, &format!("data: {error}\n\ndata: [DONE]\n\n"));
        let (body, rest) = passed
            .strip_prefix("data: ")
            .unwrap()
            .split_once("\n\n")
            .unwrap();
        assert_eq!(rest, "data: [DONE]\n\n");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1);
        assert_eq!(body["error"].as_object().unwrap().len(), 4, "{body}");
        assert!(!passed.contains("/models"), "{passed}");
        let failed = watch.report().failed.clone().unwrap();
        assert_eq!((failed.kind, watch.report().finished), (kind, false));
    }
}

#[test]
fn a_failed_response_is_told_in_its_own_events() {
    for error in [
        r#"{"type":"response.failed","response":{"status":"failed","model":"/m.gguf","error":{"code":"server_error","message":"no"}}}"#,
        r#"{"type":"error","code":"server_error","message":"no","param":null}"#,
        r#"{"type":"error","error":{"message":"no"}}"#,
        r#"{"error":"no"}"#,
    ] {
        let mut watch = watch(Endpoint::Responses);
        let passed = through(&mut watch, &format!("data: {error}\n\n"));
        let body = passed.strip_prefix("event: error\ndata: ").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["message"], &body["error"]["message"]),
            (&"no".into(), &"no".into())
        );
        assert_eq!(
            (&body["type"], &body["code"]),
            (&"error".into(), &"backend_failed".into())
        );
    }
}

#[test]
fn what_is_not_readable_is_an_error_and_is_not_passed_on() {
    for garbage in [
        "data: {oops\n\n",
        "data: <html>\n\n",
        "data: []\n\n",
        "data: 7\n\n",
        "data: {} {}\n\n",
        "data: {\"a\":1\n\n",
    ] {
        let mut watch = watch(Endpoint::Chat);
        let passed = through(&mut watch, garbage);
        assert!(passed.starts_with("data: {\"error\""), "{passed}");
        assert!(watch.is_over() && watch.report().failed.is_some());
    }
    let mut watch = watch(Endpoint::Chat);
    assert_eq!(watch.feed(&Bytes::from_static(b"data:\n\n")), "");
    let endless = Bytes::from(vec![b'x'; EVENT_BYTES_MAX / 4]);
    let mut passed = 0;
    while !watch.is_over() {
        passed += watch.feed(&endless).len();
    }
    assert!(passed < 1_000, "an error, not the bytes");
}

#[test]
fn the_gateway_s_own_end_is_told_once() {
    let mut watch = watch(Endpoint::Chat);
    let words = ErrorWords::new(429, "tokens", "rate_limit_exceeded", "Enough.".to_owned());
    assert!(String::from_utf8_lossy(&watch.fail(&words)).contains("Enough."));
    assert!(watch.fail(&words).is_empty() && watch.end().is_empty());
    assert_eq!(watch.report().failed, None);
}

#[test]
fn zeros_that_the_model_says_are_its_usage() {
    let mut watch = watch(Endpoint::Chat);
    let zero = r#"{"choices":[],"usage":{"completion_tokens":0,"prompt_tokens":0}}"#;
    through(&mut watch, &format!("data: {zero}\n\ndata: [DONE]\n\n"));
    assert_eq!(watch.report().counted(), Some(tokens(0, 0, 0)));
}

#[test]
fn a_plain_answer_is_named_and_counted() {
    let body = Bytes::from_static(
        br#"{"model":"/m.gguf","object":"list","usage":{"prompt_tokens":6,"total_tokens":6},"data":[{"embedding":[0.1,0.2]}]}"#,
    );
    let (passed, report) = whole(&body, "tiny");
    assert_eq!(
        passed,
        String::from_utf8_lossy(&body).replace("/m.gguf", "tiny")
    );
    assert_eq!(
        (report.usage, report.finished),
        (Some(tokens(6, 0, 0)), true)
    );
    for (body, is_whole) in [
        ("[{\"index\":0}]", true),
        ("{\"error\":\"no\"}", false),
        ("<html>", false),
        ("", false),
    ] {
        let (_, report) = whole(&Bytes::from(body), "tiny");
        assert_eq!(
            (report.finished, report.failed.is_none()),
            (is_whole, is_whole),
            "{body}"
        );
    }
}

/// A stream with everything that may be between its events.
fn decorated() -> impl Strategy<Value = String> {
    let between = prop_oneof![
        Just(String::new()),
        Just(": ping\n\n".to_owned()),
        Just(":\n".to_owned()),
        Just("event: x\nid: 3\n\n".to_owned()),
        Just("data:\n\n".to_owned()),
        Just("\n".to_owned()),
        Just("data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"split\"}}],\ndata: \"model\":\"other\"}\n\n".to_owned()),
        Just("data: {\"timings\":{\"predicted_n\":4}}\n\n".to_owned()),
        Just("data: {\"error\":\"no\"}\n\n".to_owned()),
        Just("data: {broken\n\n".to_owned()),
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    (
        spoken(2),
        proptest::collection::vec(between, 0..4),
        end,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(spoken, mut between, end, has_mark, is_cut)| {
            let stream = spoken.stream();
            let mut decorated = String::from(if has_mark { "\u{feff}" } else { "" });
            for event in stream.split_inclusive("\n\n") {
                decorated += event;
                decorated += &between.pop().unwrap_or_default();
            }
            let decorated = decorated.replace('\n', end);
            if is_cut {
                decorated.chars().take(decorated.len() / 2).collect()
            } else {
                decorated
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn where_a_stream_is_cut_changes_nothing(
        stream in decorated(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        wants_usage in any::<bool>(),
        kind in 0_usize..6,
    ) {
        let endpoint = Endpoint::ALL[kind];
        let mut whole = Watch::new(endpoint, "tiny", 1, wants_usage);
        let passed = through(&mut whole, &stream);
        for pieces in [pieces_of(stream.as_bytes(), &cuts), stream.bytes().map(|b| Bytes::from(vec![b])).collect()] {
            let mut watch = Watch::new(endpoint, "tiny", 1, wants_usage);
            let mut cut: Vec<u8> = pieces.iter().flat_map(|piece| watch.feed(piece)).collect();
            cut.extend_from_slice(&watch.end());
            prop_assert_eq!(String::from_utf8_lossy(&cut), passed.as_str());
            prop_assert_eq!(watch.report(), whole.report());
            prop_assert_eq!(watch.is_over(), whole.is_over());
        }
    }

    #[test]
    fn every_answer_is_counted_to_the_token(spoken in spoken(3)) {
        let answers = u32::try_from(spoken.choices.len()).unwrap();
        let mut watch = Watch::new(Endpoint::Chat, "tiny", answers, true);
        let passed = through(&mut watch, &spoken.stream());
        prop_assert_eq!(passed, spoken.stream().replace("/models/x.gguf", "tiny"));
        let report = watch.report();
        let n = u64::from(answers);
        let counted = Some(tokens((spoken.prompt - spoken.cached) * n, spoken.cached * n, spoken.said()));
        prop_assert_eq!((report.usage, report.timings), (counted, counted));
        prop_assert_eq!(report.deltas, spoken.said());
        prop_assert!(report.finished && report.failed.is_none());
    }

    #[test]
    fn no_stream_makes_it_panic_or_talk(noise in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_usize..6) {
        let mut watch = Watch::new(Endpoint::ALL[kind], "tiny", 1, true);
        let mut passed = watch.feed(&Bytes::from(noise.clone())).len();
        passed += watch.end().len();
        prop_assert!(passed <= noise.len() + 2_000);
        prop_assert!(watch.is_over());
        let (_, _report) = whole(&Bytes::from(noise), "tiny");
    }
}
