//! Bytes that are no request: each is answered with a sentence or not at all, is told in the log, and
//! nothing of it stays.

use std::time::Duration;

use axum::Router;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use thon::domain::instance::Access;
use thon::edge::{Door, Fronts, Limits, Listening, PeerFilter, bind};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::client::{
    AT_ONCE, Wire, exchange_raw, get, is_cut, open_socket, read_head, send, within,
};
use crate::support::log::Log;
use crate::support::origin::Origin;
use crate::support::proxy::{Front, HOST, Plan};

async fn raw(front: &Front, bytes: &str) -> String {
    exchange_raw(front.wire().await, bytes.as_bytes()).await
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("cut")
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_with_a_sentence_and_told_in_the_log() {
    let log = Log::start();
    let front = Front::start().await;
    let many = format!(
        "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
        "X: y\r\n".repeat(300)
    );
    for (what, head, expected) in [
        ("no HTTP", "hello\r\n\r\n", "400"),
        (
            "another version",
            "GET / HTTP/3.7\r\nHost: h\r\n\r\n",
            "400",
        ),
        ("too many headers", &many, "400"),
        (
            "a tunnel",
            "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
            "405",
        ),
    ] {
        let before = log.text().len();
        let answer = raw(&front, head).await;
        assert_eq!(status(&answer), expected, "{what}: {answer}");
        assert!(answer.trim_end().ends_with('.'), "{what}: {answer}");
        assert!(
            answer.contains("\r\nConnection: close\r\n"),
            "{what}: {answer}"
        );
        assert!(!answer.contains("Pingora"), "{what}: {answer}");
        let line = log.text()[before..].to_owned();
        assert_eq!(line.matches("thon::access").count(), 1, "{what}: {line}");
        assert!(
            line.contains(&format!("http.status={expected}")),
            "{what}: {line}"
        );
        assert!(line.contains("listener.name=\"public\""), "{what}: {line}");
    }
    // Also behind a good request, when it has been read already.
    let answer = raw(&front, "GET / HTTP/1.1\r\nHost: h\r\n\r\nhello\r\n\r\n").await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    assert!(answer.ends_with("The request is malformed.\n"), "{answer}");
}

#[tokio::test]
async fn a_head_without_end_is_answered_before_it_is_cut() {
    let log = Log::start();
    let front = Front::start().await;
    let endless = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(300 << 10));
    for wire in [
        Box::new(front.wire().await) as Box<dyn Duplex>,
        Box::new(front.tls_wire(&["http/1.1"]).await),
    ] {
        let answer = exchange_raw(wire, endless.as_bytes()).await;
        assert_eq!(status(&answer), "431", "{answer}");
        assert!(answer.contains("too large"), "{answer}");
    }
    assert_eq!(
        log.text().matches("http.status=431").count(),
        2,
        "{}",
        log.text()
    );
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: Wire> Duplex for T {}

#[tokio::test]
async fn a_line_feed_alone_ends_no_line() {
    let origin = Origin::start().await;
    let front = Front::start().await;
    front.serve("red/open", Access::Open, origin.address);
    for head in [
        "GET /w/red/open/ HTTP/1.1\nHost: h\n\n",
        "GET /w/red/open/ HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        "GET /w/red/open/ HTTP/1.1\r\nHost: h\r\nX: y\n\r\n",
        "GET /w/red/open/ HTTP/1.1\nHost: h\r\n\r\n",
        "GET /w/red/open/ HTTP/1.1\r\nHost: h\r\n\n",
    ] {
        let smuggled = format!("{head}GET /w/red/open/second HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = raw(&front, &smuggled).await;
        assert_eq!(status(&answer), "400", "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer}");
    }
    let requests = &origin.shared.requests;
    assert_eq!(requests.load(std::sync::atomic::Ordering::Relaxed), 0);
}

/// Pingora writes `%20` for it before anybody decides anything, so that we and the editor see the same.
#[tokio::test]
async fn a_space_in_a_path_is_the_same_for_everybody() {
    let origin = Origin::start().await;
    let front = Front::start().await;
    front.serve("red/open", Access::Open, origin.address);
    let ask = |path| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let answer = raw(&front, &ask("/w/red/open/a b")).await;
    assert!(answer.contains(r#""target":"/a%20b""#), "{answer}");
    let answer = raw(&front, &ask("/w/red/open /x")).await;
    assert_eq!(status(&answer), "404", "{answer}");
    let answer = raw(&front, &ask("/w/red/open/?next=\u{e9}")).await;
    assert_eq!(status(&answer), "400", "{answer}");
}

#[tokio::test]
async fn a_body_that_was_refused_is_never_taken_for_a_request() {
    let front = Front::planned(Plan {
        limits: Limits {
            leftover_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
        ..Plan::default()
    })
    .await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let refused = format!(
        "POST /w/red/nobody/ HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = raw(&front, &format!("{refused}{last}")).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");

    // The answer arrives however much is on its way.
    let mebibytes = 3 << 20;
    let head =
        format!("POST /w/red/nobody/ HTTP/1.1\r\nHost: h\r\nContent-Length: {mebibytes}\r\n\r\n");
    let answer = raw(&front, &format!("{head}{}", "x".repeat(mebibytes))).await;
    assert_eq!(status(&answer), "401", "{answer}");

    // Whoever promises a body and sends none is not waited for.
    let mut wire = front.wire().await;
    let promise = "POST /w/red/nobody/ HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n";
    wire.write_all(promise.as_bytes()).await.unwrap();
    assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 401"));
    assert!(is_cut(&mut wire, 3 * AT_ONCE).await);
}

#[tokio::test]
async fn half_a_goodbye_ends_a_tunnel_and_frees_its_place() {
    let origin = Origin::start().await;
    let front = Front::start().await;
    let route = front.serve("red/open", Access::Open, origin.address);
    let mut socket = open_socket(front.wire().await, "/w/red/open/ws", &[])
        .await
        .unwrap();
    assert_eq!(route.activity.open_sockets(), 1);
    socket.get_mut().shutdown().await.unwrap();
    until(|| route.activity.open_sockets() == 0).await;
}

async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Random bytes, and pieces of requests in a random order.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/",
        "/w/red/open/ws",
        " HTTP/1.1",
        "\r\n",
        "\n",
        "\r\n\r\n",
        "Host: h\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "chunked",
        "Transfer-Encoding: chunked\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "0\r\n\r\n",
        "5\r\nhello\r\n",
        ": ",
        "\u{0}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{0}\u{0}\u{0}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}",
    ]);
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|all| all.concat().into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 0..600);
    prop_oneof![
        pieces.clone(),
        bytes.clone(),
        (pieces, bytes).prop_map(|(a, b)| [a, b].concat())
    ]
}

async fn throw(mut wire: impl Wire, bytes: &[u8]) {
    wire.write_all(bytes).await.ok();
    wire.shutdown().await.ok();
    assert!(
        is_cut(&mut wire, 5 * AT_ONCE).await,
        "{:?}",
        bytes.escape_ascii().to_string()
    );
}

fn hurried() -> Limits {
    Limits {
        handshake_timeout: Duration::from_millis(500),
        head_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_millis(500),
        stall_timeout: Duration::from_millis(500),
        leftover_timeout: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// A listener of hyper's, as control, admin, plain and gateway are.
fn routed(front: &Front) -> (Listening, std::net::SocketAddr) {
    let bound = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.local_addr().unwrap();
    let door = Door {
        name: "admin",
        tls: None,
        peers: PeerFilter::Everybody,
        fronts: Fronts::default(),
    };
    let router = Router::new().fallback(|body: axum::body::Bytes| async move { body });
    (front.edge.serve_router(bound, door, router), address)
}

#[test]
fn noise_crashes_nothing_and_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let log = Log::start();
    let (front, origin, door) = runtime.block_on(async {
        let front = Front::planned(Plan {
            limits: hurried(),
            ..Plan::default()
        })
        .await;
        let origin = Origin::start().await;
        front.serve("red/open", Access::Open, origin.address);
        let door = routed(&front);
        (front, origin, door)
    });
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&noise(), |bytes| {
            runtime.block_on(async {
                tokio::join!(
                    throw(front.wire().await, &bytes),
                    throw(TcpStream::connect(front.tls).await.unwrap(), &bytes),
                    throw(front.tls_wire(&["http/1.1"]).await, &bytes),
                    throw(front.tls_wire(&["h2"]).await, &bytes),
                    throw(TcpStream::connect(door.1).await.unwrap(), &bytes),
                );
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let open = || {
            let all = [&front.public, &front.secure, &door.0];
            all.map(Listening::open_connections).iter().sum::<usize>()
        };
        until(|| open() == 0).await;
        let reply = send(front.wire().await, get("/w/red/open/", &[])).await;
        assert_eq!(reply.status, 200);
    });
    drop(origin);
    assert!(!log.text().contains("panicked"), "{}", log.text());
}
