//! What a well-behaved server answers, in the shapes that llama.cpp and Lemonade were seen to use.

use serde_json::{Value, json};

use super::{Asked, Kind, Reply, Shared};

/// How long an answer gets by itself, and what its prompt counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// Of the whole prompt, those from the cache among them.
    pub(crate) prompt: u64,
    pub(crate) cached: u64,
    /// Ends by itself after so many tokens, unless it must stop earlier.
    pub(crate) output: u64,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            prompt: 21,
            cached: 20,
            output: 8,
        }
    }
}

/// One answer, before it has a shape.
struct Turn {
    kind: Kind,
    model: String,
    words: Words,
    is_cut_short: bool,
    choices: u64,
    wants_usage: bool,
}

const CREATED: u64 = 1_795_339_933;

impl Shared {
    pub(super) fn well_behaved(&self, asked: &Asked, words: &Words) -> Reply {
        let body = asked.json();
        if let Some(refusal) = self.refusal(asked, &body) {
            return refusal;
        }
        let turn = self.turn(&body, *words);
        let streams = body["stream"] == true;
        let path = asked.path.strip_prefix("/api").unwrap_or(&asked.path);
        match (path, streams) {
            ("/v1/chat/completions", true) => Reply::events(turn.chat_events()),
            ("/v1/chat/completions", false) => Reply::json(200, &turn.chat()),
            ("/v1/completions", true) => Reply::events(turn.text_events()),
            ("/v1/completions", false) => Reply::json(200, &turn.text()),
            ("/v1/responses", true) => Reply::events(turn.response_events()),
            ("/v1/responses", false) => Reply::json(200, &turn.response()),
            ("/v1/messages", true) => Reply::events(turn.message_events()),
            ("/v1/messages", false) => Reply::json(200, &turn.message()),
            ("/v1/embeddings", _) => Reply::json(200, &turn.embeddings(&body)),
            ("/v1/rerank" | "/v1/reranking" | "/v1/reranker", _) => {
                Reply::json(200, &turn.ranks(&body))
            }
            _ => Reply::json(
                404,
                &json!({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}),
            ),
        }
    }

    fn refusal(&self, asked: &Asked, body: &Value) -> Option<Reply> {
        if self.kind == Kind::Lemonade && asked.headers.contains_key("origin") {
            return Some(Reply::json(403, &json!({"error": "Origin not allowed"})));
        }
        if body.is_null() {
            let message = "[json.exception.parse_error.101] parse error";
            let error = match self.kind {
                Kind::Llama => {
                    json!({"code": 400, "message": message, "type": "invalid_request_error"})
                }
                Kind::Lemonade => json!(format!("Invalid JSON in request body: {message}")),
            };
            return Some(Reply::json(400, &json!({ "error": error })));
        }
        let name = body["model"].as_str().unwrap_or_default();
        let bare = name.strip_prefix("user.").unwrap_or(name);
        let bare = bare.strip_suffix(":latest").unwrap_or(bare);
        if self.kind == Kind::Lemonade && !self.names.iter().any(|known| known == bare) {
            let message = format!("Model '{name}' was not found.");
            let error = json!({
                "code": "model_not_found", "message": message, "param": "model",
                "requested_model": name, "type": "model_not_found",
            });
            return Some(Reply::json(404, &json!({ "error": error })));
        }
        None
    }

    fn turn(&self, body: &Value, words: Words) -> Turn {
        // In the order in which llama.cpp believes them.
        let caps = [
            "n_predict",
            "max_completion_tokens",
            "max_tokens",
            "max_output_tokens",
        ];
        let cap = caps.iter().find_map(|cap| body[cap].as_u64());
        let output = cap.map_or(words.output, |cap| words.output.min(cap.max(1)));
        let model = match self.kind {
            Kind::Llama => self.names.first().cloned().unwrap_or_default(),
            Kind::Lemonade if body["stream"] == true => self.path(),
            Kind::Lemonade => body["model"].as_str().unwrap_or_default().to_owned(),
        };
        Turn {
            kind: self.kind,
            model,
            is_cut_short: output < words.output,
            words: Words { output, ..words },
            choices: body["n"].as_u64().unwrap_or(1),
            wants_usage: body["stream_options"]["include_usage"] == true,
        }
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// With the name of its type.
fn event(value: &Value) -> String {
    let name = value["type"].as_str().unwrap();
    format!("event: {name}\ndata: {value}\n\n")
}

fn done() -> String {
    "data: [DONE]\n\n".to_owned()
}

impl Turn {
    /// One token each.
    fn pieces(&self) -> impl Iterator<Item = String> {
        (0..self.words.output).map(|number| format!(" w{number}"))
    }

    fn said(&self) -> String {
        self.pieces().collect()
    }

    fn finish(&self) -> &'static str {
        if self.is_cut_short { "length" } else { "stop" }
    }

    fn usage(&self) -> Value {
        let Words {
            prompt,
            cached,
            output,
        } = self.words;
        json!({
            "completion_tokens": output, "prompt_tokens": prompt, "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached},
        })
    }

    fn timings(&self) -> Value {
        let Words {
            prompt,
            cached,
            output,
        } = self.words;
        json!({
            "cache_n": cached, "prompt_n": prompt - cached, "prompt_ms": 0.3,
            "predicted_n": output, "predicted_ms": 0.7,
        })
    }

    fn chunk(&self, index: u64, delta: &Value, finish: Option<&str>) -> Value {
        json!({
            "choices": [{"finish_reason": finish, "index": index, "delta": delta}],
            "created": CREATED, "id": "chatcmpl-1", "model": self.model,
            "system_fingerprint": "b11549", "object": "chat.completion.chunk",
        })
    }

    fn chat_events(&self) -> Vec<String> {
        let mut events = Vec::new();
        for index in 0..self.choices {
            let role = json!({"role": "assistant", "content": null});
            events.push(data(&self.chunk(index, &role, None)));
            for piece in self.pieces() {
                events.push(data(&self.chunk(index, &json!({"content": piece}), None)));
            }
            let mut last = self.chunk(index, &json!({}), Some(self.finish()));
            if self.wants_usage {
                events.push(data(&last));
                last["choices"] = json!([]);
                last["usage"] = self.usage();
            }
            last["timings"] = self.timings();
            events.push(data(&last));
        }
        events.push(done());
        events
    }

    fn chat(&self) -> Value {
        let choice = |index| {
            let message = json!({"role": "assistant", "content": self.said()});
            json!({"finish_reason": self.finish(), "index": index, "message": message})
        };
        let choices: Vec<Value> = (0..self.choices).map(choice).collect();
        json!({
            "choices": choices, "created": CREATED, "model": self.model,
            "system_fingerprint": "b11549", "object": "chat.completion", "usage": self.usage(),
            "id": "chatcmpl-1", "timings": self.timings(),
        })
    }

    fn text(&self) -> Value {
        let choice = json!({"text": self.said(), "index": 0, "logprobs": null, "finish_reason": self.finish()});
        json!({
            "choices": [choice], "created": CREATED, "model": self.model,
            "object": "text_completion", "usage": self.usage(), "id": "chatcmpl-1",
            "timings": self.timings(),
        })
    }

    /// Usage is in the last one, asked for or not.
    fn text_events(&self) -> Vec<String> {
        let chunk = |text: &str, finish: Option<&str>| {
            let choice =
                json!({"text": text, "index": 0, "logprobs": null, "finish_reason": finish});
            json!({
                "choices": [choice], "created": CREATED, "model": self.model,
                "object": "text_completion", "id": "chatcmpl-1",
            })
        };
        let mut events: Vec<String> = self
            .pieces()
            .map(|piece| data(&chunk(&piece, None)))
            .collect();
        let mut last = chunk("", Some(self.finish()));
        last["usage"] = self.usage();
        last["timings"] = self.timings();
        events.extend([data(&last), done()]);
        events
    }

    fn response(&self) -> Value {
        let Words {
            prompt,
            cached,
            output,
        } = self.words;
        json!({
            "completed_at": CREATED, "created_at": CREATED, "id": "resp_1", "model": self.model,
            "object": "response", "status": "completed", "output": [self.item()],
            "usage": {
                "input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output,
                "input_tokens_details": {"cached_tokens": cached},
            },
        })
    }

    fn item(&self) -> Value {
        let part =
            json!({"type": "output_text", "annotations": [], "logprobs": [], "text": self.said()});
        json!({"content": [part], "id": "msg_1", "role": "assistant", "status": "completed", "type": "message"})
    }

    /// llama.cpp says no `[DONE]` here.
    fn response_events(&self) -> Vec<String> {
        let begun = json!({"id": "resp_1", "object": "response", "status": "in_progress"});
        let item = json!({"content": [], "id": "msg_1", "role": "assistant", "status": "in_progress", "type": "message"});
        let part = json!({"type": "output_text", "text": ""});
        let mut events = vec![
            event(&json!({"type": "response.created", "response": begun})),
            event(&json!({"type": "response.in_progress", "response": begun})),
            event(&json!({"type": "response.output_item.added", "item": item})),
            event(
                &json!({"type": "response.content_part.added", "item_id": "msg_1", "part": part}),
            ),
        ];
        events.extend(self.pieces().map(|piece| {
            let kind = "response.output_text.delta";
            event(&json!({"type": kind, "item_id": "msg_1", "delta": piece}))
        }));
        let text = self.said();
        events.extend([
            event(&json!({"type": "response.output_text.done", "item_id": "msg_1", "text": text})),
            event(&json!({"type": "response.output_item.done", "item": self.item()})),
            event(&json!({
                "type": "response.completed", "response": self.response(), "timings": self.timings(),
            })),
        ]);
        if self.kind == Kind::Lemonade {
            events.push(done());
        }
        events
    }

    /// Here what the prompt found in the cache is apart.
    fn message(&self) -> Value {
        let Words {
            prompt,
            cached,
            output,
        } = self.words;
        json!({
            "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": self.model,
            "content": [{"type": "text", "text": self.said()}],
            "stop_reason": self.stop_reason(), "stop_sequence": null,
            "usage": {
                "cache_read_input_tokens": cached, "input_tokens": prompt - cached,
                "output_tokens": output,
            },
        })
    }

    fn stop_reason(&self) -> &'static str {
        if self.is_cut_short {
            "max_tokens"
        } else {
            "end_turn"
        }
    }

    /// Lemonade loses what such a stream cost.
    fn message_events(&self) -> Vec<String> {
        let mut begun = self.message();
        begun["content"] = json!([]);
        begun["stop_reason"] = Value::Null;
        begun["usage"]["output_tokens"] = json!(0);
        let mut output = self.words.output;
        if self.kind == Kind::Lemonade {
            begun["usage"] = json!({"input_tokens": 0, "output_tokens": 0});
            output = 0;
        }
        let block = json!({"type": "text", "text": ""});
        let mut events = vec![
            event(&json!({"type": "message_start", "message": begun})),
            event(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
        ];
        events.extend(self.pieces().map(|piece| {
            let delta = json!({"type": "text_delta", "text": piece});
            event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
        }));
        let delta = json!({"stop_reason": self.stop_reason(), "stop_sequence": null});
        let usage = json!({"output_tokens": output});
        events.extend([
            event(&json!({"type": "content_block_stop", "index": 0})),
            event(&json!({"type": "message_delta", "delta": delta, "usage": usage})),
            event(&json!({"type": "message_stop"})),
        ]);
        events
    }

    fn embeddings(&self, body: &Value) -> Value {
        let count = body["input"].as_array().map_or(1, Vec::len);
        let one =
            |index| json!({"embedding": [0.25, -0.5, 1.0], "index": index, "object": "embedding"});
        let data: Vec<Value> = (0..count).map(one).collect();
        json!({"model": self.model, "object": "list", "usage": self.prompt_only(), "data": data})
    }

    fn ranks(&self, body: &Value) -> Value {
        let count = body["documents"].as_array().map_or(0, Vec::len);
        let one = |index| json!({"index": index, "relevance_score": 0.5});
        let results: Vec<Value> = (0..count).map(one).collect();
        json!({"model": self.model, "object": "list", "usage": self.prompt_only(), "results": results})
    }

    fn prompt_only(&self) -> Value {
        json!({"prompt_tokens": self.words.prompt, "total_tokens": self.words.prompt})
    }
}
