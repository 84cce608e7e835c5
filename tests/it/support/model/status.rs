//! What the server says of itself: health, slots, properties, models; and to strangers.

use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use super::{Kind, Reply, Shared};

/// How it is, or says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Ready,
    /// Not yet.
    Loading,
    /// Something is broken.
    Failing,
    /// Takes the question and says nothing.
    Silent,
}

const CONTEXT: u32 = 4_096;

impl Shared {
    /// The answer to a question about the server itself.
    pub(super) fn look(&self, head: &Parts) -> Option<Reply> {
        if head.method != Method::GET {
            return None;
        }
        let path = head.uri.path();
        let value = match (self.kind, path.strip_prefix("/v1").unwrap_or(path)) {
            (_, "/health") => return Some(self.health()),
            (_, "/slots") => self.slots(),
            (_, "/models") => self.models(),
            (Kind::Llama, "/props") => self.props(),
            _ => return None,
        };
        Some(match self.setting.lock().health {
            Health::Silent => silent(),
            _ => Reply::json(200, &value),
        })
    }

    fn health(&self) -> Reply {
        let health = self.setting.lock().health;
        match health {
            Health::Ready if self.kind == Kind::Lemonade => Reply::json(200, &self.lemonade()),
            Health::Ready => Reply::json(200, &json!({"status": "ok"})),
            Health::Loading => Reply::json(503, &loading()),
            Health::Failing => Reply::json(500, &json!({"error": "broken"})),
            Health::Silent => silent(),
        }
    }

    fn lemonade(&self) -> Value {
        let loaded = self.names.iter().map(|name| {
            json!({
                "model_name": name, "checkpoint": format!("/models/{name}.gguf"), "type": "llm",
                "device": "cpu", "recipe": "llamacpp", "status": "ready", "loaded": true,
                "backend_alive": true, "backend_health": "ready", "is_busy": false,
                "is_streaming": false, "pinned": false, "max_context_window": CONTEXT,
            })
        });
        let loaded: Vec<Value> = loaded.collect();
        json!({
            "status": "ok", "version": "11.7.0", "model_loaded": self.names.first(),
            "all_models_loaded": loaded, "max_models": {"llm": 1, "embedding": 1, "reranking": 1},
        })
    }

    fn slots(&self) -> Value {
        let slots = self.setting.lock().slots;
        let busy = self.counts.borrow().open;
        let slot = |id| json!({"id": id, "n_ctx": CONTEXT, "speculative": false, "is_processing": id < busy});
        (0..slots).map(slot).collect()
    }

    fn props(&self) -> Value {
        let slots = self.setting.lock().slots;
        json!({
            "default_generation_settings": {"n_ctx": CONTEXT}, "total_slots": slots,
            "model_alias": self.names.first(), "model_path": self.path(),
            "modalities": {"vision": false, "video": false, "audio": false},
            "build_info": "b11549", "is_sleeping": false,
        })
    }

    fn models(&self) -> Value {
        let model = |name: &String| match self.kind {
            Kind::Llama => json!({
                "id": name, "aliases": [name], "tags": [], "object": "model", "created": 1_795_339_932,
                "owned_by": "llamacpp", "meta": {"n_ctx": CONTEXT, "n_ctx_train": 131_072},
            }),
            Kind::Lemonade => json!({
                "id": name, "object": "model", "created": 1_234_567_890, "owned_by": "lemonade",
                "recipe": "llamacpp", "downloaded": true, "labels": [], "context_length": CONTEXT,
                "checkpoint": format!("/models/{name}.gguf"), "max_context_window": 131_072,
            }),
        };
        let data: Vec<Value> = self.names.iter().map(model).collect();
        json!({"object": "list", "data": data})
    }

    /// What llama.cpp calls its model behind Lemonade's back.
    pub(super) fn path(&self) -> String {
        let name = self.names.first().map_or("", String::as_str);
        format!("/models/{name}.gguf")
    }

    pub(super) fn stranger(&self) -> Reply {
        let error = match self.kind {
            Kind::Llama => {
                json!({"message": "Invalid API Key", "type": "authentication_error", "code": 401})
            }
            Kind::Lemonade => json!("Invalid or missing API key"),
        };
        Reply::json(401, &json!({ "error": error }))
    }
}

fn loading() -> Value {
    json!({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
}

fn silent() -> Reply {
    Reply::json(200, &json!({"status": "ok"})).held(&super::Pace::new())
}
