//! The stream of one answer, made whole again for a client that asked for no stream.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::quota::Tokens;
use crate::llm::endpoint::Endpoint;
use crate::llm::event::Facts;
use crate::llm::json;
use crate::llm::merge::{TooMany, merge};
use crate::llm::messages;
use crate::llm::report::{Report, Tally};
use crate::llm::sse::{self, Scanner};
use crate::llm::upstream::UpstreamError;
use crate::llm::watch::EVENT_BYTES_MAX;

/// Feed it what upstream sends until it is over or upstream ends; then there is an answer or an error.
#[derive(Debug)]
pub struct Assembly {
    endpoint: Endpoint,
    scanner: Scanner,
    tally: Tally,
    model: String,
    answers: u32,
    /// Bytes that may still come.
    room: usize,
    answer: Answer,
    is_over: bool,
}

/// What there is of it.
#[derive(Debug, Default)]
struct Answer {
    id: Option<Value>,
    created: Option<Value>,
    system_fingerprint: Option<Value>,
    choices: Map<String, Value>,
    usage: Option<Box<RawValue>>,
    timings: Option<Box<RawValue>>,
    /// Of a response, which comes whole with its last event.
    response: Option<Bytes>,
}

/// One event; what is not named here is not part of an answer.
#[derive(Deserialize)]
struct Chunk {
    id: Option<Value>,
    created: Option<Value>,
    system_fingerprint: Option<Value>,
    #[serde(default)]
    choices: Vec<Map<String, Value>>,
    usage: Option<Box<RawValue>>,
    timings: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a Option<Value>,
    object: &'static str,
    created: &'a Option<Value>,
    model: &'a str,
    choices: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: &'a Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<&'a RawValue>,
}

impl Assembly {
    pub(super) fn new(endpoint: Endpoint, model: &str, answers: u32, bytes_max: usize) -> Self {
        Self {
            endpoint,
            scanner: Scanner::new(EVENT_BYTES_MAX.min(bytes_max)),
            tally: Tally::new(answers),
            model: model.to_owned(),
            answers,
            room: bytes_max,
            answer: Answer::default(),
            is_over: false,
        }
    }

    pub fn feed(&mut self, chunk: &Bytes) {
        if self.is_over {
            return;
        }
        match self.room.checked_sub(chunk.len()) {
            Some(room) => self.room = room,
            None => return self.fault(UpstreamError::too_long()),
        }
        self.scanner.feed(chunk);
        while !self.is_over {
            match self.scanner.next() {
                Ok(Some(block)) => self.block(&block),
                Ok(None) => break,
                Err(sse::TooLong) => self.fault(UpstreamError::too_long()),
            }
        }
    }

    /// Nothing more comes of it: upstream may be let go.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub fn report(&self) -> &Report {
        &self.tally.report
    }

    /// Upstream ended: the body of the answer, or what became of it.
    pub fn end(&mut self) -> Result<Bytes, UpstreamError> {
        if !self.is_over
            && let Some(rest) = self.scanner.rest()
        {
            self.block(&rest);
        }
        self.is_over = true;
        if self.tally.report.failed.is_none() && !self.tally.report.finished {
            self.fault(UpstreamError::broke_off());
        }
        if let Some(error) = &self.tally.report.failed {
            return Err(error.clone());
        }
        let body = match self.endpoint {
            Endpoint::Responses => self.answer.response.take(),
            Endpoint::Messages => self.message(),
            _ => self.whole(),
        };
        body.ok_or_else(|| {
            let error = UpstreamError::unreadable();
            self.fault(error.clone());
            error
        })
    }

    fn block(&mut self, block: &Bytes) {
        let Some(data) = sse::data(block).filter(|data| !data.says_nothing()) else {
            return;
        };
        if *data.text == *b"[DONE]" {
            self.tally.report.finished = true;
            self.is_over = true;
            return;
        }
        let Ok(facts) = Facts::read(self.endpoint, &data.text) else {
            return self.fault(UpstreamError::unreadable());
        };
        self.tally.add(&facts);
        if let Some(error) = facts.error {
            return self.fault(UpstreamError::in_stream(error));
        }
        if self.endpoint == Endpoint::Responses {
            if facts.is_over {
                self.answer.response = self.response(&data.text, &facts);
            }
        } else if self.answer.add(&data.text).is_err() {
            self.fault(UpstreamError::unreadable());
        }
    }

    /// The whole response, which its last event repeats.
    fn response(&self, data: &[u8], facts: &Facts<'_>) -> Option<Bytes> {
        let all = facts.response.clone()?;
        let name = facts.model.clone().unwrap_or(all.end..all.end);
        let model = json::quoted(&self.model);
        let model = if name.is_empty() { "" } else { model.as_str() };
        let head = data.get(all.start..name.start)?;
        let tail = data.get(name.end..all.end)?;
        Some([head, model.as_bytes(), tail].concat().into())
    }

    fn whole(&mut self) -> Option<Bytes> {
        let answer = &self.answer;
        let is_chat = self.endpoint == Endpoint::Chat;
        let whole = Whole {
            id: &answer.id,
            object: if is_chat {
                "chat.completion"
            } else {
                "text_completion"
            },
            created: &answer.created,
            model: &self.model,
            choices: answer.choices(is_chat),
            usage: self.usage(),
            system_fingerprint: &answer.system_fingerprint,
            timings: answer.timings.as_deref(),
        };
        serde_json::to_vec(&whole).ok().map(Bytes::from)
    }

    fn message(&mut self) -> Option<Bytes> {
        let choice = self.answer.choices(true).into_iter().next()?;
        let id = self.answer.id.as_ref().and_then(Value::as_str);
        messages::answer(id, &self.model, &choice, &self.tally.report)
    }

    /// In the model's own words, unless several have to be added.
    fn usage(&self) -> Option<Value> {
        let own = self.answer.usage.as_ref().filter(|_| self.answers <= 1);
        let own = own.and_then(|own| serde_json::from_str(own.get()).ok());
        own.or_else(|| self.tally.report.counted().map(told))
    }

    fn fault(&mut self, error: UpstreamError) {
        self.tally.report.failed = Some(error);
        self.tally.report.finished = false;
        self.is_over = true;
    }
}

impl Answer {
    fn add(&mut self, data: &[u8]) -> Result<(), Unreadable> {
        let chunk: Chunk = serde_json::from_slice(data).map_err(|_| Unreadable)?;
        self.id = chunk.id.or_else(|| self.id.take());
        self.created = chunk.created.or_else(|| self.created.take());
        let fingerprint = chunk.system_fingerprint;
        self.system_fingerprint = fingerprint.or_else(|| self.system_fingerprint.take());
        self.usage = chunk.usage.or_else(|| self.usage.take());
        self.timings = chunk.timings.or_else(|| self.timings.take());
        for mut choice in chunk.choices {
            choice.entry("index").or_insert_with(|| Value::from(0));
            if let Some(delta) = choice.remove("delta") {
                choice.insert("message".to_owned(), delta);
            }
            let list = Value::Array(vec![Value::Object(choice)]);
            let more = Map::from_iter([("choices".to_owned(), list)]);
            merge(&mut self.choices, more).map_err(|TooMany| Unreadable)?;
        }
        Ok(())
    }

    /// In their order, each with what its clients look for.
    fn choices(&self, is_chat: bool) -> Vec<Value> {
        let choices = self.choices.get("choices").and_then(Value::as_array);
        let mut choices = choices.cloned().unwrap_or_default();
        choices.sort_by_key(|choice| choice.get("index").and_then(Value::as_u64));
        for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
            choice.entry("finish_reason").or_insert(Value::Null);
            if is_chat {
                let message = choice.entry("message").or_insert_with(|| Map::new().into());
                complete(message);
            } else {
                choice.entry("text").or_insert_with(|| "".into());
                choice.entry("logprobs").or_insert(Value::Null);
            }
        }
        choices
    }
}

/// What one event brings cannot be part of an answer.
struct Unreadable;

fn complete(message: &mut Value) {
    let Some(message) = message.as_object_mut() else {
        return;
    };
    message.entry("role").or_insert_with(|| "assistant".into());
    message.entry("content").or_insert(Value::Null);
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    for call in calls.into_iter().flatten() {
        if let Some(call) = call.as_object_mut() {
            call.remove("index");
        }
    }
}

fn told(tokens: Tokens) -> Value {
    let prompt = tokens.input.saturating_add(tokens.cached);
    serde_json::json!({
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total(),
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
    })
}

#[cfg(test)]
mod tests;
