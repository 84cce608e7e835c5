//! The same on the public listener, through TLS and the proxy's bridge.

use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;

use super::code;
use crate::support::client::{request, send, within};
use crate::support::gate::{Gate, chat, streamed};
use crate::support::model::Pace;
use crate::support::origin::spawn;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test(flavor = "multi_thread")]
async fn chunks_arrive_as_the_model_writes_them_and_leaving_ends_its_work() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    let pace = Pace::new();
    let paced = pace.clone();
    gate.model.next(move |reply, _| reply.paced(&paced));
    let io = hyper_util::rt::TokioIo::new(gate.over_tls().await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let connection = tokio_util::task::AbortOnDropHandle::new(spawn(async move {
        connection.await.ok();
    }));
    let body = streamed(chat("tiny")).to_string();
    let request = Request::post(CHAT)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {key}"))
        .body(Full::new(bytes::Bytes::from(body)))
        .unwrap();
    pace.allow(2);
    let answer = within(sender.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut heard = String::new();
    for step in 0..4 {
        // Nothing more is written until this has been heard.
        while !heard.contains(&format!(" w{step}")) {
            let frame = within(body.frame()).await.unwrap().unwrap();
            heard += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
            if !heard.contains(&format!(" w{step}")) {
                pace.allow(1);
            }
        }
        pace.allow(1);
    }
    drop((body, connection, sender));
    gate.model
        .until(|counts| counts.open == 0 && counts.left == 1)
        .await;
    assert!(gate.is_idle().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_are_refused_in_openai_s_words_before_they_are_sent() {
    let gate = Gate::open().await;
    let key = gate.key("red/alice").await;
    let bearer = format!("Bearer {key}");
    let headers = [
        ("host", "localhost"),
        ("authorization", bearer.as_str()),
        ("content-length", "104857600"),
    ];
    let wire = gate.over_tls().await;
    let reply = send(wire, request("POST", CHAT, &headers, "")).await;
    assert_eq!(
        (reply.status.as_u16(), code(&reply).as_str()),
        (413, "request_too_large")
    );
    let models = [("host", "localhost"), ("authorization", bearer.as_str())];
    let wire = gate.over_tls().await;
    let listed = send(wire, request("GET", "/v1/models", &models, "")).await;
    assert_eq!(listed.json()["data"][0]["id"], "tiny");
    let wire = gate.over_tls().await;
    let body = json!({"model": "tiny", "input": "x"}).to_string();
    let reply = send(wire, request("POST", "/api/v1/embeddings", &models, body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
