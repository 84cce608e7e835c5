//! What nobody should send: the right status, in OpenAI's shape, and nothing reaches the model.

use serde_json::json;

use super::code;
use crate::support::gate::{Gate, chat};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn what_is_no_request_is_refused_before_the_model_hears_of_it() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    let deep = format!(
        "{{\"model\":\"tiny\",\"messages\":{}{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    for body in [
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"model\":",
        "{\"model\":1,\"messages\":[]}",
        "{\"model\":\"tiny\",\"messages\":[],\"model\":\"other\"}",
        "{\"model\":\"tiny\",\"messages\":[],\"max_tokens\":-5}",
        "{\"model\":\"tiny\",\"messages\":[],\"max_tokens\":1.5}",
        "{\"model\":\"tiny\",\"messages\":[],\"max_tokens\":\"many\"}",
        "{\"model\":\"tiny\",\"messages\":[],\"n\":1000}",
        "{\"model\":\"tiny\",\"messages\":[],\"stream\":\"yes\"}",
        "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://169.254.169.254/\"}}]}]}",
        &deep,
    ] {
        let reply = gate.post_raw(&key, CHAT, body).await;
        let beginning: String = body.chars().take(60).collect();
        assert_eq!(reply.status, 400, "{beginning}: {}", reply.text());
        assert!(!code(&reply).is_empty());
        assert_eq!(reply.header("x-should-retry"), "false", "{beginning}");
    }
    for (model, status) in [("nope", 200), ("tiny", 200)] {
        // llama.cpp answers by whatever it has: which names there are is our word.
        let reply = gate.post(&key, CHAT, &chat(model)).await;
        let expected = if model == "tiny" { status } else { 404 };
        assert_eq!(reply.status, expected, "{model}");
    }
    assert_eq!(gate.model.asked().len(), 1);
}

#[tokio::test]
async fn a_body_without_end_is_refused_at_its_limit() {
    let gate = Gate::with("body_limit: 1MiB").await;
    let key = gate.key("red/alice").await;
    let body = json!({"model": "tiny", "messages": [], "filler": "x".repeat(2 << 20)});
    let reply = gate.post(&key, CHAT, &body).await;
    assert_eq!(
        (reply.status.as_u16(), code(&reply).as_str()),
        (413, "request_too_large")
    );
    assert!(gate.model.asked().is_empty());
}

#[tokio::test]
async fn anthropic_s_clients_get_anthropic_s_errors() {
    let gate = Gate::open().await;
    let reply = gate.post("nonsense", "/v1/messages", &json!({})).await;
    assert_eq!(reply.status, 401);
    let body = reply.json();
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "authentication_error");
}

#[tokio::test]
async fn a_key_is_good_in_each_of_three_headers_and_ends_when_it_is_revoked() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    for header in ["x-api-key", "apikey"] {
        let reply = gate.get_with("/v1/models", &[(header, &key)]).await;
        assert_eq!(reply.status, 200, "{header}");
    }
    let id = key
        .trim_start_matches("sk-thon-")
        .get(..16)
        .unwrap()
        .parse()
        .unwrap();
    let by = thon::domain::audit::Actor::Control;
    gate.control().disable_key(&id, by.clone()).await.unwrap();
    assert_eq!(gate.get(&key, "/v1/models").await.status, 401);
    gate.control().enable_key(&id, by.clone()).await.unwrap();
    assert_eq!(gate.get(&key, "/v1/models").await.status, 200);
    gate.model.next(|reply, _| reply.hang_after(2));
    let body = crate::support::gate::streamed(chat("tiny"));
    let (answer, _connection) = gate.begin(&key, CHAT, &body).await.head().await;
    gate.control().revoke_key(&id, by).await.unwrap();
    let last = crate::support::gate::rest(answer.into_body()).await;
    assert!(last.contains("invalid_api_key"), "{last}");
    gate.model.until(|counts| counts.open == 0).await;
    assert_eq!(gate.get(&key, "/v1/models").await.status, 401);
}
