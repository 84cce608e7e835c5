//! `Person`: who uses the model by OpenAI's own client.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::model::python;

#[derive(Clone)]
pub(super) struct Person {
    pub(super) base: String,
    pub(super) key: String,
    /// The authority to trust, where there is TLS.
    pub(super) authority: Option<PathBuf>,
}

impl Person {
    /// What came of each call, one after the other; `tests/model/ask.py` says how a call is written.
    pub(super) async fn makes(&self, calls: &[Value]) -> Vec<Value> {
        let mut command = python("ask.py");
        command.args([&self.base, &self.key]).args(&self.authority);
        let mut child = command.spawn().unwrap();
        let mut wishes = child.stdin.take().unwrap();
        for call in calls {
            let line = format!("{call}\n");
            wishes.write_all(line.as_bytes()).await.unwrap();
        }
        drop(wishes);
        let ended = child.wait_with_output().await.unwrap();
        let told = String::from_utf8(ended.stdout).unwrap();
        let told: Vec<Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(told.len(), calls.len(), "{told:?}");
        told
    }

    pub(super) async fn asks(&self, call: Value) -> Value {
        self.makes(&[call]).await.remove(0)
    }
}

/// One chat of so many tokens.
pub(super) fn chat(model: &str, tokens: u32) -> Value {
    let messages = json!([{"role": "user", "content": "say hello"}]);
    json!({"call": "chat", "with": {"model": model, "messages": messages, "max_tokens": tokens}})
}

/// The same call with more said about it.
pub(super) fn also(mut call: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    call.as_object_mut().unwrap().extend(more);
    call
}
