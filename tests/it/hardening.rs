//! Clients that do not mean well, and limits.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get as on_get;
use thon::domain::instance::Access;
use thon::edge::{Door, Edge, Fronts, Limits, Peer, PeerFilter, bind, bind_unix};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};

use crate::support::client::{
    AT_ONCE, exchange_raw, get, is_cut, open_socket, read_head, send, within,
};
use crate::support::origin::{Origin, instant_upgrades};
use crate::support::proxy::{Front, HOST, Plan};

async fn raw(front: &Front, bytes: &str) -> String {
    exchange_raw(front.wire().await, bytes.as_bytes()).await
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("cut")
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let front = Front::start().await;
    for (what, head) in [
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        ),
        (
            "a signed length",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
        ),
        (
            "no chunks",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
        ),
        (
            "chunks not last",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        ),
        (
            "chunks in 1.0",
            "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("no host in 1.0", "GET / HTTP/1.0\r\n\r\n"),
        (
            "an odd host",
            "GET / HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n",
        ),
        ("a user in the host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
        (
            "a folded header",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        ),
        (
            "a space before the colon",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        ),
        (
            "another host in the target",
            "GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n",
        ),
        (
            "bytes that are no text",
            "GET /\u{1}\u{80} HTTP/1.1\r\nHost: h\r\nX: \u{0}\r\n\r\n",
        ),
    ] {
        // Some are answered on a connection that stays open: ask for its end.
        let head = head.replace("HTTP/1.1\r\n\r\n", "HTTP/1.1\r\nConnection: close\r\n\r\n");
        let answer = raw(&front, &head).await;
        assert_eq!(status(&answer), "400", "{what}: {answer}");
    }
    let answer = raw(&front, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n").await;
    assert_eq!(status(&answer), "405", "{answer}");
}

#[tokio::test]
async fn a_length_beside_chunks_ends_the_connection_after_one_answer() {
    let front = Front::start().await;
    let answer = raw(
        &front,
        "POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n",
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_only_as_the_client_wants_it() {
    let front = Front::start().await;
    let one = raw(
        &front,
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(one.contains("Connection: close"), "{one}");
    let old = raw(&front, "GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    assert!(old.ends_with("portal"), "{old}");

    let mut kept = front.wire().await;
    for _ in 0..3 {
        kept.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        let head = read_head(&mut kept).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(
            head.to_lowercase().contains("connection: keep-alive"),
            "{head}"
        );
        let mut body = [0; 6];
        tokio::io::AsyncReadExt::read_exact(&mut kept, &mut body)
            .await
            .unwrap();
    }
}

fn hurried() -> Plan {
    Plan {
        limits: Limits {
            handshake_timeout: AT_ONCE,
            head_timeout: Duration::from_millis(500),
            idle_timeout: Duration::from_millis(500),
            stall_timeout: Duration::from_millis(500),
            ..Limits::default()
        },
        ..Plan::default()
    }
}

/// Writes a byte from time to time until the other side has had enough.
async fn drip(wire: &mut TcpStream, bytes: &[u8]) -> bool {
    let (mut read, mut write) = wire.split();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let dripping = async {
        for byte in bytes.iter().cycle() {
            tick.tick().await;
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = dripping => true,
        cut = is_cut(&mut read, 3 * AT_ONCE) => cut,
    }
}

#[tokio::test]
async fn a_head_that_drips_in_is_cut_the_first_and_a_later_one() {
    let front = Front::planned(hurried()).await;
    let mut wire = front.wire().await;
    assert!(
        drip(
            &mut wire,
            b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        )
        .await
    );

    let mut wire = front.wire().await;
    wire.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    read_head(&mut wire).await;
    assert!(
        drip(
            &mut wire,
            b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        )
        .await
    );
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let front = Front::planned(hurried()).await;
    // No handshake, no request, no second request, no HTTP/2 stream.
    let mut silent = TcpStream::connect(front.tls).await.unwrap();
    assert!(is_cut(&mut silent, 3 * AT_ONCE).await);
    let mut silent = front.wire().await;
    assert!(is_cut(&mut silent, 3 * AT_ONCE).await);
    let mut idle = front.wire().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    assert!(is_cut(&mut idle, 3 * AT_ONCE).await);
    let mut idle = front.tls_wire(&["h2"]).await;
    assert!(is_cut(&mut idle, 3 * AT_ONCE).await);
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let front = Front::planned(Plan {
        portal: Router::new().fallback(|body: String| async move { body }),
        ..hurried()
    })
    .await;
    let mut wire = front.wire().await;
    wire.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        .await
        .unwrap();
    assert!(is_cut(&mut wire, 3 * AT_ONCE).await);
}

#[tokio::test]
async fn too_large_a_head_and_too_long_an_address_are_told_so() {
    let front = Front::start().await;
    let ask = |target: &str, header: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: h\r\nX: {header}\r\nConnection: close\r\n\r\n")
    };
    let fine = raw(&front, &ask("/", &"x".repeat(60 << 10))).await;
    assert_eq!(status(&fine), "200");
    let large = raw(&front, &ask("/", &"x".repeat(70 << 10))).await;
    assert_eq!(status(&large), "431");
    let long = raw(&front, &ask(&format!("/{}", "x".repeat(17 << 10)), "")).await;
    assert_eq!(status(&long), "414");
    let huge = raw(&front, &ask("/", &"x".repeat(900 << 10))).await;
    assert_eq!(status(&huge), "431");
    assert!(
        huge.ends_with("Clearing this site's cookies helps.\n"),
        "{huge}"
    );
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_a_sandbox_has_none() {
    let front = Front::planned(Plan {
        limits: Limits {
            connections_per_address_max: 2,
            ..Limits::default()
        },
        ..Plan::default()
    })
    .await;
    let (mut first, _second) = (front.wire().await, front.wire().await);
    let mut third = front.wire().await;
    assert!(is_cut(&mut third, AT_ONCE).await);
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    assert!(read_head(&mut first).await.starts_with("HTTP/1.1 200"));

    let front = Front::planned(Plan {
        peers: PeerFilter::not_from(["127.0.0.0/8".parse().unwrap()]),
        ..Plan::default()
    })
    .await;
    let mut wire = front.wire().await;
    assert!(is_cut(&mut wire, AT_ONCE).await);
}

#[tokio::test]
async fn a_listener_has_so_many_connections_and_takes_the_next_when_one_ends() {
    let front = Front::planned(Plan {
        limits: Limits {
            connections_max: 2,
            ..Limits::default()
        },
        ..Plan::default()
    })
    .await;
    let (first, _second) = (front.wire().await, front.wire().await);
    let mut third = front.wire().await;
    assert!(is_cut(&mut third, AT_ONCE).await);
    drop(first);
    within(async {
        while front.public.open_connections() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(send(front.wire().await, get("/", &[])).await.status, 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start().await;
    let echo = |uri: http::Uri, _body: String| async move { uri.path().to_owned() };
    let front = Front::with_portal(Router::new().fallback(echo)).await;
    front.serve("red/open", Access::Open, origin.address);
    let answer = raw(
        &front,
        "GET /one HTTP/1.1\r\nHost: h\r\n\r\n\
         GET /w/red/open/two HTTP/1.1\r\nHost: h\r\n\r\n\
         POST /three HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxx\
         GET /four HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 4, "{answer}");
    let at = |text: &str| {
        answer
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {answer}"))
    };
    assert!(
        at("/one") < at("\"/two\"") && at("\"/two\"") < at("/three") && at("/three") < at("/four")
    );
}

#[tokio::test]
async fn an_acme_server_gets_the_handshake_and_nothing_else() {
    let front = Front::start().await;
    let mut wire = front.tls_wire(&["acme-tls/1"]).await;
    assert!(is_cut(&mut wire, AT_ONCE).await);
}

/// Control, admin and gateway listeners: hyper and a router.
mod routers {
    use super::*;

    fn router() -> Router {
        Router::new()
            .route(
                "/peer",
                on_get(|Extension(peer): Extension<Peer>| async move {
                    format!("{:?}", peer.0.map(|address| address.ip()))
                }),
            )
            .route("/panic", on_get(bug))
            .route("/socket", on_get(tunnel))
    }

    async fn bug() {
        panic!("a handler's bug");
    }

    /// Echoes whatever comes through the upgraded connection.
    async fn tunnel(mut request: axum::extract::Request) -> axum::response::Response {
        let upgraded = hyper::upgrade::on(&mut request);
        crate::support::origin::spawn(async move {
            let Ok(io) = upgraded.await else { return };
            let (mut read, mut write) = tokio::io::split(hyper_util::rt::TokioIo::new(io));
            tokio::io::copy(&mut read, &mut write).await.ok();
        });
        http::Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(axum::body::Body::empty())
            .unwrap()
    }

    fn door() -> Door {
        Door {
            name: "admin",
            tls: None,
            peers: PeerFilter::Everybody,
            fronts: Fronts::default(),
        }
    }

    fn serve(limits: Limits) -> (Edge, SocketAddr) {
        let edge = Edge::new(limits);
        let bound = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = bound.local_addr().unwrap();
        edge.serve_router(bound, door(), router());
        (edge, address)
    }

    #[tokio::test]
    async fn a_handler_knows_its_peer_and_every_answer_is_shielded() {
        let (edge, address) = serve(Limits::default());
        let reply = send(
            TcpStream::connect(address).await.unwrap(),
            get("/peer", &[]),
        )
        .await;
        assert_eq!(reply.text(), "Some(127.0.0.1)");
        assert!(
            reply
                .header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        edge.serve_router(bind_unix(&path).await.unwrap(), door(), router());
        let reply = send(UnixStream::connect(&path).await.unwrap(), get("/peer", &[])).await;
        assert_eq!(reply.text(), "None");
    }

    #[tokio::test]
    async fn a_panic_ends_its_connection_only() {
        let (_edge, address) = serve(Limits::default());
        let mut wire = TcpStream::connect(address).await.unwrap();
        wire.write_all(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        assert!(is_cut(&mut wire, AT_ONCE).await);
        let reply = send(
            TcpStream::connect(address).await.unwrap(),
            get("/peer", &[]),
        )
        .await;
        assert_eq!(reply.status, 200);
    }

    #[tokio::test]
    async fn heads_drip_and_idlers_idle_here_no_longer_than_at_the_public_door() {
        let (_edge, address) = serve(hurried().limits);
        let mut wire = TcpStream::connect(address).await.unwrap();
        assert!(
            drip(
                &mut wire,
                b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
            )
            .await
        );
        let mut wire = TcpStream::connect(address).await.unwrap();
        wire.write_all(b"GET /peer HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        assert!(is_cut(&mut wire, 3 * AT_ONCE).await);
    }

    #[tokio::test]
    async fn an_upgraded_connection_lives_until_the_end_of_the_grace() {
        let (edge, address) = serve(hurried().limits);
        let mut wire = TcpStream::connect(address).await.unwrap();
        let hello =
            "GET /socket HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        wire.write_all(hello.as_bytes()).await.unwrap();
        assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 101"));
        let silence = 2 * hurried().limits.idle_timeout;
        assert!(!is_cut(&mut wire, silence).await);
        let drained = within(edge.stop(Duration::from_millis(100))).await;
        assert_eq!(drained.cut, 1);
        assert!(is_cut(&mut wire, AT_ONCE).await);
    }

    #[tokio::test]
    async fn stopping_an_idle_listener_takes_no_longer_than_it_needs() {
        let (edge, address) = serve(Limits {
            settle_time: Duration::from_millis(10),
            ..Limits::default()
        });
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /peer HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        read_head(&mut idle).await;
        let drained = tokio::time::timeout(3 * AT_ONCE, edge.stop(Duration::from_mins(1))).await;
        assert_eq!(drained.unwrap().cut, 0);
    }
}

#[tokio::test]
async fn a_sandbox_cannot_turn_an_ordinary_request_into_a_tunnel() {
    let (address, _task) = instant_upgrades().await;
    let front = Front::start().await;
    front.serve("red/open", Access::Open, address);
    for upgrade in ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
        let head = format!("GET /w/red/open/ HTTP/1.1\r\nHost: {HOST}\r\n{upgrade}\r\n");
        let answer = raw(&front, &head).await;
        assert_eq!(status(&answer), "502", "{answer}");
        assert!(!answer.contains("101 Switching"), "{answer}");
    }
}

#[tokio::test]
async fn an_upgrade_without_a_websocket_is_an_ordinary_request() {
    let origin = Origin::start().await;
    let front = Front::start().await;
    front.serve("red/open", Access::Open, origin.address);
    let answer = raw(
        &front,
        &format!(
            "GET /w/red/open/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        ),
    )
    .await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(!answer.contains("h2c"), "{answer}");
    let closed = open_socket(front.wire().await, "/w/red/open/not-a-socket", &[]).await;
    assert_eq!(closed.err().unwrap(), 200);
}
