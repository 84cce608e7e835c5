//! An answer of a chat, told as one of Anthropic's messages.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::domain::quota::Tokens;
use crate::llm::messages::{message_id, stop_reason};
use crate::llm::report::Report;

/// `choice` is the chat's first.
pub(in crate::llm) fn answer(
    id: Option<&str>,
    model: &str,
    choice: &Value,
    report: &Report,
) -> Option<Bytes> {
    let message = choice.get("message")?;
    let text = |name: &str| {
        let text = message.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let mut content = Vec::new();
    if let Some(thought) = text("reasoning_content") {
        content.push(json!({"type": "thinking", "thinking": thought, "signature": ""}));
    }
    if let Some(text) = text("content").or_else(|| text("refusal")) {
        content.push(json!({"type": "text", "text": text}));
    }
    let calls = message.get("tool_calls").and_then(Value::as_array);
    content.extend(calls.into_iter().flatten().enumerate().map(call));
    let reason = choice.get("finish_reason").and_then(Value::as_str);
    let whole = json!({
        "id": message_id(id),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason(reason),
        "stop_sequence": null,
        "usage": usage(report.counted().unwrap_or_default()),
    });
    serde_json::to_vec(&whole).ok().map(Bytes::from)
}

/// Arguments that are no JSON, since the answer was cut within them, are shown as they are.
fn call((place, call): (usize, &Value)) -> Value {
    let function = call.get("function");
    let part = |name: &str| function.and_then(|it| it.get(name)).and_then(Value::as_str);
    let arguments = part("arguments").unwrap_or_default();
    let input = serde_json::from_str(arguments)
        .ok()
        .filter(Value::is_object);
    let input = input.unwrap_or_else(|| match arguments {
        "" => json!({}),
        cut => json!({"arguments": cut}),
    });
    let id = call
        .get("id")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty());
    let id = id.map_or_else(|| format!("toolu_{place}"), str::to_owned);
    json!({"type": "tool_use", "id": id, "name": part("name"), "input": input})
}

pub(super) fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.input,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.output,
    })
}
