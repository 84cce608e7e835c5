//! HTTP/2 clients that do not mean well: what one connection may hold, and for how long.

use std::time::Duration;

use thon::domain::instance::Access;
use thon::edge::Limits;

use crate::support::client::{AT_ONCE, get, send, within};
use crate::support::frames::{DATA, End, Frames, RST_STREAM};
use crate::support::origin::Origin;
use crate::support::proxy::{Browser, Front, HOST, Plan};

/// `RST_STREAM`'s code for a request that is not wanted any more.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

async fn alice(limits: Limits) -> (Front, Origin, Browser) {
    let origin = Origin::start().await;
    let front = Front::planned(Plan {
        limits,
        ..Plan::default()
    })
    .await;
    front.serve("red/alice", Access::Owner, origin.address);
    let alice = front.sign_in("red/alice");
    (front, origin, alice)
}

fn to<'a>(method: &'a str, path: &'a str, cookie: &'a str) -> [(&'a str, &'a str); 5] {
    [
        (":method", method),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", path),
        ("cookie", cookie),
    ]
}

fn hurried() -> Limits {
    Limits {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        stall_timeout: Duration::from_millis(500),
        ..Limits::default()
    }
}

#[tokio::test]
async fn clients_are_told_the_limits_and_are_offered_no_tunnels() {
    const STREAMS: u16 = 3;
    const WINDOW: u16 = 4;
    const HEADER_LIST: u16 = 6;
    const CONNECT_PROTOCOL: u16 = 8;
    let front = Front::start().await;
    let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
    let settings = frames.settings().await;
    let limits = Limits::default();
    let head_bytes_max = u32::try_from(limits.head_bytes_max).unwrap();
    for told in [
        (STREAMS, limits.h2_streams_max),
        (WINDOW, limits.h2_stream_window_bytes),
        (HEADER_LIST, head_bytes_max),
    ] {
        assert!(settings.contains(&told), "{told:?}: {settings:?}");
    }
    let tunnels = settings
        .iter()
        .any(|(number, _)| *number == CONNECT_PROTOCOL);
    assert!(!tunnels, "{settings:?}");
}

#[tokio::test]
async fn a_connection_without_streams_is_not_kept() {
    let (front, _origin, alice) = alice(hurried()).await;
    let mut never = Frames::start(front.tls_wire(&["h2"]).await).await;
    assert_eq!(never.end_of(1).await, End::Gone);

    let mut once = Frames::start(front.tls_wire(&["h2"]).await).await;
    let asked = to("GET", "/w/red/alice/x", &alice.cookie);
    let stream = once.ask(&asked, true).await.unwrap();
    assert_eq!(once.end_of(stream).await, End::Answered);
    assert_eq!(once.end_of(3).await, End::Gone);
}

#[tokio::test]
async fn an_upload_that_stalls_is_cut_and_one_that_goes_on_is_not() {
    let (front, origin, alice) = alice(hurried()).await;
    let asked = to("POST", "/w/red/alice/upload", &alice.cookie);
    let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
    let stream = frames.ask(&asked, false).await.unwrap();
    let mut uploaded = origin.shared.uploaded.subscribe();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    for n in 1..=5 {
        tick.tick().await;
        frames.send(DATA, 0, stream, b"x").await.unwrap();
        within(uploaded.wait_for(|total| *total == n))
            .await
            .unwrap();
    }
    let ended = tokio::time::timeout(3 * AT_ONCE, frames.end_of(stream)).await;
    assert_eq!(ended.unwrap(), End::Gone);
}

#[tokio::test]
async fn no_tunnel_is_opened_by_connect_plain_or_extended() {
    let (front, origin, alice) = alice(Limits::default()).await;
    let plain = [
        (":method", "CONNECT"),
        (":authority", HOST),
        ("cookie", &alice.cookie),
    ];
    let extended = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", "/w/red/alice/ws"),
        ("cookie", &alice.cookie),
    ];
    for asked in [&plain[..], &extended[..]] {
        let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
        let stream = frames.ask(asked, true).await.unwrap();
        frames.end_of(stream).await;
    }
    let requests = &origin.shared.requests;
    assert_eq!(requests.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_request_for_two_hosts_is_refused() {
    let (front, origin, alice) = alice(Limits::default()).await;
    let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
    let asked = to("GET", "/w/red/alice/x", &alice.cookie);
    let twice = [&asked[..], &[("host", "evil.example")]].concat();
    let stream = frames.ask(&twice, true).await.unwrap();
    frames.end_of(stream).await;
    let requests = &origin.shared.requests;
    assert_eq!(requests.load(std::sync::atomic::Ordering::Relaxed), 0);
    let same = [&asked[..], &[("host", HOST)]].concat();
    let stream = frames.ask(&same, true).await.unwrap();
    assert_eq!(frames.end_of(stream).await, End::Answered);
    assert_eq!(requests.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// CVE-2023-44487: streams that are taken back at once count against no limit of open streams.
#[tokio::test]
async fn streams_that_are_taken_back_at_once_end_the_connection() {
    const STREAMS: u32 = 20_000;
    let (front, origin, alice) = alice(Limits::default()).await;
    let asked = to("GET", "/w/red/alice/hang", &alice.cookie);
    let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
    let mut opened = 0;
    while opened < STREAMS {
        let Ok(stream) = frames.ask(&asked, true).await else {
            break;
        };
        if frames.send(RST_STREAM, 0, stream, &CANCEL).await.is_err() {
            break;
        }
        opened += 1;
    }
    assert!(opened < STREAMS, "nobody stopped it");
    let mut hanging = origin.shared.hanging.subscribe();
    within(hanging.wait_for(|waiting| *waiting == 0))
        .await
        .unwrap();
    let headers = [("cookie", alice.cookie.as_str())];
    let reply = send(front.wire().await, get("/w/red/alice/x", &headers)).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn one_connection_has_so_many_streams_and_one_instance_so_many_requests() {
    let limits = Limits {
        h2_streams_max: 4,
        upstreams_per_instance_max: 3,
        ..Limits::default()
    };
    let (front, origin, alice) = alice(limits).await;
    let bob = front.sign_in("red/bob");
    front.serve("red/bob", Access::Owner, origin.address);
    let asked = to("GET", "/w/red/alice/hang", &alice.cookie);
    let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
    for _ in 0..3 {
        frames.ask(&asked, true).await.unwrap();
    }
    let mut hanging = origin.shared.hanging.subscribe();
    within(hanging.wait_for(|waiting| *waiting == 3))
        .await
        .unwrap();
    let of = |cookie: &str, path: &str| get(path, &[("cookie", cookie)]);
    let reply = send(front.wire().await, of(&alice.cookie, "/w/red/alice/x")).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["error"]["code"], "too_many_at_once");
    assert_eq!(reply.header("retry-after"), "1");
    let reply = send(front.wire().await, of(&bob.cookie, "/w/red/bob/x")).await;
    assert_eq!(reply.status, 200);

    let fourth = frames.ask(&to("GET", "/x", ""), true).await.unwrap();
    assert_eq!(frames.end_of(fourth).await, End::Answered);
    let bobs = to("GET", "/w/red/bob/hang", &bob.cookie);
    frames.ask(&bobs, true).await.unwrap();
    within(hanging.wait_for(|waiting| *waiting == 4))
        .await
        .unwrap();
    let fifth = frames.ask(&to("GET", "/x", ""), true).await.unwrap();
    assert_eq!(frames.end_of(fifth).await, End::Reset);

    drop(frames);
    within(hanging.wait_for(|waiting| *waiting == 0))
        .await
        .unwrap();
    let reply = send(front.wire().await, of(&alice.cookie, "/w/red/alice/x")).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn all_instances_together_have_so_many_requests() {
    let limits = Limits {
        upstreams_max: 1,
        ..Limits::default()
    };
    let (front, origin, alice) = alice(limits).await;
    let bob = front.sign_in("red/bob");
    front.serve("red/bob", Access::Owner, origin.address);
    let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
    let asked = to("GET", "/w/red/alice/hang", &alice.cookie);
    frames.ask(&asked, true).await.unwrap();
    let mut hanging = origin.shared.hanging.subscribe();
    within(hanging.wait_for(|waiting| *waiting == 1))
        .await
        .unwrap();
    let asked = get("/w/red/bob/x", &[("cookie", &bob.cookie)]);
    assert_eq!(send(front.wire().await, asked).await.status, 503);
}

#[tokio::test]
async fn a_header_list_that_is_too_large_is_refused() {
    let (front, origin, alice) = alice(Limits::default()).await;
    let asked = to("GET", "/w/red/alice/x", &alice.cookie);
    // Within one frame; every field counts 32 bytes more than it is long.
    let many = vec![("x", ""); 2_100];
    let mut frames = Frames::start(front.tls_wire(&["h2"]).await).await;
    let stream = frames
        .ask(&[&asked[..], &many].concat(), true)
        .await
        .unwrap();
    frames.end_of(stream).await;
    let requests = &origin.shared.requests;
    assert_eq!(requests.load(std::sync::atomic::Ordering::Relaxed), 0);
}
