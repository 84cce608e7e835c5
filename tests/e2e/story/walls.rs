//! One participant, and what of another's is out of reach: in the browser, past the browser, and from
//! inside the sandbox.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::appliance::{Appliance, Ports, SANDBOX};
use super::browser::Browser;
use super::door::Door;
use super::participant::{opens_the_editor, signs_in};
use super::{alone, machine, until};

const COOKIE: &str = "__Host-thon";

#[tokio::test]
async fn bob_gets_to_his_editor_and_nowhere_near_alice() {
    let _alone = alone().await;
    let appliance = Appliance::new(SANDBOX, "{red: [alice, bob]}");
    let links = appliance.up().await;
    let bob = Browser::open(&appliance.ca().await).await;
    signs_in(&bob, &links["red/bob"]).await;
    opens_the_editor(&bob).await;

    his_page_cannot_reach_hers(&bob).await;
    his_window_shows_a_refusal(&bob).await;
    let door = appliance.door().await;
    no_spelling_of_her_path_helps(&door, &bob.cookie(COOKIE).await).await;
    strangers_are_asked_to_sign_in(&door).await;
    his_own_web_site_is_confined(&appliance, &bob).await;
    sandboxes_reach_the_gateway_and_no_door(&appliance).await;
}

async fn his_page_cannot_reach_hers(bob: &Browser) {
    let status = |path| format!("return (await fetch('{path}')).status");
    for path in ["/w/red/alice/", "/w/red/alice/proxy/3000/"] {
        assert_eq!(bob.eval(&status(path)).await, 403, "{path}");
    }
    assert_eq!(bob.eval(&status("/w/red/bob/")).await, 200);
    assert_eq!(bob.eval(WEBSOCKET_TO_ALICE).await, "error");
    let readable = bob.eval("return document.cookie").await;
    let readable = readable.as_str().unwrap();
    assert!(!readable.contains("thon"), "{readable}");
    // Nor does a script start or sign out anybody.
    for path in ["/me/instance/start", "/auth/sign-out"] {
        let post = format!("return (await fetch('{path}', {{method: 'POST'}})).status");
        assert_eq!(bob.eval(&post).await, 403, "{path}");
    }
}

const WEBSOCKET_TO_ALICE: &str = "return await new Promise(done => {\
    const socket = new WebSocket(`wss://${location.host}/w/red/alice/`);\
    socket.onopen = () => done('open');\
    socket.onerror = () => done('error');\
})";

async fn his_window_shows_a_refusal(bob: &Browser) {
    let root = bob.eval("return location.origin").await;
    let root = root.as_str().unwrap();
    bob.goto(&format!("{root}/w/red/alice/")).await;
    bob.screenshot("6-not-yours").await;
    let text = bob.text().await;
    assert!(text.contains("Somebody else's editor"), "{text}");
    let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
    assert_eq!(bob.eval(status).await, 403);
}

async fn no_spelling_of_her_path_helps(door: &Door, cookie: &str) {
    assert_eq!(door.get("/w/red/bob/", cookie).await.status, 302);
    for path in [
        "/w/red/alice",
        "/w/red/alice/",
        "/w/red/alice/proxy/3000/",
        "/W/red/alice/",
        "/w/Red/alice/",
        "/w//red/alice/",
        "//w/red/alice/",
        "/./w/red/alice/",
        "/%77/red/alice/",
        "/w%2fred%2falice/",
        "/w/red%2falice/",
        "/w/red/bob/../alice/",
        "/w/red/bob/%2e%2e/alice/",
        "/w/red/bob/.%2E/alice/",
        "/w/red/bob/..%2falice/",
        "/w/red/bob/..%5calice/",
        "/w/red/bob/..;/alice/",
        "/w/red/bob//../alice/",
        "/static/../w/red/alice/",
    ] {
        let answer = door.get(path, cookie).await;
        assert!(matches!(answer.status, 403 | 404), "{path}: {answer:?}");
        let refusal = door.websocket(path, cookie).await.err();
        assert!(matches!(refusal, Some(403 | 404)), "{path}: {refusal:?}");
    }
    let told = [("Cookie", cookie), ("X-Original-URL", "/w/red/alice/")];
    let answer = door.send(Method::GET, "/w/red/alice/", &told, "").await;
    assert_eq!(answer.status, 403);
}

async fn strangers_are_asked_to_sign_in(door: &Door) {
    for path in [
        "/w/red/alice/",
        "/w/red/alice/proxy/3000/",
        "/w/red/nobody/",
    ] {
        assert_eq!(door.get(path, "").await.status, 401);
        assert_eq!(door.page(path, "").await.status, 303);
        assert_eq!(door.websocket(path, "").await.err(), Some(401));
    }
}

/// What a participant serves is on our origin, and yet it gets no further than their own session.
async fn his_own_web_site_is_confined(appliance: &Appliance, bob: &Browser) {
    let container = appliance.container("red/bob").await;
    let serve = "mkdir /tmp/site && cd /tmp/site && echo '<h1>mine</h1>' > index.html \
                 && echo '// worker' > sw.js && exec python3 -m http.server 3000";
    machine::docker(&["exec", "-d", &container, "sh", "-c", serve]);
    let root = bob.eval("return location.origin").await;
    let site = format!("{}/w/red/bob/proxy/3000/", root.as_str().unwrap());
    until(Duration::from_secs(20), async || {
        bob.goto(&site).await;
        let text = bob.text().await;
        (text == "mine").then_some(()).ok_or(text)
    })
    .await;
    his_page_cannot_reach_hers(bob).await;

    let tried = bob.eval(REGISTER_EVERYWHERE).await;
    for scope in ["/", "/w/", "/w/red/", "/w/red/alice/"] {
        assert_eq!(tried[scope], "SecurityError", "{tried}");
    }
    let scopes = bob
        .eval(
            "const all = await navigator.serviceWorker.getRegistrations();\
             return all.map(worker => new URL(worker.scope).pathname)",
        )
        .await;
    let is_his = |scope: &Value| scope.as_str().unwrap().starts_with("/w/red/bob/");
    assert!(scopes.as_array().unwrap().iter().all(is_his), "{scopes}");
}

const REGISTER_EVERYWHERE: &str = "const tried = {};\
    for (const scope of ['/', '/w/', '/w/red/', '/w/red/alice/']) {\
        tried[scope] = await navigator.serviceWorker.register('sw.js', {scope})\
            .then(() => 'registered', error => error.name);\
    }\
    return tried";

async fn sandboxes_reach_the_gateway_and_no_door(appliance: &Appliance) {
    let container = appliance.container("red/alice").await;
    let Ports {
        public,
        plain,
        admin,
        gateway,
    } = appliance.ports().await;
    let host = appliance.gateway();
    for url in [
        format!("https://{host}:{public}/"),
        format!("https://{host}:{public}/v1/models"),
        format!("http://{host}:{plain}/"),
        format!("https://{host}:{admin}/"),
    ] {
        let answer = curl(&container, &url);
        assert!(answer.is_err(), "{url}: {answer:?}");
    }
    let models = format!("http://llm.internal:{gateway}/v1/models");
    let answer = curl(&container, &models).unwrap();
    let (body, status) = answer.rsplit_once('\n').unwrap();
    assert_eq!(status, "503", "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["type"], "service_unavailable", "{body}");
    assert!(body["error"]["message"].is_string(), "{body}");
}

/// Body and status, if there was an answer at all.
fn curl(container: &str, url: &str) -> Result<String, String> {
    let options = ["curl", "-ksS", "-m", "5", "-w", "\n%{http_code}", url];
    machine::try_docker(&[&["exec", container][..], &options].concat())
}
