//! What gateways of this kind were found to get wrong, each as a test that ours does not.

use std::time::Duration;

use serde_json::{Value, json};
use thon::domain::usage::{Outcome, Settled};

use super::code;
use crate::support::client::within;
use crate::support::gate::{Gate, chat, events, rest, streamed};
use crate::support::model::{Model, Pace, Reply, Words};
use crate::support::world::until;

const CHAT: &str = "/v1/chat/completions";

async fn with_slots(slots: usize, gateway: &str) -> Gate {
    let model = Model::llama("tiny").await;
    model.has_slots(slots);
    Gate::before(model, gateway).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_at_once_spend_no_more_than_the_limit_and_its_bound() {
    // Strict: each reserves the longest answer it may have, so that none can go beyond.
    let gate = Gate::with("token_limit: 200, token_mode: strict, output_limit: 8, concurrency_limit: 0, queue_limit: 100").await;
    let key = gate.key("red/alice").await;
    let body = chat("tiny");
    let asks = (0..50).map(|_| gate.post(&key, CHAT, &body));
    let replies = futures_util::future::join_all(asks).await;
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert!(served > 0);
    assert!(
        replies
            .iter()
            .all(|reply| [200, 429].contains(&reply.status.as_u16()))
    );
    let ledger = gate.ledger(50).await;
    // Input and output count one each, what was cached a tenth.
    let spent: u64 = ledger
        .iter()
        .map(|entry| (entry.tokens.input + entry.tokens.output) * 10 + entry.tokens.cached)
        .sum();
    assert!(spent <= 2_000 + 210, "{spent} tenths for {served}");
    assert_eq!(
        ledger
            .iter()
            .filter(|entry| entry.outcome == Outcome::Done)
            .count(),
        served
    );
}

#[tokio::test]
async fn no_alias_of_the_cap_lets_an_answer_be_longer() {
    let gate = Gate::with("output_limit: 5").await;
    let key = gate.key("red/alice").await;
    for (alias, value) in [
        ("max_completion_tokens", json!(10_000)),
        ("n_predict", json!(-1)),
        ("max_output_tokens", json!(9_999)),
        ("max_tokens", json!(9_999)),
    ] {
        let mut body = chat("tiny");
        body["max_tokens"] = 1.into();
        body[alias] = value;
        let reply = gate.post(&key, CHAT, &body).await;
        let sent = gate.model.last().json();
        if reply.status == 200 {
            assert_eq!(sent["max_tokens"], 5, "{alias}: {sent}");
            assert!(reply.json()["usage"]["completion_tokens"].as_u64().unwrap() <= 5);
        } else {
            assert_eq!(reply.status, 400, "{alias}");
        }
        for gone in ["n_predict", "max_completion_tokens", "max_output_tokens"] {
            assert!(sent.get(gone).is_none(), "{alias}: {sent}");
        }
    }
    let mut body = chat("tiny");
    for dangerous in [
        "id_slot",
        "ignore_eos",
        "n_keep",
        "cache_prompt",
        "lora",
        "n_cmpl",
    ] {
        body[dangerous] = 1.into();
    }
    body["top_k"] = 7.into();
    gate.post(&key, CHAT, &body).await;
    let sent = gate.model.last().json();
    assert_eq!(sent["top_k"], 7, "{sent}");
    for dangerous in [
        "id_slot",
        "ignore_eos",
        "n_keep",
        "cache_prompt",
        "lora",
        "n_cmpl",
    ] {
        assert!(sent.get(dangerous).is_none(), "{dangerous}");
    }
}

#[tokio::test]
async fn a_limit_smaller_than_one_answer_still_admits_one() {
    let gate = Gate::with("token_limit: 100, output_limit: 8192, token_mode: strict").await;
    let key = gate.key("red/alice").await;
    assert_eq!(gate.post(&key, CHAT, &chat("tiny")).await.status, 200);
}

#[tokio::test]
async fn a_request_that_is_refused_costs_nothing_of_any_other_limit() {
    let gate = with_slots(
        1,
        "requests_per_minute: 3, queue_limit: 1, concurrency_limit: 1",
    )
    .await;
    let key = gate.key("red/alice").await;
    let pace = Pace::new();
    let held = pace.clone();
    gate.model.next(move |reply: Reply, _| reply.held(&held));
    let first = gate.begin(&key, CHAT, &chat("tiny")).await;
    gate.model.until(|counts| counts.open == 1).await;
    let second = gate.begin(&key, CHAT, &chat("tiny")).await;
    until("the second waits", async || gate.is_waiting().await).await;
    for _ in 0..5 {
        let refused = gate.post(&key, CHAT, &chat("tiny")).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused).as_str()),
            (429, "concurrency_limit_exceeded")
        );
        assert!(!refused.header("retry-after").is_empty());
    }
    pace.allow(100);
    for answer in [first, second] {
        assert_eq!(answer.head().await.0.status(), 200);
    }
    // The third of three: the five refusals were no requests.
    assert_eq!(gate.post(&key, CHAT, &chat("tiny")).await.status, 200);
    let fourth = gate.post(&key, CHAT, &chat("tiny")).await;
    assert_eq!(
        (fourth.status.as_u16(), code(&fourth).as_str()),
        (429, "rate_limit_exceeded")
    );
    assert_eq!(fourth.header("x-ratelimit-limit-requests"), "3");
}

#[tokio::test]
async fn no_slot_is_lost_however_an_answer_ends() {
    let gate = with_slots(1, "concurrency_limit: 1").await;
    let key = gate.key("red/alice").await;
    let ways: Vec<fn(Reply) -> Reply> = vec![
        |_| Reply::none(),
        |_| Reply::json(500, &json!({"error": "broken"})),
        |_| {
            Reply::json(
                503,
                &json!({"error": {"message": "Loading model", "code": 503}}),
            )
        },
        |reply| reply.cut_after(0),
        |reply| reply.cut_after(3),
        |reply| reply.cut_at(40),
        |reply| reply.split_each(1),
        |reply| reply.insert(2, "data: {not json\n\n"),
        |reply| {
            reply.insert(
                2,
                "data: {\"error\":{\"message\":\"no\",\"status_code\":500}}\n\n",
            )
        },
        |reply| reply.without("[DONE]"),
    ];
    let count = ways.len() * 2;
    for way in ways {
        for body in [chat("tiny"), streamed(chat("tiny"))] {
            gate.model.next(move |reply, _| way(reply));
            let reply = gate.post(&key, CHAT, &body).await;
            assert!(!reply.body.is_empty());
        }
    }
    assert_eq!(gate.post(&key, CHAT, &chat("tiny")).await.status, 200);
    gate.model.until(|counts| counts.open == 0).await;
    assert_eq!(gate.ledger(count + 1).await.len(), count + 1);
    assert!(gate.is_idle().await);
}

#[tokio::test]
async fn a_stream_has_its_slot_until_its_end() {
    let gate = with_slots(1, "concurrency_limit: 0").await;
    let (alice, bob) = (gate.key("red/alice").await, gate.key("red/bob").await);
    let pace = Pace::new();
    let paced = pace.clone();
    gate.model.next(move |reply, _| reply.paced(&paced));
    pace.allow(2);
    let first = gate.begin(&alice, CHAT, &streamed(chat("tiny"))).await;
    let (answer, _connection) = first.head().await;
    let second = gate.begin(&bob, CHAT, &chat("tiny")).await;
    until("the second waits", async || gate.is_waiting().await).await;
    assert_eq!(gate.model.counts().open, 1);
    pace.allow(100);
    assert!(rest(answer.into_body()).await.ends_with("data: [DONE]\n\n"));
    assert_eq!(second.head().await.0.status(), 200);
    assert_eq!(gate.model.counts().open_most, 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_costs_its_prompt_and_what_was_read() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    gate.model.says(Words {
        output: 50,
        ..Words::default()
    });
    gate.model.next(|reply, _| reply.hang_after(11));
    let listening = gate.begin(&key, CHAT, &streamed(chat("tiny"))).await;
    let (answer, connection) = listening.head().await;
    let mut body = answer.into_body();
    let mut seen = 0;
    while seen < 10 {
        let frame = within(http_body_util::BodyExt::frame(&mut body))
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        let with_text = |event: &Value| event["choices"][0]["delta"]["content"].is_string();
        seen += events(&text)
            .iter()
            .filter(|event| with_text(event))
            .count();
    }
    drop((body, connection));
    let ledger = gate.ledger(1).await;
    assert_eq!(
        (ledger[0].outcome, ledger[0].settled),
        (Outcome::Left, Settled::Observed)
    );
    assert_eq!(ledger[0].tokens.output, 10);
    assert!(ledger[0].tokens.input > 0);
}

#[tokio::test]
async fn a_usage_of_zero_is_a_usage() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    let zero = |value: &mut Value| {
        if value.get("usage").is_some_and(Value::is_object) {
            value["usage"] = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
            value.as_object_mut().unwrap().remove("timings");
        }
    };
    gate.model.next(move |reply, _| reply.edit(zero));
    assert_eq!(gate.post(&key, CHAT, &chat("tiny")).await.status, 200);
    let ledger = gate.ledger(1).await;
    assert_eq!(
        (ledger[0].settled, ledger[0].tokens.total()),
        (Settled::Exact, 0)
    );
}

#[tokio::test]
async fn every_endpoint_settles_to_what_the_model_counted() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    let asks = [
        (CHAT, chat("tiny")),
        (
            "/v1/completions",
            json!({"model": "tiny", "prompt": "once"}),
        ),
        ("/v1/responses", json!({"model": "tiny", "input": "once"})),
        (
            "/v1/messages",
            json!({"model": "tiny", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}),
        ),
    ];
    let mut count = 0;
    for (path, body) in &asks {
        for body in [body.clone(), streamed(body.clone())] {
            for prefix in ["", "/api"] {
                let reply = gate.post(&key, &format!("{prefix}{path}"), &body).await;
                assert_eq!(reply.status, 200, "{path}: {}", reply.text());
                count += 1;
            }
        }
    }
    for (path, body) in [
        (
            "/v1/embeddings",
            json!({"model": "tiny", "input": ["a", "b"]}),
        ),
        (
            "/v1/rerank",
            json!({"model": "tiny", "query": "a", "documents": ["b", "c"]}),
        ),
    ] {
        let reply = gate.post(&key, path, &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        count += 1;
    }
    for entry in gate.ledger(count).await {
        assert_eq!(entry.settled, Settled::Exact, "{entry:?}");
        let generates = !["embeddings", "rerank"].contains(&entry.operation.as_str());
        assert_eq!(
            entry.tokens.output,
            if generates { 8 } else { 0 },
            "{entry:?}"
        );
        assert_eq!(entry.tokens.input + entry.tokens.cached, 21, "{entry:?}");
    }
}

#[tokio::test]
async fn what_was_reserved_and_not_used_is_there_again() {
    let gate = Gate::with("token_limit: 10000, token_window: 86400, token_mode: strict, output_limit: 4000, cached_weight: 1").await;
    let key = gate.key("red/alice").await;
    for spent in [29, 58, 87] {
        let reply = gate.post(&key, CHAT, &streamed(chat("tiny"))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        gate.ledger(usize::try_from(spent / 29).unwrap()).await;
        let left = gate.remaining("red/alice").await;
        // A day's window gives back less than a token meanwhile.
        assert!(
            (10_000 - spent - 1..=10_000 - spent + 2).contains(&left),
            "{left}"
        );
    }
}

#[tokio::test]
async fn each_user_and_each_model_has_the_limit_that_is_written_for_them() {
    let model = Model::lemonade(&["big", "small"]).await;
    let limits =
        "token_limit: 40, token_window: 86400, cached_weight: 1, rate_limit_scope: per-model";
    let gate = Gate::before(model, limits).await;
    let (alice, bob) = (gate.key("red/alice").await, gate.key("red/bob").await);
    for key in [&alice, &bob] {
        for model in ["big", "small"] {
            assert_eq!(
                gate.post(key, CHAT, &chat(model)).await.status,
                200,
                "{model}"
            );
            assert_eq!(
                gate.post(key, CHAT, &chat(model)).await.status,
                429,
                "{model}"
            );
            let other_spelling = format!("user.{model}:latest");
            assert_eq!(
                gate.post(key, CHAT, &chat(&other_spelling)).await.status,
                429
            );
        }
    }
}

#[tokio::test]
async fn a_stream_that_floods_keeps_nobody_from_being_answered() {
    let gate = Gate::with("concurrency_limit: 0").await;
    let (alice, bob) = (gate.key("red/alice").await, gate.key("red/bob").await);
    gate.model.next(|reply, _| {
        let mut reply = reply;
        for _ in 0..20_000 {
            reply = reply.insert(
                1,
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n",
            );
        }
        reply
    });
    let flood = gate.begin(&alice, CHAT, &streamed(chat("tiny"))).await;
    let (answer, _connection) = flood.head().await;
    let reading = rest(answer.into_body());
    let asking = async {
        for _ in 0..10 {
            assert_eq!(gate.post(&bob, CHAT, &chat("tiny")).await.status, 200);
        }
    };
    let (flood, ()) = tokio::join!(reading, asking);
    assert!(flood.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_stream_says_that_it_lives_while_it_waits() {
    let gate = with_slots(1, "concurrency_limit: 0").await;
    let (alice, bob) = (gate.key("red/alice").await, gate.key("red/bob").await);
    let pace = Pace::new();
    let held = pace.clone();
    gate.model.next(move |reply, _| reply.held(&held));
    let first = gate.begin(&alice, CHAT, &streamed(chat("tiny"))).await;
    gate.model.until(|counts| counts.open == 1).await;
    let second = gate.begin(&bob, CHAT, &streamed(chat("tiny"))).await;
    let (working, one) = first.head().await;
    let (queued, two) = second.head().await;
    assert_eq!(
        (working.status().as_u16(), queued.status().as_u16()),
        (200, 200)
    );
    pace.allow(100);
    let (working, queued) = (
        rest(working.into_body()).await,
        rest(queued.into_body()).await,
    );
    assert!(working.starts_with(": working\n\n"), "{working}");
    assert!(queued.starts_with(": queued position=1 eta="), "{queued}");
    assert!(queued.ends_with("data: [DONE]\n\n"), "{queued}");
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_never_has_to_queue() {
    let gate = with_slots(3, "concurrency_limit: 0, queue_limit: 100").await;
    let (alice, bob) = (gate.key("red/alice").await, gate.key("red/bob").await);
    gate.model
        .always(|reply, _| reply.slow(Duration::from_millis(1)));
    let body = chat("tiny");
    let asks = (0..30).map(|n| gate.post(if n % 2 == 0 { &alice } else { &bob }, CHAT, &body));
    let replies = futures_util::future::join_all(asks).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(gate.model.counts().open_most, 3);
    gate.model.has_slots(1);
    until("the queue follows the slots", async || {
        gate.slots().await == 1
    })
    .await;
}

#[tokio::test]
async fn an_error_in_a_stream_that_begins_with_200_has_the_right_status() {
    let model = Model::lemonade(&["tiny"]).await;
    let gate = Gate::before(model, "").await;
    let key = gate.key("red/alice").await;
    let error = "data: {\"error\":{\"code\":400,\"message\":\"request (6020 tokens) exceeds the available context size (1024 tokens)\",\"n_ctx\":1024,\"status_code\":400,\"type\":\"exceed_context_size_error\"}}\n\n";
    for body in [chat("tiny"), streamed(chat("tiny"))] {
        gate.model
            .next(move |_, _| Reply::events([error.to_owned()]));
        let reply = gate.post(&key, CHAT, &body).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert_eq!(code(&reply), "context_length_exceeded");
    }
    let ledger = gate.ledger(2).await;
    assert!(
        ledger.iter().all(|entry| entry.settled == Settled::Nothing),
        "{ledger:?}"
    );
}
