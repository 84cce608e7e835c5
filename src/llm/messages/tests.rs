//! Anthropic's messages there and back.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::llm::endpoint::Endpoint;
use crate::llm::request::{BadRequest, Policy, Prepared, read};
use crate::llm::spoken::{Spoken, pieces_of, spoken};

const POLICY: Policy = Policy {
    output_max: 8_192,
    output_default: 4_096,
    answers_max: 1,
    inputs_max: 1,
};

fn asked(body: &Value) -> Result<Prepared, BadRequest> {
    read(Endpoint::Messages, Bytes::from(body.to_string()), &POLICY)
}

fn sent(body: &Value) -> Value {
    let sent = asked(body).unwrap().body("up");
    serde_json::from_slice(&sent).unwrap()
}

#[test]
fn a_conversation_with_tools_becomes_a_chat() {
    let body = json!({
        "model": "m", "max_tokens": 100, "stream": true, "temperature": 0.5, "metadata": {"user_id": "x"},
        "system": [{"type": "text", "text": "Be", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "kind."}],
        "stop_sequences": ["END"],
        "tools": [{"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {"url": {"type": "string"}}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"url": "http://a", "n": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [
                    {"type": "text", "text": "seen"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                ]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "bad", "is_error": true},
                {"type": "text", "text": "go on"},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "doc"}},
            ]},
        ],
    });
    let sent = sent(&body);
    assert_eq!(
        sent,
        json!({
            "model": "up", "max_tokens": 100, "stream": true, "stream_options": {"include_usage": true},
            "temperature": 0.5, "stop": ["END"], "parallel_tool_calls": false, "tool_choice": "auto",
            "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.",
                "parameters": {"type": "object", "properties": {"url": {"type": "string"}}}}}],
            "messages": [
                {"role": "system", "content": "Be\nkind."},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{\"n\":1,\"url\":\"http://a\"}"}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "seen"},
                {"role": "tool", "tool_call_id": "t2", "content": "Error: bad"},
                {"role": "user", "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                    {"type": "text", "text": "go on"},
                    {"type": "text", "text": "doc"},
                ]},
            ],
        })
    );
    let prepared = asked(&body).unwrap();
    assert_eq!(
        (prepared.images, prepared.stream, prepared.output_cap),
        (1, true, 100)
    );
    assert_eq!(prepared.endpoint.upstream_path(), "/v1/chat/completions");
}

#[test]
fn a_choice_of_tool_leaves_that_tool_alone() {
    let tools = json!([{"name": "a", "input_schema": {}}, {"type": "custom", "name": "b"}]);
    let with = |choice: Value| {
        asked(&json!({"model": "m", "messages": [], "tools": tools, "tool_choice": choice}))
            .map(|it| serde_json::from_slice::<Value>(&it.body("m")).unwrap())
    };
    let one = with(json!({"type": "tool", "name": "b"})).unwrap();
    assert_eq!(one["tool_choice"], "required");
    assert_eq!(
        one["tools"],
        json!([{"type": "function", "function": {"name": "b", "parameters": {"type": "object"}}}])
    );
    assert_eq!(
        with(json!({"type": "any"})).unwrap()["tool_choice"],
        "required"
    );
    assert_eq!(
        with(json!({"type": "none"})).unwrap()["tool_choice"],
        "none"
    );
    assert!(with(json!({"type": "tool", "name": "c"})).is_err());
    assert!(with(json!({"type": "magic"})).is_err());
    assert!(with(json!("auto")).is_err());
}

#[test]
fn thinking_is_switched_in_llama_cpp_s_words() {
    let with = |thinking: Value| sent(&json!({"model": "m", "messages": [], "thinking": thinking}));
    assert_eq!(
        with(json!({"type": "disabled"}))["chat_template_kwargs"],
        json!({"enable_thinking": false})
    );
    assert_eq!(
        with(json!({"type": "enabled", "budget_tokens": 99}))["thinking_budget_tokens"],
        99
    );
    assert!(with(json!({"type": "adaptive"})).get("thinking").is_none());
}

#[test]
fn nothing_that_lies_elsewhere_or_is_not_known_passes() {
    for (block, error) in [
        (
            json!({"type": "image", "source": {"type": "url", "url": "http://a"}}),
            "Remote",
        ),
        (
            json!({"type": "image", "source": {"type": "file", "file_id": "f"}}),
            "Remote",
        ),
        (
            json!({"type": "document", "source": {"type": "url", "url": "http://a"}}),
            "Remote",
        ),
        (
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}),
            "Unsupported",
        ),
        (json!({"type": "server_tool_use", "id": "x"}), "Unreadable"),
        (json!({"type": "text"}), "Unreadable"),
        (json!("text"), "Unreadable"),
        (
            json!({"type": "tool_use", "id": "t", "name": "n", "input": {}}),
            "Unsupported",
        ),
    ] {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [block]}]});
        let refused = format!("{:?}", asked(&body).unwrap_err());
        assert!(refused.starts_with(error), "{block}: {refused}");
    }
    for body in [
        json!({"model": "m"}),
        json!({"model": "m", "messages": [{"role": "tool", "content": "a"}]}),
        json!({"model": "m", "messages": [{"role": "user"}]}),
        json!({"model": "m", "messages": [], "max_tokens": -1}),
        json!({"model": "m", "messages": [], "system": 7}),
        json!({"model": "m", "messages": [], "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        json!({"messages": []}),
    ] {
        assert!(asked(&body).is_err(), "{body}");
    }
}

/// What Anthropic's own libraries put together from a stream.
fn listened(stream: &str) -> Value {
    let mut message = Value::Null;
    let mut arguments: Vec<String> = Vec::new();
    let mut open = None;
    for event in stream.split("\n\n").filter(|event| !event.is_empty()) {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        let index = data["index"]
            .as_u64()
            .map(|index| usize::try_from(index).unwrap());
        match data["type"].as_str().unwrap() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                assert_eq!(
                    (open, index),
                    (None, Some(arguments.len())),
                    "one at a time, in order"
                );
                open = index;
                arguments.push(String::new());
                message["content"]
                    .as_array_mut()
                    .unwrap()
                    .push(data["content_block"].clone());
            }
            "content_block_delta" => {
                let block = &mut message["content"][index.unwrap()];
                let delta = &data["delta"];
                let member = match delta["type"].as_str().unwrap() {
                    "text_delta" => "text",
                    "thinking_delta" => "thinking",
                    _ => {
                        arguments[index.unwrap()] += delta["partial_json"].as_str().unwrap();
                        continue;
                    }
                };
                let text = block[member].as_str().unwrap().to_owned();
                block[member] = (text + delta[member].as_str().unwrap()).into();
            }
            "content_block_stop" => {
                assert_eq!(open.take(), index);
                let block = &mut message["content"][index.unwrap()];
                let cut = std::mem::take(&mut arguments[index.unwrap()]);
                if block["type"] == "tool_use" && !cut.is_empty() {
                    let whole = serde_json::from_str(&cut).ok().filter(Value::is_object);
                    block["input"] = whole.unwrap_or_else(|| json!({"arguments": cut}));
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => return message,
            other => panic!("{other}"),
        }
    }
    panic!("the message has no end: {stream}");
}

fn streamed(spoken: &Spoken, pieces: &[Bytes]) -> String {
    let body = json!({"model": "tiny", "messages": [], "stream": true});
    let mut watch = asked(&body).unwrap().watch();
    let mut passed: Vec<u8> = pieces.iter().flat_map(|piece| watch.feed(piece)).collect();
    passed.extend_from_slice(&watch.end());
    assert_eq!(watch.report().deltas, spoken.said());
    String::from_utf8(passed).unwrap()
}

#[test]
fn an_error_is_told_in_anthropic_s_shape() {
    let body = json!({"model": "tiny", "messages": [], "stream": true});
    let mut watch = asked(&body).unwrap().watch();
    let error = Bytes::from_static(
        b"data: {\"error\":{\"message\":\"exceeds the available context size\"}}\n\n",
    );
    assert_eq!(
        watch.feed(&error),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"exceeds the available context size\"}}\n\n"
    );
    assert!(watch.is_over() && watch.end().is_empty());
}

#[test]
fn why_the_model_stopped_is_translated() {
    for (finish, stop) in [
        (Some("stop"), "end_turn"),
        (Some("length"), "max_tokens"),
        (Some("tool_calls"), "tool_use"),
        (Some("content_filter"), "refusal"),
        (None, "end_turn"),
    ] {
        assert_eq!(stop_reason(finish), stop);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_events_add_up_to_the_answer_without_a_stream(
        spoken in spoken(1),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream = spoken.stream();
        let heard = streamed(&spoken, &pieces_of(stream.as_bytes(), &cuts));
        let body = json!({"model": "tiny", "messages": []});
        let mut assembly = asked(&body).unwrap().assembly(1_000_000);
        assembly.feed(&Bytes::from(stream));
        let whole: Value = serde_json::from_slice(&assembly.end().unwrap()).unwrap();
        prop_assert_eq!(&listened(&heard), &whole);

        let choice = &spoken.choices[0];
        let expected = json!({
            "input_tokens": spoken.prompt - spoken.cached,
            "cache_read_input_tokens": spoken.cached,
            "output_tokens": spoken.said(),
        });
        prop_assert_eq!(&whole["usage"], &expected);
        prop_assert_eq!(whole["model"].as_str(), Some("tiny"));
        let blocks = whole["content"].as_array().unwrap();
        let texts: String = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        prop_assert_eq!(texts, choice.texts.concat());
        let calls = blocks.iter().filter(|block| block["type"] == "tool_use").count();
        prop_assert_eq!(calls, choice.calls.len());
    }
}
