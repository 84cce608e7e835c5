//! A proxy in front of the appliance: who is believed, and about what.

use axum::Router;
use axum::extract::{Extension, Request};
use futures_util::{SinkExt as _, StreamExt as _};
use thon::domain::instance::Access;
use thon::edge::{Fronts, Limits, Peer, Scheme};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{AT_ONCE, Reply, get, is_cut, open_socket, read_head, send, within};
use crate::support::origin::Origin;
use crate::support::proxy::{Front, HOST, Plan};

const PATH: &str = "/w/red/alice/";

/// What nginx says of a visitor who came by https.
const FORWARDED: [(&str, &str); 3] = [
    ("x-forwarded-for", "198.51.100.9, 203.0.113.7"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "hack.example"),
];

fn fronts(network: &str) -> Fronts {
    Fronts::new(&[network.parse().unwrap()])
}

/// Shows what a handler of ours is told.
fn portal() -> Router {
    Router::new().fallback(
        |Extension(peer): Extension<Peer>,
         Extension(scheme): Extension<Scheme>,
         request: Request| async move {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let address = peer.0.unwrap().ip();
            format!("{address} {} {host}", scheme.as_str())
        },
    )
}

async fn behind(network: &str) -> Front {
    Front::planned(Plan {
        fronts: fronts(network),
        portal: portal(),
        ..Plan::default()
    })
    .await
}

fn seen(reply: &Reply, name: &str) -> String {
    let headers: Vec<(String, String)> =
        serde_json::from_value(reply.json()["headers"].clone()).unwrap();
    let mut values = headers.into_iter().filter(|(given, _)| given == name);
    let (_, value) = values.next().unwrap();
    assert!(values.next().is_none(), "{name} once");
    value
}

#[tokio::test]
async fn a_proxy_of_ours_is_believed_with_and_without_tls() {
    let front = behind("127.0.0.0/8").await;
    let reply = send(front.wire().await, get("/", &FORWARDED)).await;
    assert_eq!(reply.text(), "203.0.113.7 https hack.example");
    let wire = front.tls_wire(&["http/1.1"]).await;
    let reply = send(wire, get("/", &FORWARDED)).await;
    assert_eq!(reply.text(), "203.0.113.7 https hack.example");
    let reply = send(front.wire().await, get("/", &[])).await;
    assert_eq!(reply.text(), "127.0.0.1 http pub.example");
}

#[tokio::test]
async fn nobody_else_is_believed() {
    for front in [
        behind("10.0.0.0/8").await,
        Front::with_portal(portal()).await,
    ] {
        let reply = send(front.wire().await, get("/", &FORWARDED)).await;
        assert_eq!(reply.text(), "127.0.0.1 http pub.example");
        let wire = front.tls_wire(&["http/1.1"]).await;
        let reply = send(wire, get("/", &FORWARDED)).await;
        assert_eq!(reply.text(), "127.0.0.1 https pub.example");
    }
}

#[tokio::test]
async fn the_editor_is_told_of_the_visitor_and_not_of_the_proxy() {
    let origin = Origin::start().await;
    let front = behind("127.0.0.0/8").await;
    front.serve("red/alice", Access::Owner, origin.address);
    let alice = front.sign_in("red/alice");
    let forwarded = ("forwarded", "for=198.51.100.9;host=evil.example");
    let headers = [&FORWARDED[..], &[("cookie", &alice.cookie), forwarded]].concat();
    let reply = send(front.wire().await, get(PATH, &headers)).await;
    assert_eq!(seen(&reply, "host"), "hack.example");
    assert_eq!(seen(&reply, "x-forwarded-host"), "hack.example");
    assert_eq!(seen(&reply, "x-forwarded-for"), "203.0.113.7");
    assert_eq!(seen(&reply, "x-forwarded-proto"), "https");
    assert!(!reply.text().contains("evil"), "{}", reply.text());
}

#[tokio::test]
async fn a_socket_s_origin_is_compared_with_the_public_address() {
    let origin = Origin::start().await;
    let front = behind("127.0.0.0/8").await;
    front.serve("red/alice", Access::Owner, origin.address);
    let alice = front.sign_in("red/alice");
    for (given, verdict) in [
        ("https://hack.example", None),
        ("http://hack.example", Some(403)),
        ("https://pub.example", Some(403)),
    ] {
        let own = [("cookie", alice.cookie.as_str()), ("origin", given)];
        let headers = [&FORWARDED[..], &own].concat();
        let opened = open_socket(front.wire().await, PATH_OF_SOCKET, &headers).await;
        let refused = opened.err().map(|status| status.as_u16());
        assert_eq!(refused, verdict, "{given}");
    }
}

const PATH_OF_SOCKET: &str = "/w/red/alice/ws";

#[tokio::test]
async fn a_proxy_is_no_single_address_and_strangers_still_are() {
    let limits = Limits {
        connections_per_address_max: 1,
        ..Limits::default()
    };
    let plan = |network| Plan {
        fronts: fronts(network),
        limits: limits.clone(),
        ..Plan::default()
    };
    let trusting = Front::planned(plan("127.0.0.1/32")).await;
    let mut wires = [trusting.wire().await, trusting.wire().await];
    for wire in &mut wires {
        wire.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        assert!(read_head(wire).await.starts_with("HTTP/1.1 200"));
    }
    let wary = Front::planned(plan("127.9.9.9/32")).await;
    let _first = wary.wire().await;
    let mut second = wary.wire().await;
    assert!(is_cut(&mut second, AT_ONCE).await);
}

#[tokio::test]
async fn plain_http_over_a_network_is_for_proxies_of_ours_only() {
    let everywhere = |network| Plan {
        fronts: fronts(network),
        listen: "0.0.0.0:0",
        ..Plan::default()
    };
    let front = Front::planned(everywhere("10.0.0.0/8")).await;
    let reply = send(front.wire().await, get("/", &FORWARDED)).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["error"]["code"], "plain_http");
    let wire = front.tls_wire(&["http/1.1"]).await;
    assert_eq!(send(wire, get("/", &[])).await.status, 200);

    let front = Front::planned(everywhere("127.0.0.0/8")).await;
    let reply = send(front.wire().await, get("/", &FORWARDED)).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn what_a_proxy_says_of_the_host_is_checked_like_any_host() {
    let front = behind("127.0.0.0/8").await;
    for odd in ["a/b", "a@b", "", "a b", "pub.example, ", "x:99999"] {
        let reply = send(front.wire().await, get("/", &[("x-forwarded-host", odd)])).await;
        assert_eq!(reply.status, 400, "{odd:?}");
    }
}

/// Its connections carry one visitor after the other.
#[tokio::test]
async fn one_visitor_s_end_is_not_the_next_one_s() {
    let origin = Origin::start().await;
    let front = behind("127.0.0.0/8").await;
    front.serve("red/alice", Access::Owner, origin.address);
    front.serve("red/bob", Access::Owner, origin.address);
    let (alice, bob) = (front.sign_in("red/alice"), front.sign_in("red/bob"));
    let mut wire = front.wire().await;
    let ask = format!(
        "HEAD {PATH} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n\r\n",
        alice.cookie
    );
    wire.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 200"));
    let headers = [("cookie", bob.cookie.as_str())];
    let mut socket = open_socket(wire, "/w/red/bob/ws", &headers).await.unwrap();
    alice.session.revoked.cancel();
    socket.send(Message::text("still here")).await.unwrap();
    let echo = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text("still here"));
    bob.session.revoked.cancel();
    let end = within(socket.next()).await;
    assert!(end.is_none_or(|message| message.is_err()));
}

#[tokio::test]
async fn proxies_are_spoken_to_one_request_at_a_time() {
    for (network, expected) in [("127.0.0.0/8", "http/1.1"), ("10.0.0.0/8", "h2")] {
        let front = behind(network).await;
        let wire = front.tls_wire(&["h2", "http/1.1"]).await;
        let spoken = wire.get_ref().1.alpn_protocol();
        assert_eq!(spoken, Some(expected.as_bytes()), "{network}");
    }
}
