//! Requests to sandboxes: who gets through, what the editor sees, what the browser sees.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::rt::TokioIo;
use thon::domain::instance::{Access, Phase};
use thon::proxy::Patience;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::client::{Reply, exchange_raw, get, read_head, request, send, within};
use crate::support::origin::{Origin, scripted, spawn};
use crate::support::proxy::{Browser, EDITOR_COOKIE, Front, HOST, Plan};

const PAGE: (&str, &str) = ("accept", "text/html");

/// Alice's editor and alice's browser.
async fn alice() -> (Front, Origin, Browser) {
    let origin = Origin::start().await;
    let front = Front::start().await;
    front.serve("red/alice", Access::Owner, origin.address);
    let alice = front.sign_in("red/alice");
    (front, origin, alice)
}

async fn fetch(front: &Front, path: &str, headers: &[(&str, &str)]) -> Reply {
    send(front.wire().await, get(path, headers)).await
}

/// The values of a header as the editor saw it.
fn seen(reply: &Reply, name: &str) -> Vec<String> {
    let headers: Vec<(String, String)> =
        serde_json::from_value(reply.json()["headers"].clone()).unwrap();
    let values = headers.into_iter().filter(|(given, _)| given == name);
    values.map(|(_, value)| value).collect()
}

#[tokio::test]
async fn the_editor_sees_its_own_path_and_the_public_address_and_nothing_that_a_client_claims() {
    let (front, _origin, alice) = alice().await;
    let asked = get(
        "/w/red/alice/a%2Fb/%20?folder=/x&y=%2e%2e",
        &[
            ("cookie", &format!("a=1; {}", alice.cookie)),
            ("forwarded", "host=evil"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
            ("x-http-method-override", "DELETE"),
            ("host", "PUB.example:8443"),
        ],
    );
    let reply = send(front.tls_wire(&["http/1.1"]).await, asked).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["target"], "/a%2Fb/%20?folder=/x&y=%2e%2e");
    assert_eq!(seen(&reply, "host"), ["pub.example:8443"]);
    assert_eq!(seen(&reply, "x-forwarded-host"), ["pub.example:8443"]);
    assert_eq!(seen(&reply, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen(&reply, "x-forwarded-proto"), ["https"]);
    assert_eq!(seen(&reply, "x-forwarded-prefix"), ["/w/red/alice"]);
    let cookies = format!("a=1; code-server-session={EDITOR_COOKIE}");
    assert_eq!(seen(&reply, "cookie"), [cookies]);
    for gone in ["forwarded", "x-real-ip", "x-http-method-override"] {
        assert!(seen(&reply, gone).is_empty(), "{gone}");
    }
}

#[tokio::test]
async fn without_its_final_slash_an_address_is_moved_and_keeps_its_query() {
    let (front, _origin, alice) = alice().await;
    for (given, moved) in [
        ("/w/red/alice", "/w/red/alice/"),
        ("/w/red/alice?folder=/x&y", "/w/red/alice/?folder=/x&y"),
    ] {
        let reply = fetch(&front, given, &[("cookie", &alice.cookie)]).await;
        assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(reply.header("location"), moved);
    }
}

#[tokio::test]
async fn a_visitor_is_asked_to_sign_in_and_learns_nothing_else() {
    let (front, _origin, _) = alice().await;
    let mut answers = Vec::new();
    for path in ["/w/red/alice/?folder=/x", "/w/red/ghost/?folder=/x"] {
        let page = fetch(&front, path, &[PAGE]).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        let next = format!(
            "/?next={}",
            path.replace('?', "%3F").replace("=/x", "%3D/x")
        );
        assert_eq!(page.header("location"), next);
        let script = fetch(&front, path, &[]).await;
        assert_eq!(script.status, StatusCode::UNAUTHORIZED);
        assert_eq!(script.json()["error"]["code"], "sign_in");
        assert_eq!(script.json()["detail"], script.json()["error"]["message"]);
        answers.push(script.body);
    }
    assert_eq!(answers[0], answers[1]);
    let stale = [("cookie", "__Host-thon=stale"), PAGE];
    assert_eq!(
        fetch(&front, "/w/red/alice/", &stale).await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn another_participant_s_session_opens_nothing_by_any_spelling() {
    let (front, origin, _) = alice().await;
    front.serve("red/open", Access::Open, origin.address);
    front.serve("red/bob", Access::Owner, origin.address);
    let bob = front.sign_in("red/bob");
    for path in [
        "/w/red/alice/",
        "/w/red/alice",
        "/w/red/alice/proxy/3000/",
        "/w/red/open/",
        "/w/red/ghost/",
        "/W/red/alice/",
        "/w/Red/alice/",
        "/w//red/alice/",
        "//w/red/alice/",
        "/w/red//alice/",
        "/w/red/bob/../alice/",
        "/w/red/bob/%2e%2e/alice/",
        "/w/red/bob/.%2E/alice/",
        "/w/red/bob/x%2f..%2f..%2falice/",
        "/w/red/bob/..%5calice/",
        "/w/red/bob/..;/alice/",
        "/w/red/bob/..\\alice/",
        "/w/red/bob//alice/",
        "/w/red/%61lice/",
        "/w/red%2falice/",
        "/w/red/alice%00/",
    ] {
        for claims in [
            &[][..],
            &[
                ("x-forwarded-host", "evil"),
                ("x-original-url", "/w/red/bob/"),
            ],
        ] {
            let bytes = claims.iter().fold(
                format!(
                    "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n",
                    bob.cookie
                ),
                |head, (name, value)| format!("{head}{name}: {value}\r\n"),
            );
            let bytes = format!("{bytes}Connection: close\r\n\r\n");
            let answer = exchange_raw(front.wire().await, bytes.as_bytes()).await;
            let status = answer.get(9..12).unwrap_or_default();
            assert!(matches!(status, "403" | "404"), "{path}: {answer}");
        }
    }
    assert_eq!(origin.shared.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_open_instance_lets_visitors_in_and_a_password_one_asks_by_itself() {
    let origin = Origin::start().await;
    let front = Front::start().await;
    front.serve("red/open", Access::Open, origin.address);
    front.serve("red/secret", Access::Password, origin.address);
    let theirs = ("cookie", "code-server-session=typed");
    let open = fetch(&front, "/w/red/open/", &[theirs]).await;
    assert_eq!(
        seen(&open, "cookie"),
        [format!("code-server-session={EDITOR_COOKIE}")]
    );
    let secret = fetch(&front, "/w/red/secret/", &[theirs]).await;
    assert_eq!(seen(&secret, "cookie"), ["code-server-session=typed"]);
    let login = fetch(&front, "/w/red/secret/login", &[]).await;
    assert_eq!(
        login.all("set-cookie"),
        ["code-server-session=hash; SameSite=Lax; Path=/w/red/secret/"]
    );
    let login = fetch(&front, "/w/red/open/login", &[]).await;
    assert!(login.all("set-cookie").is_empty());
}

#[tokio::test]
async fn a_hostile_sandbox_cannot_speak_for_the_origin() {
    let (front, _origin, alice) = alice().await;
    let cookie = ("cookie", alice.cookie.as_str());
    let reply = fetch(&front, "/w/red/alice/evil", &[cookie]).await;
    assert_eq!(reply.all("set-cookie"), ["tossed=1; Path=/w/red/alice/"]);
    for gone in [
        "service-worker-allowed",
        "clear-site-data",
        "alt-svc",
        "strict-transport-security",
        "keep-alive",
    ] {
        assert!(reply.all(gone).is_empty(), "{gone}");
    }
    assert_eq!(
        reply.all("content-security-policy"),
        ["frame-ancestors 'self'"]
    );
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("referrer-policy"), "same-origin");
    let worker = "/w/red/alice/_static/out/browser/serviceWorker.js";
    let reply = fetch(&front, worker, &[cookie]).await;
    assert_eq!(reply.all("service-worker-allowed"), ["/w/red/alice/"]);
    let reply = fetch(&front, "/w/red/alice/evil/sw.js", &[cookie]).await;
    assert!(reply.all("service-worker-allowed").is_empty());
}

#[tokio::test]
async fn another_site_cannot_change_anything_with_the_owner_s_cookie() {
    let (front, _origin, alice) = alice().await;
    let headers = [
        ("cookie", alice.cookie.as_str()),
        ("sec-fetch-site", "cross-site"),
    ];
    let post = request("POST", "/w/red/alice/", &headers, "x");
    assert_eq!(
        send(front.wire().await, post).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        fetch(&front, "/w/red/alice/", &headers).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn whoever_waits_sees_why_and_what_to_do() {
    let front = Front::start().await;
    let alice = front.sign_in("red/alice");
    let cookie = ("cookie", alice.cookie.as_str());
    for (phase, reason, said) in [
        (Phase::Starting, None, "starting"),
        (Phase::Paused, None, "paused"),
        (Phase::Stopped, None, "stopped"),
        (
            Phase::Failed,
            Some("the image <is> missing"),
            "the image &#60;is&#62; missing",
        ),
    ] {
        front.wait("red/alice", phase, reason);
        let page = fetch(&front, "/w/red/alice/", &[cookie, PAGE]).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{phase}");
        assert!(page.text().contains(said), "{}", page.text());
        assert!(page.text().contains("http-equiv=\"refresh\""), "{phase}");
        assert!(!page.header("retry-after").is_empty(), "{phase}");
        let script = fetch(&front, "/w/red/alice/x.js", &[cookie]).await;
        assert_eq!(script.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(script.header("retry-after"), "1");
        assert_eq!(script.json()["error"]["code"], phase.to_string());
    }
    let bob = front.sign_in("red/bob");
    let page = fetch(&front, "/w/red/bob/", &[("cookie", &bob.cookie), PAGE]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text().contains("href=\"/\""), "{}", page.text());
}

#[tokio::test]
async fn a_dead_container_gives_a_page_with_the_next_step_and_never_hangs() {
    let brief = Duration::from_millis(300);
    let front = Front::planned(Plan {
        patience: Patience {
            connect: Duration::from_secs(2),
            page: brief,
            fetch: brief,
        },
        ..Plan::default()
    })
    .await;
    let alice = front.sign_in("red/alice");
    let headers = [("cookie", alice.cookie.as_str()), PAGE];

    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    // Paused: the kernel accepts, nobody answers.
    front.serve("red/alice", Access::Owner, address);
    let page = fetch(&front, "/w/red/alice/", &headers).await;
    assert_eq!(page.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(page.text().contains("http-equiv=\"refresh\""));
    // Gone: nobody listens.
    drop(gone);
    let page = fetch(&front, "/w/red/alice/", &headers).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.text().contains("nothing in your workspace is lost"));
    let script = fetch(&front, "/w/red/alice/x", &[("cookie", &alice.cookie)]).await;
    assert_eq!(script.json()["error"]["code"], "unreachable");
    assert_eq!(script.header("retry-after"), "1");
}

#[tokio::test]
async fn a_container_with_a_reused_address_never_gets_the_old_one_s_connections() {
    let origin = Origin::start().await;
    let front = Front::start().await;
    let alice = front.sign_in("red/alice");
    let headers = [("cookie", alice.cookie.as_str())];
    front.serve("red/alice", Access::Owner, origin.address);
    for _ in 0..3 {
        fetch(&front, "/w/red/alice/", &headers).await;
    }
    assert_eq!(origin.shared.connections.load(Ordering::Relaxed), 1);
    front.serve("red/alice", Access::Owner, origin.address);
    fetch(&front, "/w/red/alice/", &headers).await;
    assert_eq!(origin.shared.connections.load(Ordering::Relaxed), 2);
}

/// In lock step: an event is only made once the one before has arrived.
#[tokio::test]
async fn events_are_not_held_back() {
    let (front, origin, alice) = alice().await;
    let events = origin.events().await;
    let io = TokioIo::new(front.tls_wire(&["http/1.1"]).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let _connection = spawn(async move { connection.await.unwrap_or(()) });
    let ask = get("/w/red/alice/sse", &[("cookie", &alice.cookie)]);
    events.send("data: 0\n\n".to_owned()).await.unwrap();
    let response = within(sender.send_request(ask)).await.unwrap();
    let mut body = response.into_body();
    for number in 0..50 {
        let frame = within(body.frame()).await.unwrap().unwrap();
        let expected = format!("data: {number}\n\n");
        assert_eq!(frame.into_data().unwrap(), expected.as_bytes());
        events
            .send(format!("data: {}\n\n", number + 1))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_editor_that_wants_the_body_says_so_through_the_proxy() {
    let (front, _origin, alice) = alice().await;
    let mut wire = front.wire().await;
    let ask = format!(
        "POST /w/red/alice/upload HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\nContent-Length: 2\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        alice.cookie
    );
    wire.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 100"));
    let answer = exchange_raw(wire, b"xx").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n2"),
        "{answer}"
    );
}

/// In lock step: the next megabyte is only made once the editor has the one before, so the proxy
/// cannot be holding more than one.
#[tokio::test]
async fn an_upload_of_any_size_passes_through_without_being_stored() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 200;
    let (front, origin, alice) = alice().await;
    let chunk = Bytes::from(vec![7; CHUNK]);
    let arrived = origin.shared.uploaded.subscribe();
    let frames = stream::unfold((0, arrived), move |(sent, mut arrived)| {
        let chunk = chunk.clone();
        async move {
            arrived
                .wait_for(|bytes| *bytes >= sent * CHUNK)
                .await
                .unwrap();
            let frame = Ok::<_, std::convert::Infallible>(Frame::data(chunk));
            (sent < CHUNKS).then_some((frame, (sent + 1, arrived)))
        }
    });
    let upload = Request::post("/w/red/alice/upload")
        .header("host", HOST)
        .header("cookie", &alice.cookie)
        .body(StreamBody::new(Box::pin(frames)))
        .unwrap();
    let reply = send(front.wire().await, upload).await;
    assert_eq!(reply.text(), (CHUNK * CHUNKS).to_string());
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_editor() {
    let (front, origin, alice) = alice().await;
    let mut hanging = origin.shared.hanging.subscribe();
    let mut wire = front.wire().await;
    let ask = format!(
        "GET /w/red/alice/hang HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n\r\n",
        alice.cookie
    );
    wire.write_all(ask.as_bytes()).await.unwrap();
    within(hanging.wait_for(|waiting| *waiting == 1))
        .await
        .unwrap();
    drop(wire);
    within(hanging.wait_for(|waiting| *waiting == 0))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_large_response_and_http_2_work_through_the_same_door() {
    let (front, _origin, alice) = alice().await;
    let wire = front.tls_wire(&["h2"]).await;
    let (client, connection) = h2::client::handshake(wire).await.unwrap();
    let _connection = spawn(async move { connection.await.unwrap_or(()) });
    let mut client = client.ready().await.unwrap();
    let ask = Request::get(format!("https://{HOST}/w/red/alice/big"))
        .header("cookie", "a=1")
        .header("cookie", &alice.cookie)
        .body(())
        .unwrap();
    let (response, _) = client.send_request(ask, true).unwrap();
    let response = within(response).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let mut total = 0;
    while let Some(chunk) = within(body.data()).await {
        let chunk = chunk.unwrap();
        total += chunk.len();
        body.flow_control().release_capacity(chunk.len()).unwrap();
    }
    assert_eq!(total, 3 << 20);
    let ask = Request::get("https://PUB.example:443/w/red/alice/x")
        .header("cookie", &alice.cookie)
        .body(())
        .unwrap();
    let (response, _) = client.send_request(ask, true).unwrap();
    let echo = within(within(response).await.unwrap().into_body().data()).await;
    let echo = String::from_utf8(echo.unwrap().unwrap().to_vec()).unwrap();
    assert!(echo.contains(r#"["host","pub.example"]"#), "{echo}");
    let nobody = Request::get(format!("https://{HOST}/w/red/alice/"))
        .body(())
        .unwrap();
    let (response, _) = client.send_request(nobody, true).unwrap();
    assert_eq!(
        within(response).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn stopping_lets_a_request_in_flight_finish_and_says_goodbye() {
    let (front, origin, alice) = alice().await;
    let events = origin.events().await;
    let mut wire = front.wire().await;
    let ask = format!(
        "GET /w/red/alice/sse HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n\r\n",
        alice.cookie
    );
    wire.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_head(&mut wire).await.starts_with("HTTP/1.1 200"));
    let finish = async {
        events.send("the end".to_owned()).await.unwrap();
        drop(events);
        exchange_raw(wire, b"").await
    };
    let (drained, rest) = tokio::join!(front.edge.stop(Duration::from_secs(10)), finish);
    assert!(rest.contains("the end"), "{rest}");
    assert_eq!(drained.cut, 0);
}

#[tokio::test]
async fn stopping_lets_an_http_2_stream_finish() {
    let (front, origin, alice) = alice().await;
    let events = origin.events().await;
    let wire = front.tls_wire(&["h2"]).await;
    let (client, connection) = h2::client::handshake(wire).await.unwrap();
    let connection = spawn(async move { connection.await.unwrap_or(()) });
    let ask = Request::get(format!("https://{HOST}/w/red/alice/sse"))
        .header("cookie", &alice.cookie)
        .body(())
        .unwrap();
    let (response, _) = client
        .ready()
        .await
        .unwrap()
        .send_request(ask, true)
        .unwrap();
    let mut body = within(response).await.unwrap().into_body();
    let finish = async {
        events.send("the end".to_owned()).await.unwrap();
        drop(events);
        let mut rest = Vec::new();
        while let Some(event) = within(body.data()).await {
            rest.extend_from_slice(&event.unwrap());
        }
        rest
    };
    let (drained, event) = tokio::join!(front.edge.stop(Duration::from_secs(10)), finish);
    assert_eq!(event, b"the end");
    assert_eq!(drained.cut, 0);
    within(connection).await.unwrap();
}

/// The kernel has said yes to it; so must we.
#[tokio::test]
async fn a_connection_that_waits_to_be_accepted_is_served_before_the_door_closes() {
    let front = Front::start().await;
    let mut wire = front.wire().await;
    let ask = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    wire.write_all(ask.as_bytes()).await.unwrap();
    let (drained, answer) = tokio::join!(
        front.edge.stop(Duration::from_secs(10)),
        exchange_raw(wire, b"")
    );
    assert!(answer.ends_with("portal"), "{answer}");
    assert_eq!(drained.cut, 0);
}

/// A forward proxy's form of a target means the same place.
#[tokio::test]
async fn an_absolute_target_is_judged_by_its_path() {
    let (front, _origin, alice) = alice().await;
    let ask = |path: &str| {
        format!(
            "GET https://{HOST}{path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
            alice.cookie
        )
    };
    let answer = exchange_raw(front.wire().await, ask("/w/red/alice/x").as_bytes()).await;
    assert!(answer.contains("\"target\":\"/x\""), "{answer}");
    let answer = exchange_raw(front.wire().await, ask("/w/red/bob/x").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn everything_else_is_the_portal_s_or_the_gateway_s() {
    let front = Front::start().await;
    assert_eq!(fetch(&front, "/me/anything", &[]).await.text(), "portal");
    let nowhere = fetch(&front, "/W/red/alice/", &[PAGE]).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert!(nowhere.text().contains("<h1>Nothing here</h1>"));
    let models = fetch(&front, "/v1/models", &[]).await;
    assert_eq!(models.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(models.json()["error"]["code"], "gateway_not_available");
    let post = Request::post("/api/v1/chat/completions")
        .header("host", HOST)
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    let reply = send(front.wire().await, post).await;
    assert_eq!(reply.json()["error"]["type"], "service_unavailable");
}

const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

#[tokio::test]
async fn half_a_response_is_never_taken_for_a_whole_one() {
    for half in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhal\r\n",
    ] {
        let (address, _heads, _editor) = scripted(vec![vec![half]]).await;
        let front = Front::start().await;
        front.serve("red/open", Access::Open, address);
        let ask = format!("GET /w/red/open/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let answer = exchange_raw(front.wire().await, ask.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(
            answer.contains("hal") && !answer.ends_with("0\r\n\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_editor_that_dies_over_a_request_is_not_asked_again() {
    for method in ["POST", "GET"] {
        let dies = vec![""];
        let (address, heads, _editor) = scripted(vec![dies, vec![FINE]]).await;
        let front = Front::start().await;
        front.serve("red/open", Access::Open, address);
        let ask = request(method, "/w/red/open/", &[], "");
        let reply = send(front.wire().await, ask).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{method}");
        assert_eq!(heads.load(Ordering::Relaxed), 1, "{method}");
    }
}

#[tokio::test]
async fn a_pooled_connection_that_fails_is_replaced_once_and_only_for_what_can_be_repeated() {
    for (method, status, asked) in [("GET", 200, 3), ("POST", 502, 2)] {
        let (address, heads, _editor) = scripted(vec![vec![FINE, ""], vec![FINE]]).await;
        let front = Front::start().await;
        front.serve("red/open", Access::Open, address);
        let first = send(front.wire().await, get("/w/red/open/", &[])).await;
        assert_eq!(first.text(), "fine");
        let again = request(method, "/w/red/open/", &[], "");
        let reply = send(front.wire().await, again).await;
        assert_eq!(reply.status, status, "{method}");
        assert_eq!(heads.load(Ordering::Relaxed), asked, "{method}");
    }
}
