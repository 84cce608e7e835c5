//! Routers behind pingora: bodies both ways, framing, and clients that leave.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::routing::{get as on_get, post as on_post};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use thon::edge::Peer;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, mpsc, watch};

use crate::support::client::{exchange_raw, get, read_head, request, send, within};
use crate::support::origin::spawn;
use crate::support::proxy::{Front, HOST, Plan};

#[derive(Default)]
struct Portal {
    events: Mutex<Option<mpsc::Receiver<String>>>,
    waiting: watch::Sender<usize>,
}

fn router(portal: Arc<Portal>) -> Router {
    Router::new()
        .route(
            "/len",
            on_post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/echo", on_post(|body: Body| async { body }))
        .route("/ignore", on_post(|| async { "ignored" }))
        .route("/events", on_get(events))
        .route("/hang", on_get(hang))
        .route("/empty", on_get(|| async { StatusCode::NO_CONTENT }))
        .route("/same", on_get(|| async { StatusCode::NOT_MODIFIED }))
        .route(
            "/host",
            on_get(
                |headers: HeaderMap| async move { headers["host"].to_str().unwrap().to_owned() },
            ),
        )
        .route(
            "/peer",
            on_get(
                |Extension(peer): Extension<Peer>| async move { peer.0.unwrap().ip().to_string() },
            ),
        )
        .route("/panic", on_get(bug))
        .route("/broken", on_get(broken))
        .layer(DefaultBodyLimit::disable())
        .with_state(portal)
}

async fn events(State(portal): State<Arc<Portal>>) -> Body {
    let receiver = portal.events.lock().await.take().unwrap();
    Body::from_stream(stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    }))
}

async fn hang(State(portal): State<Arc<Portal>>) {
    struct Waiting<'a>(&'a watch::Sender<usize>);
    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            self.0.send_modify(|waiting| *waiting -= 1);
        }
    }
    portal.waiting.send_modify(|waiting| *waiting += 1);
    let _waiting = Waiting(&portal.waiting);
    std::future::pending::<()>().await;
}

async fn bug() {
    panic!("a handler's bug");
}

async fn broken() -> Body {
    let parts = [Ok("half"), Err(std::io::Error::other("no more"))];
    Body::from_stream(stream::iter(parts))
}

async fn front() -> (Front, Arc<Portal>) {
    let portal = Arc::new(Portal::default());
    (
        Front::with_portal(router(Arc::clone(&portal))).await,
        portal,
    )
}

#[tokio::test]
async fn a_body_of_megabytes_arrives_and_comes_back() {
    let (front, _) = front().await;
    let body = Bytes::from(vec![b'x'; 2 << 20]);
    let reply = send(
        front.wire().await,
        request("POST", "/len", &[], body.clone()),
    )
    .await;
    assert_eq!(reply.text(), (2 << 20).to_string());
    let reply = send(
        front.wire().await,
        request("POST", "/echo", &[], body.clone()),
    )
    .await;
    assert_eq!(reply.body, body);
    let chunked = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = exchange_raw(front.wire().await, chunked.as_bytes()).await;
    assert!(answer.contains("abc") && answer.contains("de"), "{answer}");
}

#[tokio::test]
async fn a_body_larger_than_the_bridge_s_limit_is_refused_declared_or_not() {
    let front = Front::planned(Plan {
        portal: router(Arc::default()),
        body_bytes_max: 1_000,
        ..Plan::default()
    })
    .await;
    let declared = request("POST", "/len", &[], vec![0; 1_001]);
    let reply = send(front.wire().await, declared).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(reply.json()["error"]["code"], "body_too_large");
    let chunk = format!("400\r\n{}\r\n0\r\n\r\n", "x".repeat(0x400));
    let counted =
        format!("POST /len HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    let answer = exchange_raw(front.wire().await, counted.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let fine = request("POST", "/len", &[], vec![0; 1_000]);
    assert_eq!(send(front.wire().await, fine).await.text(), "1000");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_only_if_somebody_reads() {
    let (front, _) = front().await;
    let ask = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut wire = front.wire().await;
    wire.write_all(ask("/len").as_bytes()).await.unwrap();
    assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 100"));
    wire.write_all(b"xx").await.unwrap();
    assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 200"));
    let mut wire = front.wire().await;
    wire.write_all(ask("/ignore").as_bytes()).await.unwrap();
    assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 200"));
}

/// In lock step, over HTTP/1 and HTTP/2.
#[tokio::test]
async fn events_are_not_held_back() {
    let (front, portal) = front().await;
    for alpn in ["http/1.1", "h2"] {
        let (events, receiver) = mpsc::channel(1);
        *portal.events.lock().await = Some(receiver);
        let wire = front.tls_wire(&[alpn]).await;
        if alpn == "h2" {
            let (client, connection) = h2::client::handshake(wire).await.unwrap();
            let _task = spawn(async move { connection.await.unwrap_or(()) });
            let ask = Request::get(format!("https://{HOST}/events"))
                .body(())
                .unwrap();
            let (response, _) = client
                .ready()
                .await
                .unwrap()
                .send_request(ask, true)
                .unwrap();
            let mut body = within(response).await.unwrap().into_body();
            for number in 0..20 {
                events.send(number.to_string()).await.unwrap();
                let event = within(body.data()).await.unwrap().unwrap();
                assert_eq!(event, number.to_string().as_bytes());
            }
        } else {
            let (mut client, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(wire))
                    .await
                    .unwrap();
            let _task = spawn(async move { connection.await.unwrap_or(()) });
            let response = within(client.send_request(get("/events", &[])))
                .await
                .unwrap();
            let mut body = response.into_body();
            for number in 0..20 {
                events.send(number.to_string()).await.unwrap();
                let event = within(body.frame())
                    .await
                    .unwrap()
                    .unwrap()
                    .into_data()
                    .unwrap();
                assert_eq!(event, number.to_string().as_bytes());
            }
        }
    }
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_client_leaves() {
    let (front, portal) = front().await;
    let mut waiting = portal.waiting.subscribe();
    let mut wire = front.wire().await;
    wire.write_all(b"GET /hang HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    within(waiting.wait_for(|waiting| *waiting == 1))
        .await
        .unwrap();
    drop(wire);
    within(waiting.wait_for(|waiting| *waiting == 0))
        .await
        .unwrap();

    let wire = front.tls_wire(&["h2"]).await;
    let (client, connection) = h2::client::handshake(wire).await.unwrap();
    let _task = spawn(async move { connection.await.unwrap_or(()) });
    let mut client = client.ready().await.unwrap();
    let ask = |path: &str| {
        Request::get(format!("https://{HOST}{path}"))
            .body(())
            .unwrap()
    };
    let (response, mut stream) = client.send_request(ask("/hang"), true).unwrap();
    within(waiting.wait_for(|waiting| *waiting == 1))
        .await
        .unwrap();
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    within(waiting.wait_for(|waiting| *waiting == 0))
        .await
        .unwrap();
    // The connection survives.
    let (response, _) = client.send_request(ask("/host"), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn answers_without_a_body_are_framed_so_that_the_next_one_is_understood() {
    let (front, _) = front().await;
    let asks = [
        ("HEAD", "/host"),
        ("GET", "/empty"),
        ("GET", "/same"),
        ("HEAD", "/missing"),
    ];
    let pipelined = asks.iter().fold(String::new(), |bytes, (method, path)| {
        format!("{bytes}{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n")
    });
    let last = "GET /host HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange_raw(front.wire().await, format!("{pipelined}{last}").as_bytes()).await;
    for status in ["200", "204", "304", "404"] {
        assert!(
            answer.contains(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer}"
        );
    }
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert!(answer.ends_with("\r\n\r\nh"), "{answer}");
}

#[tokio::test]
async fn a_keep_alive_connection_carries_many_requests_with_bodies() {
    let (front, _) = front().await;
    let io = TokioIo::new(front.wire().await);
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let _task = spawn(async move { connection.await.unwrap_or(()) });
    for round in 0..200 {
        within(client.ready()).await.unwrap();
        let ask = request("POST", "/len", &[], vec![0; round * 100]);
        let response = within(client.send_request(ask)).await.unwrap();
        let body = within(response.into_body().collect())
            .await
            .unwrap()
            .to_bytes();
        assert_eq!(body, (round * 100).to_string().as_bytes());
    }
}

#[tokio::test]
async fn http_2_bodies_flow_both_ways_and_handlers_see_a_host() {
    let (front, _) = front().await;
    let wire = front.tls_wire(&["h2"]).await;
    let (client, connection) = h2::client::handshake(wire).await.unwrap();
    let _task = spawn(async move { connection.await.unwrap_or(()) });
    let mut client = client.ready().await.unwrap();
    let ask = Request::post(format!("https://{HOST}/len"))
        .body(())
        .unwrap();
    let (response, mut stream) = client.send_request(ask, false).unwrap();
    for _ in 0..32 {
        stream
            .send_data(Bytes::from(vec![0; 64 << 10]), false)
            .unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
    let mut body = within(response).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "2097152");
    let ask = Request::get(format!("https://{HOST}/host"))
        .body(())
        .unwrap();
    let (response, _) = client.send_request(ask, true).unwrap();
    let mut body = within(response).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), HOST);
}

#[tokio::test]
async fn a_handler_s_bug_is_a_500_and_half_a_body_is_never_taken_for_a_whole_one() {
    let (front, _) = front().await;
    let reply = send(front.wire().await, get("/panic", &[])).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reply.json()["error"]["code"], "internal");
    let answer = exchange_raw(
        front.wire().await,
        b"GET /broken HTTP/1.1\r\nHost: h\r\n\r\n",
    )
    .await;
    assert!(
        answer.contains("half") && !answer.contains("\r\n0\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn every_answer_of_ours_is_shielded_and_the_handler_knows_its_peer() {
    let (front, _) = front().await;
    for path in [
        "/peer",
        "/missing",
        "/panic",
        "/w/red/alice/",
        "/W/",
        "/v1/models",
    ] {
        let reply = send(front.wire().await, get(path, &[])).await;
        let policy = reply.header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
    }
    let reply = send(front.wire().await, get("/peer", &[])).await;
    assert_eq!(reply.text(), "127.0.0.1");
}
