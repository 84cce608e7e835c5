//! The law of the house: no request reaches another participant's instance, whatever it is made of.
//!
//! Through the whole public door over TLS, with HTTP/1.1 and HTTP/2, against two editors that count.
//! Bob asks; alice's editor must see nothing.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use thon::domain::instance::Access;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;

use crate::support::client::{read_head, within};
use crate::support::frames::Frames;
use crate::support::origin::Origin;
use crate::support::proxy::{Front, HOST};

const CASES: u32 = 400;

struct Street {
    runtime: Runtime,
    front: Front,
    alice: Origin,
    bob: Origin,
    cookie: String,
}

impl Street {
    /// Both are signed in and have an editor.
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (front, alice, bob) = runtime.block_on(async {
            let front = Front::start().await;
            let (alice, bob) = (Origin::start().await, Origin::start().await);
            front.serve("red/alice", Access::Owner, alice.address);
            front.serve("red/bob", Access::Owner, bob.address);
            front.sign_in("red/alice");
            (front, alice, bob)
        });
        let cookie = front.sign_in("red/bob").cookie;
        Self {
            runtime,
            front,
            alice,
            bob,
            cookie,
        }
    }

    /// Nothing came to alice; that something came to bob shows that the door was open.
    fn judge(&self, at_least: usize) {
        let seen = |origin: &Origin| origin.shared.requests.load(Ordering::Relaxed);
        assert_eq!(seen(&self.alice), 0, "alice's editor was reached");
        assert!(seen(&self.bob) >= at_least, "{}", seen(&self.bob));
    }
}

/// Everything of a request that an attacker chooses.
#[derive(Clone, Debug)]
struct Ask {
    method: &'static str,
    target: String,
    authority: String,
    scheme: &'static str,
    headers: Vec<(&'static str, String)>,
}

fn target() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "//",
        "w",
        "W",
        "red",
        "alice",
        "bob",
        "/w/red/alice/",
        "/w/red/bob/",
        "/w/red/bob",
        "/w/red/alice",
        ".",
        "..",
        "/../",
        "%2e%2e",
        "%2E.",
        "%2f",
        "%2F",
        "%5c",
        "\\",
        ";",
        "?",
        "#",
        "%00",
        "%",
        "%252e",
        "proxy/3000/",
        "absproxy/80",
        "ws",
        "@",
        ":",
        "http:",
        "https://pub.example",
        "alice/../bob",
        "bob/../alice",
        "\t",
        "*",
    ]);
    let hostile = prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat());
    let start = prop::sample::select(vec![
        "",
        "/",
        "/w/red/bob/",
        "/w/red/alice/",
        "https://pub.example/w/red/alice/",
        "https://pub.example/w/red/bob/",
        "/w/red/bob/../alice/",
        "/w/red/bob/%2e%2e/alice/",
    ]);
    (start, hostile).prop_map(|(start, rest)| format!("{start}{rest}"))
}

/// Headers that some server somewhere believes, about alice.
fn game() -> impl Strategy<Value = (&'static str, String)> {
    let name = prop::sample::select(vec![
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-host",
        "x-forwarded-for",
        "x-forwarded-prefix",
        "x-forwarded-path",
        "x-forwarded-uri",
        "x-forwarded-proto",
        "forwarded",
        "x-host",
        "x-real-ip",
        "x-http-method-override",
        "x-original-host",
        "referer",
        "origin",
        "host",
        "cookie",
        "authorization",
        "te",
        "upgrade",
        "connection",
        "transfer-encoding",
        "content-length",
        "expect",
        "via",
        "range",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-websocket-key",
    ]);
    let value = prop::sample::select(vec![
        "/w/red/alice/",
        "red/alice",
        "alice",
        "127.0.0.1",
        "host=alice",
        "https://pub.example",
        "GET",
        "__Host-thon=alice",
        "code-server-session=x",
        "websocket",
        "upgrade",
        "h2c",
        "chunked",
        "0",
        "5",
        "trailers",
        "100-continue",
        "same-origin",
        "navigate",
        "dGhlIHNhbXBsZSBub25jZQ==",
        "",
        "null",
    ]);
    (name, value.prop_map(str::to_owned))
}

fn ask() -> impl Strategy<Value = Ask> {
    let method = prop::sample::select(vec![
        "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
        "get", "PROPFIND", "PRI",
    ]);
    let authority = prop::sample::select(vec![
        HOST,
        HOST,
        HOST,
        "PUB.example:443",
        "alice",
        "red/alice",
        "pub.example@alice",
        "[::1]",
        "",
        "127.0.0.1",
    ])
    .prop_map(str::to_owned);
    let scheme = prop::sample::select(vec!["https", "https", "http", "ws", "file", ""]);
    let headers = prop::collection::vec(game(), 0..5);
    (method, target(), authority, scheme, headers).prop_map(
        |(method, target, authority, scheme, headers)| Ask {
            method,
            target,
            authority,
            scheme,
            headers,
        },
    )
}

/// What bob's browser asks for all day.
fn his_own() -> Ask {
    Ask {
        method: "GET",
        target: "/w/red/bob/".to_owned(),
        authority: HOST.to_owned(),
        scheme: "https",
        headers: Vec::new(),
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn no_request_of_bob_s_reaches_alice_over_http_1() {
    let street = Street::new();
    TestRunner::new(config())
        .run(&ask(), |asked| {
            street.runtime.block_on(in_bytes(&street, &asked));
            Ok(())
        })
        .unwrap();
    street.runtime.block_on(in_bytes(&street, &his_own()));
    street.judge(1);
}

async fn in_bytes(street: &Street, asked: &Ask) {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n",
        asked.method, asked.target, asked.authority, street.cookie
    );
    for (name, value) in &asked.headers {
        head = format!("{head}{name}: {value}\r\n");
    }
    let mut wire = street.front.tls_wire(&["http/1.1"]).await;
    // The second one shows whether the first left the door with another idea of where it ended.
    let second = format!("\r\nhello\r\n0\r\n\r\nGET /w/red/alice/ HTTP/1.1\r\nHost: {HOST}\r\n");
    let second = format!("{second}Cookie: {}\r\n\r\n", street.cookie);
    wire.write_all(format!("{head}{second}").as_bytes())
        .await
        .ok();
    let answer = read_head(&mut wire).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 "),
        "{answer}"
    );
}

#[test]
fn no_request_of_bob_s_reaches_alice_over_http_2() {
    let street = Street::new();
    TestRunner::new(config())
        .run(&ask(), |asked| {
            street.runtime.block_on(in_frames(&street, &asked));
            Ok(())
        })
        .unwrap();
    street.runtime.block_on(in_frames(&street, &his_own()));
    street.judge(1);
}

async fn in_frames(street: &Street, asked: &Ask) {
    let mut fields = vec![
        (":method", asked.method),
        (":scheme", asked.scheme),
        (":authority", asked.authority.as_str()),
        (":path", asked.target.as_str()),
        ("cookie", street.cookie.as_str()),
    ];
    fields.extend(
        asked
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let wire = street.front.tls_wire(&["h2"]).await;
    let mut frames = Frames::start(wire).await;
    let stream = frames.ask(&fields, true).await.unwrap();
    within(frames.end_of(stream)).await;
}

#[test]
fn the_same_requests_without_a_session_reach_nobody() {
    let mut street = Street::new();
    "a=1".clone_into(&mut street.cookie);
    let config = ProptestConfig {
        cases: CASES / 4,
        ..config()
    };
    TestRunner::new(config)
        .run(&ask(), |asked| {
            street.runtime.block_on(in_bytes(&street, &asked));
            street.runtime.block_on(in_frames(&street, &asked));
            Ok(())
        })
        .unwrap();
    street.judge(0);
    let bob = street.bob.shared.requests.load(Ordering::Relaxed);
    assert_eq!(bob, 0, "nobody is signed in");
}
