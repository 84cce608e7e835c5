//! Every answer that the public door gives itself: provoked from outside, documented, and none is
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use thon::domain::instance::{Access, Phase};
use thon::proxy::Patience;
use tokio::net::TcpListener;

use crate::support::client::{Reply, exchange_raw, get, request, send};
use crate::support::origin::Origin;
use crate::support::proxy::{Front, HOST, Plan};
use crate::support::sources::{File, agree, root, rust_files, section, sources, text};

/// A redirection says where to go and has no words for anybody: `proxying` has its tests.
const WORDLESS: &str = "moved";

/// The codes in `src/proxy/refusal.rs`: the first argument of `words`.
fn written() -> BTreeSet<String> {
    let is_refusal = |file: &File| file.path == "proxy/refusal";
    let file = sources().into_iter().find(is_refusal).unwrap();
    let codes = file.production();
    let codes = codes
        .split("words(")
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    let codes = codes.filter(|code| *code != WORDLESS);
    codes.map(str::to_owned).collect()
}

fn documented() -> BTreeMap<String, u16> {
    let document = text("docs/api.md");
    section(&document, "## Refusals of the public listener")
        .lines()
        .filter_map(|row| {
            let (code, rest) = row.strip_prefix("| `")?.split_once("` | ")?;
            let status = rest.split(' ').next()?.parse().ok()?;
            Some((code.to_owned(), status))
        })
        .collect()
}

#[tokio::test]
async fn every_refusal_is_provoked_and_documented_and_no_other_one() {
    let mut seen: BTreeMap<String, u16> = BTreeMap::new();
    let mut note = |reply: &Reply| {
        assert!(!reply.body.is_empty(), "{reply:?}");
        let code = reply.json()["error"]["code"].as_str().unwrap().to_owned();
        assert_eq!(reply.json()["detail"], reply.json()["error"]["message"]);
        seen.insert(code, reply.status.as_u16());
    };
    for reply in requests_that_say_too_much_or_too_little().await {
        note(&reply);
    }
    for reply in visits_that_lead_nowhere().await {
        note(&reply);
    }
    for reply in editors_that_are_not_there().await {
        note(&reply);
    }
    let written = written();
    let mut provoked: BTreeSet<String> = seen.keys().cloned().collect();
    provoked.extend(
        written
            .iter()
            .filter(|code| is_asserted_elsewhere(code))
            .cloned(),
    );
    agree(
        (
            &written,
            "provoke it here, or assert its code in another test",
        ),
        (&provoked, "not in src/proxy/refusal.rs"),
    );
    let documented = documented();
    agree(
        (
            &written,
            "not in docs/api.md, *Refusals of the public listener*",
        ),
        (
            &documented.keys().cloned().collect(),
            "docs/api.md has refusals that are not there",
        ),
    );
    for (code, status) in &seen {
        assert_eq!(documented[code], *status, "docs/api.md, `{code}`");
    }
}

/// Some take a whole test: many connections, or a listener without TLS.
fn is_asserted_elsewhere(code: &str) -> bool {
    let assertion = format!("[\"error\"][\"code\"], \"{code}\"");
    let files = rust_files(&root().join("tests/it")).into_iter();
    let mut texts = files.map(|path| std::fs::read_to_string(path).unwrap());
    texts.any(|text| text.contains(&assertion))
}

fn front_plan() -> Plan {
    async fn bug() {
        panic!("a handler's bug");
    }
    let brief = Duration::from_millis(100);
    Plan {
        portal: Router::new()
            .route("/panic", axum::routing::get(bug))
            .fallback(|_: String| async { "portal" }),
        body_bytes_max: 1_000,
        patience: Patience {
            page: brief,
            fetch: brief,
            ..Patience::default()
        },
        ..Plan::default()
    }
}

async fn requests_that_say_too_much_or_too_little() -> Vec<Reply> {
    let front = Front::planned(front_plan()).await;
    let mut replies = Vec::new();
    let long = format!("/{}", "x".repeat(17 << 10));
    let large = "x".repeat(70 << 10);
    for ask in [
        get("/", &[("host", "a/b")]),
        get("/", &[("x", &large)]),
        get(&long, &[]),
        request("POST", "/", &[], vec![0; 1_001]),
        get("/panic", &[]),
    ] {
        replies.push(send(front.wire().await, ask).await);
    }
    replies
}

/// No client library writes this: a chunk whose length is none.
async fn a_body_that_cannot_be_read(front: &Front, cookie: &str) -> Reply {
    let ask = format!(
        "POST /w/red/alice/upload HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\
         Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    );
    let answer = exchange_raw(front.wire().await, ask.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Reply {
        status: StatusCode::from_bytes(&head.as_bytes()[9..12]).unwrap(),
        headers: http::HeaderMap::new(),
        body: body.to_owned().into(),
    }
}

async fn visits_that_lead_nowhere() -> Vec<Reply> {
    let front = Front::start().await;
    let origin = Origin::start().await;
    front.serve("red/alice", Access::Owner, origin.address);
    let (alice, bob) = (front.sign_in("red/alice"), front.sign_in("red/bob"));
    let foreign = [
        ("cookie", alice.cookie.as_str()),
        ("sec-fetch-site", "cross-site"),
    ];
    let mut replies = vec![a_body_that_cannot_be_read(&front, &alice.cookie).await];
    for ask in [
        get("/w/red/alice/", &[]),
        get("/w/red/alice/", &[("cookie", &bob.cookie)]),
        get("/w/red/bob/", &[("cookie", &bob.cookie)]),
        get("/W/red/alice/", &[]),
        request("POST", "/w/red/alice/", &foreign, "x"),
    ] {
        replies.push(send(front.wire().await, ask).await);
    }
    replies
}

async fn editors_that_are_not_there() -> Vec<Reply> {
    let front = Front::planned(front_plan()).await;
    let alice = front.sign_in("red/alice");
    let look = async || {
        let ask = get("/w/red/alice/", &[("cookie", &alice.cookie)]);
        send(front.wire().await, ask).await
    };
    let mut replies = Vec::new();
    for phase in [
        Phase::Starting,
        Phase::Paused,
        Phase::Stopped,
        Phase::Failed,
    ] {
        front.wait("red/alice", phase, None);
        replies.push(look().await);
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    front.serve("red/alice", Access::Owner, silent.local_addr().unwrap());
    replies.push(look().await);
    drop(silent);
    replies.push(look().await);
    replies
}
