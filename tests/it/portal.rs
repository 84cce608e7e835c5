//! The participants' pages: signing in, one's own instance, the certificate, the plain listener.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::Request;
use thon::domain::audit::Actor;
use thon::domain::instance::{Desired, Phase};
use thon::edge::Scheme;

use crate::support::doors::{House, Page, call, who};
use crate::support::sources::{routes, text};

const EVERYBODY: [&str; 2] = ["red/alice", "blue/bob"];

/// Every path of this door that answers to a method, from its router's source.
fn paths(method: &str, code: &str) -> Vec<String> {
    routes(&text("src/portal.rs"))
        .into_iter()
        .filter(|(answered, _)| answered == method)
        .map(|(_, path)| {
            path.replace("{code}", code)
                .replace("{id}", "0123456789abcdef")
                .replace("{file}", "portal.css")
        })
        .collect()
}

/// Browsers that are signed in as this participant.
async fn browsers(house: &House, user: &str) -> usize {
    house.control.sessions(&who(user)).await.unwrap().len()
}

#[tokio::test]
async fn looking_at_a_link_never_signs_in() {
    let house = House::launched(&EVERYBODY).await;
    let code = house.code("red/alice").await;
    let page = house.browser().get(&format!("/join/{code}")).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Continue as alice (red)"));
    assert_eq!(page.header("set-cookie"), "");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(browsers(&house, "red/alice").await, 0);
}

#[tokio::test]
async fn the_button_signs_in_and_leaves_the_code_behind() {
    let house = House::launched(&EVERYBODY).await;
    let code = house.code("red/alice").await;
    let mut browser = house.browser();
    let next = "next=%2Fw%2Fred%2Falice%2F";
    let page = browser.submit(&format!("/join/{code}"), next).await;
    assert_eq!(
        (page.status.as_u16(), page.header("location")),
        (303, "/w/red/alice/")
    );
    let cookie = page.header("set-cookie");
    assert!(cookie.starts_with("__Host-thon="));
    for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let home = browser.get("/").await;
    assert!(home.text.contains("href=\"/w/red/alice/\""));
    assert!(home.text.contains("Firefox on Linux"));
    // The link again: nothing to ask.
    let again = browser.get(&format!("/join/{code}")).await;
    assert_eq!(
        (again.status.as_u16(), again.header("location")),
        (303, "/")
    );
}

#[tokio::test]
async fn a_way_on_that_leads_elsewhere_leads_home() {
    let house = House::launched(&EVERYBODY).await;
    for next in [
        "//evil.example",
        "https://evil.example/w/",
        "/w/..%2f..%2f%2fevil",
        "/w/\\evil",
    ] {
        let code = house.code("red/alice").await;
        let form = format!("next={next}");
        let page = house
            .browser()
            .submit(&format!("/join/{code}"), &form)
            .await;
        assert_eq!(page.header("location"), "/", "{next}");
    }
}

#[tokio::test]
async fn a_form_of_another_site_or_a_script_changes_nothing() {
    let house = House::launched(&EVERYBODY).await;
    let code = house.code("red/alice").await;
    let mut bob = house.signed_in("blue/bob").await;
    let foreign: [&[(&str, &str)]; 4] = [
        &[],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ],
        &[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty"),
        ],
        &[("origin", "https://evil.example")],
    ];
    let forms = paths("POST", &code);
    assert!(forms.len() > 4, "{forms:?}");
    for headers in foreign {
        for path in &forms {
            let mut request = Request::post(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let page = bob.send(request, "").await;
            assert_eq!(page.status, 403, "{path} {headers:?}");
            assert_eq!(page.header("set-cookie"), "");
        }
    }
    assert_eq!(browsers(&house, "red/alice").await, 0);
}

#[tokio::test]
async fn a_wrong_code_says_what_to_do_and_many_of_them_lock_nobody_out() {
    let house = House::launched(&EVERYBODY).await;
    let mut browser = house.browser();
    let wrong = format!("/join/{}", "x".repeat(24));
    for _ in 0..60 {
        let page = browser.get(&wrong).await;
        assert_eq!(page.status, 404);
        assert!(page.text.contains("ask an organizer"));
    }
    let page = browser.get(&wrong).await;
    assert_eq!(
        (page.status.as_u16(), page.header("retry-after")),
        (429, "60")
    );
    assert_eq!(
        browser.submit("/sign-in", "code=nonsense").await.status,
        429
    );
    let right = format!("/join/{}", house.code("red/alice").await);
    assert_eq!(browser.get(&right).await.status, 200);
}

#[tokio::test]
async fn guessing_writes_nothing_into_the_audit_log() {
    let house = House::launched(&EVERYBODY).await;
    let mut browser = house.browser();
    for _ in 0..100 {
        let form = format!("code={}", "x".repeat(24));
        browser.submit("/sign-in", &form).await;
    }
    let entries = house.world.store.view().unwrap().audit(1_000).unwrap();
    let tries = entries
        .iter()
        .filter(|entry| entry.action == "invite.redeem");
    assert_eq!(tries.count(), 0);
    let right = format!("code={}", house.code("red/alice").await);
    assert_eq!(browser.submit("/sign-in", &right).await.status, 303);
}

#[tokio::test(start_paused = true)]
async fn a_form_that_drips_in_is_not_waited_for() {
    let house = House::new(&EVERYBODY);
    let drops = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"a")), ()))
    });
    let request = Request::post("/sign-in")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from_stream(drops))
        .unwrap();
    let page = call(&thon::portal::router(house.portal()), request).await;
    assert_eq!(page.status, 408);
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_with_a_page() {
    let house = House::launched(&EVERYBODY).await;
    let mut browser = house.signed_in("red/alice").await;
    let large = format!("code={}", "x".repeat(17 << 10));
    for (path, form, status) in [
        ("/sign-in", large.as_str(), 413),
        ("/sign-in", "cod=x", 400),
        ("/sign-in", "", 400),
        ("/me/sessions/%ff/end", "", 404),
        ("/me/sessions/zzz/end", "", 404),
        ("/join/%ff", "", 404),
    ] {
        let page = browser.submit(path, form).await;
        assert_eq!(page.status, status, "{path}: {}", page.text);
        assert!(page.text.contains("<title>"), "{path}: {}", page.text);
    }
    // A wish that cannot be read is none.
    let home = browser.get("/?next=/w/a/b/&next=/w/c/d/").await;
    assert_eq!(home.status, 200, "{}", home.text);
}

#[tokio::test]
async fn a_pasted_link_signs_in() {
    let house = House::launched(&EVERYBODY).await;
    let code = house.code("red/alice").await;
    let mut browser = house.browser();
    let form =
        format!("code=https%3A%2F%2Fthon.example%2Fjoin%2F{code}&next=%2Fw%2Fred%2Falice%2F");
    let page = browser.submit("/sign-in", &form).await;
    assert_eq!(
        (page.status.as_u16(), page.header("location")),
        (303, "/w/red/alice/")
    );
    assert!(browser.cookie.is_some());
}

#[tokio::test]
async fn somebody_else_is_asked_and_nothing_of_the_former_stays() {
    let house = House::launched(&EVERYBODY).await;
    let code = house.code("red/alice").await;
    let mut browser = house.signed_in("blue/bob").await;
    let asked = browser.get(&format!("/join/{code}")).await;
    assert!(
        asked
            .text
            .contains("signed in as <strong>bob</strong> (blue)")
    );
    let pasted = browser.submit("/sign-in", &format!("code={code}")).await;
    assert!(pasted.text.contains("Continue as alice (red)"));
    assert_eq!(pasted.header("set-cookie"), "");
    let page = browser.submit(&format!("/join/{code}"), "").await;
    assert_eq!(page.status, 303);
    assert!(page.header("clear-site-data").contains("storage"));
    assert_eq!(browsers(&house, "blue/bob").await, 0);
    assert_eq!(browsers(&house, "red/alice").await, 1);
}

#[tokio::test]
async fn a_stopped_editor_is_started_by_its_owner() {
    let house = House::launched(&EVERYBODY).await;
    let alice = who("red/alice");
    house
        .control
        .want(&alice, Desired::Stopped, Actor::Control)
        .await
        .unwrap();
    house.settle().await;
    let mut browser = house.signed_in("red/alice").await;
    assert!(browser.get("/").await.text.contains("Start my editor"));
    let page = browser.submit("/me/instance/start", "").await;
    assert_eq!((page.status.as_u16(), page.header("location")), (303, "/"));
    house.settle().await;
    let mine = browser.get("/me/instance").await.json();
    assert_eq!(mine["state"], "ready");
    assert_eq!(mine["url"], "/w/red/alice/");
    let status = house.control.instance(&alice).await.unwrap();
    assert_eq!(status.instance.observed.phase, Phase::Ready);
}

#[tokio::test]
async fn an_editor_that_an_organizer_removes_is_not_started_again_by_its_owner() {
    let house = House::launched(&EVERYBODY).await;
    let mut browser = house.signed_in("red/alice").await;
    let alice = who("red/alice");
    house.world.fake.set_down(true);
    let removed = house
        .control
        .want(&alice, Desired::Removed, Actor::Control)
        .await;
    removed.unwrap();
    let page = browser.submit("/me/instance/start", "").await;
    assert_eq!(page.status, 409);
    assert!(page.text.contains("is being removed"), "{}", page.text);
    house.world.fake.set_down(false);
    house.gone("red/alice").await;
}

#[tokio::test]
async fn who_has_no_instance_yet_is_told_and_who_is_signed_out_gets_nothing() {
    let house = House::launched(&EVERYBODY).await;
    house.remove("red/alice").await;
    let mut browser = house.signed_in("red/alice").await;
    assert!(
        browser
            .get("/")
            .await
            .text
            .contains("There is no editor for you yet")
    );
    assert_eq!(browser.get("/me/instance").await.status, 404);
    let page = house.browser().get("/me/instance").await;
    assert_eq!(
        (page.status.as_u16(), &page.json()["error"]["code"]),
        (401, &"signed_out".into())
    );
    assert_eq!(page.json()["detail"], page.json()["error"]["message"]);
}

#[tokio::test]
async fn a_participant_ends_their_own_sessions_and_nobody_elses() {
    let house = House::launched(&EVERYBODY).await;
    let mut bob = house.signed_in("blue/bob").await;
    let mut alice = house.signed_in("red/alice").await;
    let of_alice = house.control.sessions(&who("red/alice")).await.unwrap()[0]
        .id
        .clone();
    let path = format!("/me/sessions/{of_alice}/end");
    assert_eq!(bob.submit(&path, "").await.status, 303);
    assert_eq!(alice.get("/me/instance").await.status, 200);
    assert_eq!(alice.submit(&path, "").await.status, 303);
    assert_eq!(alice.get("/me/instance").await.status, 401);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_not_only_the_cookie() {
    let house = House::launched(&EVERYBODY).await;
    let mut alice = house.signed_in("red/alice").await;
    let stolen = alice.cookie.clone();
    let page = alice.submit("/auth/sign-out", "").await;
    assert!(page.header("set-cookie").contains("Max-Age=0"));
    // The browser may be somebody else's next.
    assert!(page.header("clear-site-data").contains("storage"));
    alice.cookie = stolen;
    assert_eq!(alice.get("/me/instance").await.status, 401);
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect_it() {
    let house = House::launched(&EVERYBODY).await;
    let mut browser = house.browser();
    let mut answers = Vec::new();
    let mut all = paths("GET", "x");
    all.extend(paths("POST", "x"));
    all.extend(["/nothing", "/join/%ff", "/static/nothing"].map(str::to_owned));
    for path in all {
        let page = browser.get(&path).await;
        answers.push((path, page));
    }
    for (path, page) in answers {
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(
            page.header("cross-origin-opener-policy"),
            "same-origin",
            "{path}"
        );
        let kept = if path == "/static/portal.css" {
            "no-cache"
        } else {
            "no-store"
        };
        assert_eq!(page.header("cache-control"), kept, "{path}");
    }
}

#[tokio::test]
async fn health_says_nothing_about_what_is_wrong() {
    let house = House::launched(&EVERYBODY).await;
    let page = house.browser().get("/health").await;
    assert_eq!(page.json(), serde_json::json!({"status": "ok"}));
    let problem = thon::domain::health::Health::degraded("code", "secret");
    house.control.report("certificates", problem);
    let page = house.browser().get("/health").await;
    assert_eq!(page.json(), serde_json::json!({"status": "degraded"}));
}

#[tokio::test]
async fn the_certificate_is_a_file_with_a_page_that_explains_it() {
    let house = House::new(&EVERYBODY);
    let file = house.browser().get("/ca.crt").await;
    assert_eq!(file.header("content-type"), "application/x-x509-ca-cert");
    assert!(file.header("content-disposition").contains("rootCA.crt"));
    assert!(file.text.starts_with("-----BEGIN CERTIFICATE-----"));
    let page = house.browser().get("/ca").await;
    assert!(page.text.contains("AB:CD") && page.text.contains("http://thon.example/ca.crt"));
    // The instructions for the visitor's own system and browser are unfolded.
    assert!(page.text.contains("<details id=\"Firefox\" open>"));
    assert_eq!(page.text.matches(" open>").count(), 1);
    assert!(page.text.contains("data-check=\"worker\""));
    let policy = page.header("content-security-policy");
    assert!(
        policy.ends_with("connect-src 'self' wss://thon.example"),
        "{policy}"
    );
}

#[tokio::test]
async fn the_page_leads_other_devices_to_where_no_certificate_is_needed() {
    let house = House::new(&EVERYBODY);
    let page = house.browser().get("/ca").await;
    assert!(page.text.contains("QR code of http://thon.example/ca"));
    let code = house.browser().get("/ca/qr.svg").await;
    assert_eq!(code.header("content-type"), "image/svg+xml");
    assert!(code.text.contains("<path") && !code.text.contains("<script"));
    // Nobody else gets here by a name of this host's own.
    for host in ["localhost:80", "127.0.0.1", "[::1]:8080"] {
        let page = plain(&house, "GET", "/ca", Some(host)).await;
        assert!(
            page.status.is_success() && !page.text.contains("QR code"),
            "{host}"
        );
        let code = plain(&house, "GET", "/ca/qr.svg", Some(host)).await;
        assert_eq!(code.status, 404, "{host}");
    }
}

#[tokio::test]
async fn the_profile_for_phones_holds_the_certificate_under_numbers_that_stay() {
    let house = House::new(&EVERYBODY);
    let profile = house.browser().get("/ca.mobileconfig").await;
    assert_eq!(
        profile.header("content-type"),
        "application/x-apple-aspen-config"
    );
    assert!(profile.text.contains("com.apple.security.root"));
    assert!(profile.text.contains("<data>YWJj</data>"));
    assert_eq!(
        house.browser().get("/ca.mobileconfig").await.text,
        profile.text
    );
}

#[tokio::test]
async fn without_tls_the_page_asks_the_secure_one_whether_it_is_trusted() {
    let house = House::new(&EVERYBODY);
    let page = plain(&house, "GET", "/ca", Some("thon.example:80")).await;
    assert!(
        page.text
            .contains("data-secure=\"https://thon.example:8443\"")
    );
    let policy = page.header("content-security-policy");
    assert!(
        policy.ends_with("connect-src 'self' https://thon.example:8443"),
        "{policy}"
    );
    // Whatever a host claims to be, it never gets into the policy or the page.
    for host in ["x; script-src *", "a\"><script>", "evil@host", "a b"] {
        let page = plain(&house, "GET", "/ca", Some(host)).await;
        assert!(
            page.header("content-security-policy")
                .ends_with("https://localhost:8443")
        );
        assert!(
            page.text.contains("data-secure=\"https://localhost:8443\""),
            "{host}"
        );
    }
}

async fn plain(house: &House, method: &str, path: &str, host: Option<&str>) -> Page {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let router = thon::portal::plain_router(house.portal(), Scheme::Https, 8443);
    call(&router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn without_tls_there_is_the_certificate_and_the_way_to_the_rest() {
    let house = House::new(&EVERYBODY);
    for path in [
        "/ca",
        "/ca.crt",
        "/ca.mobileconfig",
        "/ca/qr.svg",
        "/health",
        "/static/portal.css",
        "/static/ca.css",
        "/static/ca.js",
    ] {
        assert_eq!(
            plain(&house, "GET", path, Some("thon.example"))
                .await
                .status,
            200,
            "{path}"
        );
    }
    for (method, path) in [
        ("GET", "/"),
        ("POST", "/join/abc"),
        ("POST", "/ca"),
        ("GET", "/w/red/alice/?a=b"),
    ] {
        let page = plain(&house, method, path, Some("thon.example:80")).await;
        assert_eq!(page.status, 308, "{method} {path}");
        assert_eq!(
            page.header("location"),
            format!("https://thon.example:8443{path}")
        );
        assert_eq!(page.header("set-cookie"), "");
    }
    for host in [None, Some(""), Some("evil/path"), Some("a@b")] {
        assert_eq!(
            plain(&house, "GET", "/", host).await.status,
            400,
            "{host:?}"
        );
    }
}
