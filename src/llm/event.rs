//! What one event of a stream says: found in its bytes, without making a tree of them.

use std::ops::Range;

use crate::domain::quota::Tokens;
use crate::llm::endpoint::Endpoint;
use crate::llm::json::{self, Malformed};
use crate::llm::usage;

#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    /// Where the model's name is, with its quotes.
    pub(super) model: Option<Range<usize>>,
    pub(super) usage: Option<Tokens>,
    pub(super) timings: Option<Tokens>,
    /// The list of choices is there and empty.
    pub(super) has_no_choice: bool,
    pub(super) deltas: u64,
    pub(super) output_bytes: u64,
    /// Choices that end here.
    pub(super) finishes: u32,
    /// The last event of its answer.
    pub(super) is_over: bool,
    /// What the model's server says of its failure.
    pub(super) error: Option<&'a [u8]>,
    /// Of a response: as it is now.
    pub(super) response: Option<Range<usize>>,
}

/// Members of an event that mean something.
#[derive(Default)]
struct Parts<'a> {
    kind: Option<&'a [u8]>,
    choices: Option<&'a [u8]>,
    delta: Option<&'a [u8]>,
}

impl<'a> Facts<'a> {
    /// `data` is one JSON object.
    pub(super) fn read(endpoint: Endpoint, data: &'a [u8]) -> Result<Self, Malformed> {
        if !json::is_object(data) {
            return Err(Malformed);
        }
        let mut facts = Self::default();
        let mut parts = Parts::default();
        let mut members = json::members(data);
        for member in members.by_ref() {
            let member = member?;
            let at = member.span.end.saturating_sub(member.value.len());
            facts.member(member.key, member.value, at, &mut parts);
        }
        if members.end() + 1 != data.len() {
            return Err(Malformed);
        }
        if endpoint == Endpoint::Responses {
            facts.step(data, &parts);
        } else {
            facts.choices(parts.choices);
        }
        Ok(facts)
    }

    fn member(&mut self, key: &[u8], value: &'a [u8], at: usize, parts: &mut Parts<'a>) {
        let value = Some(value).filter(|value| !json::is_null(value));
        match key {
            b"\"model\"" => self.model = value.map(|value| at..at + value.len()),
            b"\"usage\"" => self.usage = value.and_then(usage::usage).or(self.usage),
            b"\"timings\"" => self.timings = value.and_then(usage::timings),
            b"\"error\"" => self.error = value,
            b"\"choices\"" => parts.choices = value,
            b"\"type\"" => parts.kind = value,
            b"\"delta\"" => parts.delta = value,
            b"\"response\"" => self.response(value, at),
            _ => {}
        }
    }

    /// The usage of a response, and its model's name, are inside.
    fn response(&mut self, value: Option<&'a [u8]>, at: usize) {
        self.response = value.map(|value| at..at + value.len());
        for member in json::members(value.unwrap_or_default()).map_while(Result::ok) {
            match member.key {
                b"\"model\"" => {
                    self.model = Some(at + member.value_at()..at + member.span.end);
                }
                b"\"usage\"" => self.usage = usage::usage(member.value).or(self.usage),
                b"\"error\"" if !json::is_null(member.value) => self.error = Some(member.value),
                _ => {}
            }
        }
    }

    /// An event of a response: its kind says whether there is text in it.
    fn step(&mut self, data: &'a [u8], parts: &Parts<'a>) {
        match parts.kind.unwrap_or_default() {
            b"\"response.completed\"" | b"\"response.incomplete\"" => {
                self.is_over = true;
                self.finishes = 1;
            }
            b"\"response.failed\"" => self.error = self.error.or(Some(b"{}")),
            b"\"error\"" => self.error = self.error.or(Some(data)),
            _ => self.text(parts.delta),
        }
    }

    fn choices(&mut self, choices: Option<&'a [u8]>) {
        let Some(choices) = choices else {
            return;
        };
        self.has_no_choice = true;
        for choice in json::elements(choices).map_while(Result::ok) {
            self.has_no_choice = false;
            for member in json::members(choice).map_while(Result::ok) {
                match member.key {
                    b"\"text\"" => self.text(Some(member.value)),
                    b"\"delta\"" => self.delta(member.value),
                    b"\"finish_reason\"" if json::is_string(member.value) => self.finishes += 1,
                    _ => {}
                }
            }
        }
    }

    fn delta(&mut self, delta: &'a [u8]) {
        for member in json::members(delta).map_while(Result::ok) {
            match member.key {
                b"\"content\"" | b"\"reasoning_content\"" | b"\"reasoning\"" | b"\"refusal\"" => {
                    self.text(Some(member.value));
                }
                b"\"tool_calls\"" => {
                    for call in json::elements(member.value).map_while(Result::ok) {
                        self.call(call);
                    }
                }
                _ => {}
            }
        }
    }

    /// A call's name is text that the model wrote as well.
    fn call(&mut self, call: &'a [u8]) {
        let [function] = json::pick(call, ["function"]).unwrap_or_default();
        let found = json::pick(function.unwrap_or_default(), ["name", "arguments"]);
        let [name, arguments] = found.unwrap_or_default();
        let before = self.deltas;
        self.text(name);
        self.text(arguments);
        self.deltas = self.deltas.min(before + 1);
    }

    fn text(&mut self, value: Option<&[u8]>) {
        let length = value.filter(|value| json::is_string(value));
        let length = length.map_or(0, json::length);
        if length > 0 {
            self.deltas += 1;
            self.output_bytes = self.output_bytes.saturating_add(length);
        }
    }

    /// A chunk that says what it cost and nothing else.
    pub(super) fn is_usage_only(&self) -> bool {
        self.has_no_choice && self.usage.is_some()
    }
}
