//! The stream of a chat, told in Anthropic's events.

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::quota::Tokens;
use crate::llm::json::{Malformed, quoted};
use crate::llm::messages::answer::usage;
use crate::llm::messages::{message_id, stop_reason};
use crate::llm::report::Report;
use crate::llm::sse;

/// Calls of one answer; more are nobody's.
const CALLS_MAX: usize = 1024;

/// Blocks follow each other: text, thought and each call are one, and one is open at a time.
#[derive(Debug)]
pub(in crate::llm) struct Speaker {
    model: String,
    has_begun: bool,
    open: Option<Open>,
    blocks: u64,
    /// Calls by the chat's numbers, and which block each is.
    calls: Vec<(u64, u64)>,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thought,
    Call(u64),
}

#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: u64,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl Speaker {
    pub(in crate::llm) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            has_begun: false,
            open: None,
            blocks: 0,
            calls: Vec::new(),
            reason: None,
        }
    }

    /// One chunk of the chat.
    pub(in crate::llm) fn speak(
        &mut self,
        data: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Malformed> {
        let chunk: Chunk = serde_json::from_slice(data).map_err(|_| Malformed)?;
        self.begin(chunk.id.as_deref(), out);
        for choice in chunk.choices.into_iter().filter(|it| it.index == 0) {
            if let Some(delta) = choice.delta {
                self.delta(delta, out)?;
            }
            self.reason = choice.finish_reason.or_else(|| self.reason.take());
        }
        Ok(())
    }

    /// What it cost is known only now.
    pub(in crate::llm) fn close(&mut self, report: &Report, out: &mut BytesMut) {
        self.begin(None, out);
        self.shut(out);
        let reason = stop_reason(self.reason.as_deref());
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": usage(report.counted().unwrap_or_default()),
        });
        tell(out, "message_delta", &delta);
        tell(out, "message_stop", &json!({"type": "message_stop"}));
    }

    fn begin(&mut self, id: Option<&str>, out: &mut BytesMut) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let message = json!({
            "id": message_id(id),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage(Tokens::default()),
        });
        let start = json!({"type": "message_start", "message": message});
        tell(out, "message_start", &start);
    }

    fn delta(&mut self, delta: Delta, out: &mut BytesMut) -> Result<(), Malformed> {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(thought) = said(delta.reasoning_content) {
            let start = json!({"type": "thinking", "thinking": "", "signature": ""});
            self.turn_to(Open::Thought, &start, out);
            self.piece("thinking_delta", "thinking", &thought, out);
        }
        for text in [said(delta.content), said(delta.refusal)]
            .into_iter()
            .flatten()
        {
            self.turn_to(Open::Text, &json!({"type": "text", "text": ""}), out);
            self.piece("text_delta", "text", &text, out);
        }
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(call, out)?;
        }
        Ok(())
    }

    /// A call begins with its name; its arguments follow in pieces.
    fn call(&mut self, call: Call, out: &mut BytesMut) -> Result<(), Malformed> {
        let (name, arguments) = call
            .function
            .map_or((None, None), |it| (it.name, it.arguments));
        let known = self.calls.iter().find(|(index, _)| *index == call.index);
        let block = if let Some((_, block)) = known {
            *block
        } else {
            if self.calls.len() == CALLS_MAX {
                return Err(Malformed);
            }
            let id = call.id.filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| format!("toolu_{}", call.index));
            let name = name.unwrap_or_default();
            let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            self.turn_to(Open::Call(call.index), &start, out);
            let block = self.blocks.saturating_sub(1);
            self.calls.push((call.index, block));
            block
        };
        if let Some(arguments) = arguments.filter(|it| !it.is_empty()) {
            piece_of(block, "input_json_delta", "partial_json", &arguments, out);
        }
        Ok(())
    }

    /// Opens a block unless it is the one that is open.
    fn turn_to(&mut self, kind: Open, start: &Value, out: &mut BytesMut) {
        if self.open == Some(kind) {
            return;
        }
        self.shut(out);
        let event = json!({
            "type": "content_block_start",
            "index": self.blocks,
            "content_block": start,
        });
        tell(out, "content_block_start", &event);
        self.open = Some(kind);
        self.blocks += 1;
    }

    fn shut(&mut self, out: &mut BytesMut) {
        if self.open.take().is_some() {
            let index = self.blocks.saturating_sub(1);
            let stop = json!({"type": "content_block_stop", "index": index});
            tell(out, "content_block_stop", &stop);
        }
    }

    fn piece(&self, kind: &str, member: &str, text: &str, out: &mut BytesMut) {
        piece_of(self.blocks.saturating_sub(1), kind, member, text, out);
    }
}

/// The event that comes a thousand times in an answer: written without a tree of it.
fn piece_of(block: u64, kind: &str, member: &str, text: &str, out: &mut BytesMut) {
    let text = quoted(text);
    let event = format!(
        r#"{{"type":"content_block_delta","index":{block},"delta":{{"type":"{kind}","{member}":{text}}}}}"#
    );
    sse::event(out, Some("content_block_delta"), event.as_bytes());
}

fn tell(out: &mut BytesMut, name: &str, event: &Value) {
    sse::event(out, Some(name), event.to_string().as_bytes());
}
