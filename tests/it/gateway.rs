//! The way to the model from outside: keys, answers, streams, limits, turns, and what is written down.

mod bad_input;
mod cuts;
mod faults;
mod kills;
mod public;

use serde_json::{Value, json};
use thon::domain::usage::{Outcome, Settled};

use crate::support::client::Reply;
use crate::support::gate::{Gate, chat, events, rest, streamed};
use crate::support::world::until;

fn code(reply: &Reply) -> String {
    let body = reply.json();
    let error = body["error"].as_object().unwrap();
    let mut names: Vec<&str> = error.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["code", "message", "param", "type"], "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    error["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_comes_whole_and_is_written_down_as_the_model_counted_it() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    let reply = gate.post(&key, "/v1/chat/completions", &chat("tiny")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["usage"]["completion_tokens"], 8);
    assert!(reply.header("x-request-id").starts_with("req_"));
    assert_eq!(gate.model.last().json()["stream"], true);
    let ledger = gate.ledger(1).await;
    let entry = &ledger[0];
    assert_eq!(entry.user.as_ref().unwrap().to_string(), "red/alice");
    assert_eq!(entry.settled, Settled::Exact);
    assert_eq!(entry.outcome, Outcome::Done);
    assert_eq!(
        (entry.tokens.input, entry.tokens.cached, entry.tokens.output),
        (1, 20, 8)
    );
    assert_eq!(entry.request, reply.header("x-request-id"));
}

#[tokio::test]
async fn a_stream_is_passed_on_and_its_usage_is_for_those_who_asked() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    let asked = streamed(chat("tiny"));
    let reply = gate.post(&key, "/v1/chat/completions", &asked).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert!(
        reply.text().ends_with("data: [DONE]\n\n"),
        "{}",
        reply.text()
    );
    let said = events(reply.text());
    assert!(
        said.iter()
            .all(|event| event.get("usage").is_none_or(Value::is_null)),
        "{said:?}"
    );
    assert!(said.iter().all(|event| event["model"] == "tiny"));
    let mut asked = asked;
    asked["stream_options"] = json!({"include_usage": true});
    let reply = gate.post(&key, "/v1/chat/completions", &asked).await;
    let said = events(reply.text());
    assert_eq!(said.last().unwrap()["usage"]["completion_tokens"], 8);
    let ledger = gate.ledger(2).await;
    assert!(ledger.iter().all(|entry| entry.settled == Settled::Exact));
    assert!(ledger.iter().all(|entry| entry.tokens.output == 8));
}

#[tokio::test]
async fn nobody_without_a_good_key_gets_anything() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    for wrong in [
        "",
        "sk-thon-",
        "sk-thon-0123456789abcdef-x",
        &format!("{key}x"),
    ] {
        let reply = gate
            .post(wrong, "/v1/chat/completions", &chat("tiny"))
            .await;
        assert_eq!(reply.status, 401, "{wrong}");
        assert_eq!(code(&reply), "invalid_api_key");
        assert_eq!(reply.header("x-should-retry"), "false");
        assert_eq!(gate.get(wrong, "/v1/models").await.status, 401);
    }
    assert!(gate.model.asked().is_empty());
}

#[tokio::test]
async fn what_is_not_on_the_list_is_never_forwarded() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    for path in [
        "/v1/load",
        "/v1/params",
        "/v1/chat/completions/",
        "/v1/audio/speech",
        "/api/v1/pull",
        "/v1/slots",
        "/v1",
    ] {
        let reply = gate.post(&key, path, &chat("tiny")).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(code(&reply), "unknown_url", "{path}");
    }
    assert_eq!(gate.get(&key, "/v1/chat/completions").await.status, 405);
    assert_eq!(gate.post(&key, "/v1/models", &json!({})).await.status, 405);
    assert!(gate.model.asked().is_empty());
}

#[tokio::test]
async fn models_are_those_that_there_are_and_that_the_key_may_use() {
    let gate = Gate::with("models: [{name: tiny, alias: fast}]").await;
    let key = gate.key("red/alice").await;
    let ids = |reply: &Reply| {
        let body = reply.json();
        let data = body["data"].as_array().unwrap().iter();
        data.map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&gate.get(&key, "/v1/models").await), ["fast", "tiny"]);
    assert_eq!(
        gate.get(&key, "/api/v1/models/fast").await.json()["id"],
        "fast"
    );
    assert_eq!(
        code(&gate.get(&key, "/v1/models/nope").await),
        "model_not_found"
    );
    for name in ["fast", "tiny", "user.tiny", "tiny:latest"] {
        let reply = gate.post(&key, "/v1/chat/completions", &chat(name)).await;
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(reply.json()["model"], name);
        assert_eq!(gate.model.last().json()["model"], "tiny", "{name}");
    }
    let other = gate.key_for("red/alice", &["other"]).await;
    assert!(ids(&gate.get(&other, "/v1/models").await).is_empty());
    let reply = gate
        .post(&other, "/v1/chat/completions", &chat("fast"))
        .await;
    assert_eq!(
        (reply.status.as_u16(), code(&reply).as_str()),
        (404, "model_not_found")
    );
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_model_and_pays_for_what_it_got() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    gate.model.next(|reply, _| reply.hang_after(4));
    let listening = gate
        .begin(&key, "/v1/chat/completions", &streamed(chat("tiny")))
        .await;
    let (answer, connection) = listening.head().await;
    assert_eq!(answer.status(), 200);
    gate.model.until(|counts| counts.parts >= 4).await;
    drop((answer, connection));
    gate.model
        .until(|counts| counts.open == 0 && counts.left == 1)
        .await;
    let ledger = gate.ledger(1).await;
    assert_eq!(ledger[0].outcome, Outcome::Left);
    assert!(matches!(
        ledger[0].settled,
        Settled::Observed | Settled::Estimated
    ));
    assert!(ledger[0].tokens.output <= 4);
    assert!(ledger[0].tokens.input > 0);
}

#[tokio::test]
async fn a_limit_that_is_used_up_says_when_to_come_again() {
    let gate = Gate::with("token_limit: 40, token_mode: balanced").await;
    let key = gate.key("red/alice").await;
    let first = gate.post(&key, "/v1/chat/completions", &chat("tiny")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.header("x-ratelimit-limit-tokens"), "40");
    let second = gate.post(&key, "/v1/chat/completions", &chat("tiny")).await;
    assert_eq!(second.status, 429, "{}", second.text());
    assert_eq!(code(&second), "rate_limit_exceeded");
    let wait: u64 = second.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(
        second.text().contains("Please try again in"),
        "{}",
        second.text()
    );
    // Somebody else has a balance of their own.
    let bob = gate.key("red/bob").await;
    assert_eq!(
        gate.post(&bob, "/v1/chat/completions", &chat("tiny"))
            .await
            .status,
        200
    );
    assert_eq!(gate.model.asked().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_away_is_said_in_openai_s_words() {
    let mut gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    assert!(gate.is_healthy());
    gate.model.kill().await;
    let reply = gate.post(&key, "/v1/chat/completions", &chat("tiny")).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(code(&reply), "backend_unavailable");
    assert_eq!(reply.header("retry-after"), "5");
    let streaming = gate
        .begin(&key, "/v1/chat/completions", &streamed(chat("tiny")))
        .await;
    let (answer, _connection) = streaming.head().await;
    assert_eq!(answer.status(), 503);
    assert!(
        rest(answer.into_body())
            .await
            .contains("backend_unavailable")
    );
    until("it is said", async || gate.has_trouble("THN-MODEL-01")).await;
    gate.model.revive().await;
    until("it is there again", async || gate.is_healthy()).await;
    let reply = gate.post(&key, "/v1/chat/completions", &chat("tiny")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// A port where nobody listens.
fn nobody() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn without_the_redis_that_keeps_the_balances_requests_are_refused_or_limited_here() {
    let port = nobody();
    let shared = format!("token_limit: 1000, redis_host: 127.0.0.1, redis_port: {port}");
    let gate = Gate::with(&format!("{shared}, redis_away: refuse")).await;
    let key = gate.key("red/alice").await;
    let reply = gate.post(&key, "/v1/chat/completions", &chat("tiny")).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(code(&reply), "limits_unavailable");
    until("it is said", async || gate.has_trouble("THN-LIMITS-01")).await;
    let gate = Gate::with(&format!("{shared}, redis_away: local")).await;
    let key = gate.key("red/alice").await;
    let reply = gate.post(&key, "/v1/chat/completions", &chat("tiny")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-ratelimit-limit-tokens"), "1000");
}
