//! The organizers' door: what each call does, and how it refuses.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use serde_json::json;
use thon::admin::{control_router, public_admin_router};
use thon::api;
use thon::domain::instance::Desired;

use crate::support::doors::{House, Page, call, who};
use crate::support::sources::{agree, routes, section, text};
use crate::support::world::until;

const EVERYBODY: [&str; 2] = ["red/alice", "blue/bob"];

fn control(house: &House) -> Router {
    control_router(house.admin(None))
}

async fn ask(router: &Router, method: Method, path: &str, body: &str) -> Page {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "control")
        .body(Body::from(body.to_owned()));
    call(router, request.unwrap()).await
}

async fn get(router: &Router, path: &str) -> Page {
    ask(router, Method::GET, path, "").await
}

async fn post(router: &Router, path: &str, body: &str) -> Page {
    ask(router, Method::POST, path, body).await
}

/// An accepted change happens in its own time.
async fn eventually(router: &Router, path: &str, state: &str) {
    until(state, async || {
        get(router, path).await.json()["state"] == state
    })
    .await;
}

/// Every call of the control API, from its router's source.
fn calls() -> Vec<(Method, String)> {
    let routes = routes(&text("src/admin.rs")).into_iter();
    routes
        .map(|(method, path)| (method.parse().unwrap(), path))
        .collect()
}

fn readable((method, path): (Method, String)) -> String {
    format!("{method} {path}")
}

/// The path with these names put in.
fn naming(path: &str, user: &str, id: &str) -> String {
    path.replace("{group}", "red")
        .replace("{user}", user)
        .replace("{id}", id)
}

#[test]
fn every_call_is_in_the_documents_and_no_other_one() {
    let document = text("docs/api.md");
    let documented: BTreeSet<String> = section(&document, "## Calls")
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .map(|call| {
            let (method, target) = call.split_once(' ').unwrap();
            format!("{method} {}", target.split('?').next().unwrap())
        })
        .collect();
    agree(
        (
            &calls().into_iter().map(readable).collect(),
            "not in docs/api.md, *Calls*",
        ),
        (&documented, "docs/api.md has calls that are not there"),
    );
}

#[tokio::test]
async fn every_call_that_names_something_refuses_what_is_not_there_and_what_is_no_name() {
    let house = House::launched(&EVERYBODY).await;
    let router = control(&house);
    let mut tried = 0;
    for (method, path) in calls().into_iter().filter(|(_, path)| path.contains('{')) {
        for (user, id, status) in [
            ("nobody", "0123456789abcdef", 404),
            ("Alice!", "zzz", 422),
            ("%ff", "%ff", 400),
        ] {
            let path = naming(&path, user, id);
            let page = ask(&router, method.clone(), &path, "").await;
            assert_eq!(page.status, status, "{method} {path}: {}", page.text);
            let envelope: api::ErrorEnvelope = serde_json::from_str(&page.text).unwrap();
            assert_eq!(envelope.error.field.is_some(), status == 422, "{path}");
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
    let untouched = house.control.instance(&who("red/alice")).await.unwrap();
    assert_eq!(untouched.instance.desired, Desired::Running);
}

#[tokio::test]
async fn a_launch_is_accepted_and_seen_in_the_list() {
    let house = House::new(&EVERYBODY);
    let router = control(&house);
    let launched = post(&router, "/api/launch", r#"{"group": "red"}"#).await;
    assert_eq!(launched.status, 202);
    assert_eq!(
        launched.json(),
        json!({"started": ["red/alice"], "unchanged": [], "left": []})
    );
    house.settle().await;
    let again = post(&router, "/api/launch", "").await;
    assert_eq!(
        again.json(),
        json!({"started": ["blue/bob"], "unchanged": ["red/alice"], "left": []})
    );
    house.settle().await;
    let page = get(&router, "/api/instances?page=2&page_size=1").await;
    let list: api::InstanceList = serde_json::from_str(&page.text).unwrap();
    assert_eq!((list.total, list.page, list.instances.len()), (2, 2, 1));
    assert_eq!(list.instances[0].owner(), who("red/alice"));
    assert_eq!(list.instances[0].url, "https://thon.example/w/red/alice/");
}

#[tokio::test]
async fn what_is_wanted_of_an_instance_is_changed_call_by_call() {
    let house = House::launched(&EVERYBODY).await;
    let router = control(&house);
    for (action, state) in [
        ("stop", "stopped"),
        ("start", "ready"),
        ("pause", "paused"),
        ("resume", "ready"),
        ("restart", "ready"),
        ("recreate", "ready"),
    ] {
        let path = format!("/api/instances/red/alice/{action}");
        assert_eq!(post(&router, &path, "").await.status, 202, "{action}");
        eventually(&router, "/api/instances/red/alice", state).await;
    }
    let removed = ask(&router, Method::DELETE, "/api/instances/red/alice", "").await;
    assert_eq!(removed.json()["desired"], "removed");
    let cleaned = post(&router, "/api/cleanup", "").await;
    assert_eq!(cleaned.status, 202);
    assert!(
        cleaned.json()["removed"]
            .as_array()
            .unwrap()
            .contains(&json!("blue/bob"))
    );
}

#[tokio::test]
async fn what_is_being_removed_is_brought_back_by_a_launch_and_nothing_else() {
    let house = House::launched(&EVERYBODY).await;
    let router = control(&house);
    let path = "/api/instances/red/alice";
    house.world.fake.set_down(true);
    for _ in 0..2 {
        let removed = ask(&router, Method::DELETE, path, "").await;
        assert_eq!(removed.status, 202);
    }
    for action in ["start", "resume", "stop", "pause", "restart", "recreate"] {
        let page = post(&router, &format!("{path}/{action}"), "").await;
        assert_eq!(page.status, 409, "{action}");
        assert_eq!(page.json()["error"]["code"], "conflict", "{action}");
        assert_eq!(get(&router, path).await.json()["desired"], "removed");
    }
    let launched = post(&router, "/api/launch", r#"{"group": "red"}"#).await;
    assert_eq!(launched.json()["started"], json!(["red/alice"]));
    house.world.fake.set_down(false);
    eventually(&router, path, "ready").await;
}

#[tokio::test]
async fn a_link_is_shown_when_it_is_made_and_never_again() {
    let house = House::launched(&EVERYBODY).await;
    let router = control(&house);
    let made = post(&router, "/api/invites", r#"{"group": "red"}"#).await;
    assert_eq!(
        (made.status.as_u16(), made.header("cache-control")),
        (201, "no-store")
    );
    let code = made.json()["invites"][0]["code"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        made.json()["invites"][0]["url"],
        format!("https://thon.example/join/{code}")
    );
    let list = get(&router, "/api/invites?page_size=1").await;
    assert!(!list.text.contains(&code));
    let list: api::InviteList = serde_json::from_str(&list.text).unwrap();
    assert_eq!((list.total, list.invites.len()), (1, 1));
    assert_eq!(list.invites[0].user.as_str(), "alice");
    let rotated = post(&router, "/api/invites/red/alice/rotate", "").await;
    assert_eq!(rotated.status, 201);
    assert_ne!(rotated.json()["code"], json!(code));
    assert!(house.control.preview_invite(&code).await.is_err());
    let id = rotated.json()["id"].as_str().unwrap().to_owned();
    let revoked = ask(&router, Method::DELETE, &format!("/api/invites/{id}"), "").await;
    assert_eq!((revoked.status.as_u16(), revoked.text.as_str()), (204, ""));
}

#[tokio::test]
async fn a_key_is_shown_when_it_is_made_or_rotated_and_never_again() {
    let house = House::new(&EVERYBODY);
    let router = control(&house);
    let wish = r#"{"group": "red", "user": "alice", "models": ["user.qwen3"], "note": "mine"}"#;
    let made = post(&router, "/api/keys", wish).await;
    assert_eq!(
        (made.status.as_u16(), made.header("cache-control")),
        (201, "no-store")
    );
    let json = made.json();
    let key = json["key"].as_str().unwrap().to_owned();
    let path = format!("/api/keys/{}", json["id"].as_str().unwrap());
    assert!(key.starts_with("sk-thon-"), "{key}");
    let shown = get(&router, &path).await;
    let view: api::KeyView = serde_json::from_str(&shown.text).unwrap();
    assert_eq!(
        (view.owner(), view.note),
        ("red/alice".into(), "mine".into())
    );
    assert_eq!(
        (view.models, view.state),
        (vec!["qwen3".into()], api::KeyState::Active)
    );
    assert_eq!(view.holder, api::KeyHolder::Person);
    let rotated = post(&router, &format!("{path}/rotate"), r#"{"grace_s": 60}"#).await;
    assert_eq!(rotated.status, 201);
    let new = rotated.json()["key"].as_str().unwrap().to_owned();
    assert!(rotated.json()["old_secret_until"].is_string());
    let at_once = post(&router, &format!("{path}/rotate"), r#"{"grace_s": 0}"#).await;
    assert!(at_once.json()["old_secret_until"].is_null());
    let list = get(&router, "/api/keys?page_size=1").await;
    assert!(!list.text.contains(&key) && !list.text.contains(&new));
    assert_eq!(list.json()["total"], 1);
    for (action, state) in [("disable", "disabled"), ("enable", "active")] {
        let page = post(&router, &format!("{path}/{action}"), "").await;
        assert_eq!(
            (page.status.as_u16(), &page.json()["state"]),
            (200, &json!(state))
        );
    }
    let revoked = ask(&router, Method::DELETE, &path, "").await;
    assert_eq!((revoked.status.as_u16(), revoked.text.as_str()), (204, ""));
    assert_eq!(get(&router, &path).await.status, 404);
}

/// In the envelope.
async fn refuses(router: &Router, method: &str, asked: (&str, &str), refusal: (u16, &str)) {
    let (path, body) = asked;
    let page = ask(router, method.parse().unwrap(), path, body).await;
    let case = format!("{method} {path} {body}: {}", page.text);
    assert_eq!(page.status.as_u16(), refusal.0, "{case}");
    let envelope: api::ErrorEnvelope = serde_json::from_str(&page.text).unwrap();
    assert_eq!(envelope.error.code, refusal.1, "{case}");
    assert_eq!(envelope.detail, envelope.error.message);
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_refused() {
    let house = House::new(&EVERYBODY);
    let router = control(&house);
    let path = "/api/keys";
    for (body, status, code) in [
        ("", 422, "invalid"),
        (r#"{"group": "red"}"#, 409, "conflict"),
        (r#"{"group": "red", "user": "nobody"}"#, 404, "not_found"),
        (
            r#"{"group": "red", "user": "alice", "expires_at": "2020-01-01T00:00:00Z"}"#,
            422,
            "invalid",
        ),
        (
            r#"{"group": "red", "user": "alice", "secret": "mine"}"#,
            422,
            "invalid",
        ),
    ] {
        refuses(&router, "POST", (path, body), (status, code)).await;
    }
    let rotate = "/api/keys/0123456789abcdef/rotate";
    for body in [r#"{"grace_s": -1}"#, r#"{"grace_s": 604801}"#] {
        refuses(&router, "POST", (rotate, body), (422, "invalid")).await;
    }
    assert_eq!(get(&router, path).await.json()["total"], 0);
}

#[tokio::test]
async fn every_refusal_is_an_envelope() {
    let house = House::launched(&EVERYBODY).await;
    let router = control(&house);
    let large = format!(r#"{{"group": "{}"}}"#, "x".repeat(1 << 20));
    for (method, path, body, status, code) in [
        ("GET", "/api/nothing", "", 404, "not_found"),
        ("GET", "/", "", 404, "not_found"),
        ("PUT", "/api/status", "", 405, "method_not_allowed"),
        ("GET", "/api/instances/red/nobody", "", 404, "not_found"),
        ("GET", "/api/instances/Red/alice", "", 422, "invalid"),
        ("GET", "/api/instances?page=0", "", 422, "invalid"),
        ("GET", "/api/instances?page=x", "", 400, "invalid"),
        ("GET", "/api/instances?pagesize=5", "", 400, "invalid"),
        (
            "GET",
            "/api/instances/red/alice/logs?lines=x",
            "",
            400,
            "invalid",
        ),
        (
            "GET",
            "/api/instances/red/alice/logs?tail=5",
            "",
            400,
            "invalid",
        ),
        (
            "POST",
            "/api/instances/red/alice/password",
            "",
            409,
            "conflict",
        ),
        ("POST", "/api/launch", "{", 400, "invalid"),
        (
            "POST",
            "/api/launch",
            r#"{"group": "Red!"}"#,
            422,
            "invalid",
        ),
        ("POST", "/api/launch", r#"{"grup": "red"}"#, 422, "invalid"),
        ("POST", "/api/launch", &large, 413, "invalid"),
        ("DELETE", "/api/invites/zzz", "", 422, "invalid"),
        (
            "DELETE",
            "/api/invites/0123456789abcdef",
            "",
            404,
            "not_found",
        ),
    ] {
        refuses(&router, method, (path, body), (status, code)).await;
    }
    let page = get(&router, "/api/instances/red/Alice").await;
    assert_eq!(page.json()["error"]["field"], "user");
}

#[tokio::test]
async fn status_tells_what_is_wrong_and_health_only_that_something_is() {
    let house = House::launched(&EVERYBODY).await;
    let problem = thon::domain::health::Health::degraded("THN-X", "Docker is away");
    house.control.report("certificates", problem);
    let router = control(&house);
    let status: api::Status =
        serde_json::from_str(&get(&router, "/api/status").await.text).unwrap();
    assert_eq!(status.health.status, api::Verdict::Degraded);
    assert_eq!(
        (status.instances.len(), status.runtime.as_str()),
        (2, "fake")
    );
    let health = get(&public_admin_router(house.admin(None)), "/health").await;
    assert_eq!(health.json(), json!({"status": "degraded"}));
}

#[tokio::test]
async fn the_network_gets_health_and_readiness_and_nothing_else() {
    let house = House::launched(&EVERYBODY).await;
    let router = public_admin_router(house.admin(Some("the first look is not done")));
    let waiting = get(&router, "/ready").await;
    assert_eq!(waiting.status, 503);
    assert_eq!(
        waiting.json()["error"]["message"],
        "the first look is not done"
    );
    let router = public_admin_router(house.admin(None));
    assert_eq!(get(&router, "/ready").await.status, 200);
    let calls = calls().into_iter();
    let mut refused: Vec<(Method, String)> = calls
        .filter(|(_, path)| !matches!(path.as_str(), "/health" | "/ready"))
        .map(|(method, path)| (method, naming(&path, "alice", "0123456789abcdef")))
        .collect();
    refused.extend(["/", "/docs", "/metrics"].map(|path| (Method::GET, path.to_owned())));
    for (method, path) in refused {
        let page = ask(&router, method.clone(), &path, "").await;
        assert_eq!(page.status, 404, "{method} {path}");
        assert_eq!(page.json()["error"]["code"], "not_found", "{method} {path}");
    }
    let alice = house.control.instance(&who("red/alice")).await.unwrap();
    assert_eq!(alice.instance.desired, Desired::Running);
}

#[tokio::test]
async fn the_certificate_is_there_for_scripts() {
    let house = House::new(&EVERYBODY);
    let router = control(&house);
    assert_eq!(get(&router, "/api/ca").await.json()["sha256"], "AB:CD");
    assert!(get(&router, "/ca.crt").await.text.starts_with("-----BEGIN"));
}
