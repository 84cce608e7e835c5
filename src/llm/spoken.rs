//! For tests: any JSON, and what a model said, as a stream and as it would be without one.

use proptest::prelude::*;
use serde_json::{Value, json};

/// A model's whole answer to a chat, piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Spoken {
    pub(super) choices: Vec<Choice>,
    pub(super) prompt: u64,
    pub(super) cached: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) thoughts: Vec<String>,
    pub(super) texts: Vec<String>,
    pub(super) calls: Vec<Vec<String>>,
    pub(super) finish: &'static str,
}

fn pieces() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[ -~ä\n]{1,6}", 0..5)
}

fn choice() -> impl Strategy<Value = Choice> {
    (
        pieces(),
        pieces(),
        proptest::collection::vec(pieces(), 0..3),
        prop_oneof![Just("stop"), Just("length"), Just("tool_calls")],
    )
        .prop_map(|(thoughts, texts, calls, finish)| Choice {
            thoughts,
            texts,
            calls,
            finish,
        })
}

pub(super) fn spoken(choices_max: usize) -> impl Strategy<Value = Spoken> {
    (
        proptest::collection::vec(choice(), 1..=choices_max),
        0_u64..1_000,
        0_u64..1_000,
    )
        .prop_map(|(choices, cached, more)| Spoken {
            choices,
            prompt: cached + more,
            cached,
        })
}

impl Choice {
    /// One for each piece; a call begins with its name.
    pub(super) fn deltas(&self) -> Vec<Value> {
        let mut deltas = vec![json!({"role": "assistant", "content": null})];
        deltas.extend(
            self.thoughts
                .iter()
                .map(|it| json!({"reasoning_content": it})),
        );
        deltas.extend(self.texts.iter().map(|it| json!({"content": it})));
        for (index, pieces) in self.calls.iter().enumerate() {
            let start = json!({"index": index, "id": format!("call{index}"), "type": "function",
                "function": {"name": format!("f{index}"), "arguments": ""}});
            deltas.push(json!({"tool_calls": [start]}));
            deltas.extend(pieces.iter().map(
                |piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}),
            ));
        }
        deltas
    }

    /// Pieces that say something.
    pub(super) fn said(&self) -> u64 {
        let calls: usize = self.calls.iter().map(|pieces| pieces.len() + 1).sum();
        (self.thoughts.len() + self.texts.len() + calls) as u64
    }

    fn message(&self) -> Value {
        let mut message = json!({"role": "assistant", "content": null});
        if !self.texts.is_empty() {
            message["content"] = self.texts.concat().into();
        }
        if !self.thoughts.is_empty() {
            message["reasoning_content"] = self.thoughts.concat().into();
        }
        if !self.calls.is_empty() {
            let calls = self.calls.iter().enumerate().map(|(index, pieces)| {
                json!({"id": format!("call{index}"), "type": "function",
                    "function": {"name": format!("f{index}"), "arguments": pieces.concat()}})
            });
            message["tool_calls"] = calls.collect();
        }
        message
    }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn chunk(choices: &Value) -> Value {
    json!({"choices": choices, "created": 1_795_339_933, "id": "chatcmpl-a", "model": "/models/x.gguf",
        "system_fingerprint": "b1", "object": "chat.completion.chunk"})
}

impl Spoken {
    fn usage(&self) -> Value {
        let said = self.said();
        let answers = self.choices.len() as u64;
        json!({"completion_tokens": said, "prompt_tokens": self.prompt * answers,
            "total_tokens": self.prompt * answers + said,
            "prompt_tokens_details": {"cached_tokens": self.cached * answers}})
    }

    pub(super) fn said(&self) -> u64 {
        self.choices.iter().map(Choice::said).sum()
    }

    /// As llama.cpp streams it: choices take turns, and each says at the end what it cost.
    pub(super) fn stream(&self) -> String {
        let mut stream = String::new();
        let all: Vec<Vec<Value>> = self.choices.iter().map(Choice::deltas).collect();
        let longest = all.iter().map(Vec::len).max().unwrap_or_default();
        for turn in 0..longest {
            for (index, deltas) in all.iter().enumerate() {
                if let Some(delta) = deltas.get(turn) {
                    stream += &event(&chunk(
                        &json!([{"index": index, "delta": delta, "finish_reason": null}]),
                    ));
                }
            }
        }
        for (index, choice) in self.choices.iter().enumerate() {
            stream += &event(&chunk(
                &json!([{"index": index, "delta": {}, "finish_reason": choice.finish}]),
            ));
        }
        for choice in &self.choices {
            let mut last = chunk(&json!([]));
            last["usage"] = json!({"completion_tokens": choice.said(), "prompt_tokens": self.prompt,
                "total_tokens": self.prompt + choice.said(),
                "prompt_tokens_details": {"cached_tokens": self.cached}});
            last["timings"] = json!({"cache_n": self.cached, "prompt_n": self.prompt - self.cached,
                "prompt_ms": 0.25, "predicted_n": choice.said()});
            stream += &event(&last);
        }
        stream + "data: [DONE]\n\n"
    }

    /// What the same request answers without a stream.
    pub(super) fn direct(&self, model: &str) -> Value {
        let choices: Vec<Value> = self
            .choices
            .iter()
            .enumerate()
            .map(|(index, choice)| {
                json!({"index": index, "message": choice.message(), "finish_reason": choice.finish})
            })
            .collect();
        let last = self.choices.last().map_or(0, Choice::said);
        json!({"choices": choices, "created": 1_795_339_933, "id": "chatcmpl-a", "model": model,
            "system_fingerprint": "b1", "object": "chat.completion", "usage": self.usage(),
            "timings": {"cache_n": self.cached, "prompt_n": self.prompt - self.cached,
                "prompt_ms": 0.25, "predicted_n": last}})
    }
}

/// Any JSON.
pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Quarters, which every reader reads exactly.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[a-z\"\\\\ä]{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A stream in pieces, cut where `cuts` say.
pub(super) fn pieces_of(stream: &[u8], cuts: &[prop::sample::Index]) -> Vec<bytes::Bytes> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| bytes::Bytes::copy_from_slice(&stream[pair[0]..pair[1]]))
        .collect()
}
