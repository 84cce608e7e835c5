//! Usage of the language model: what requests tell is written down once, summed, kept for a while, and
//! answered.

mod limits;
mod metrics;
mod records;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use thon::admin::control_router;
use thon::api;
use thon::control::Control;
use thon::domain::health::Health;
use thon::domain::model::ModelName;
use thon::domain::quota::Tokens;
use thon::domain::usage::{Outcome, Settled, UsageEntry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::disk::Disk;
use crate::support::doors::{House, Page, call};
use crate::support::world::{World, identity, until};
use thon::store::Store;

const EVERYBODY: [&str; 3] = ["red/alice", "red/bob", "blue/cleo"];

pub(crate) fn entry(user: &str, model: &str, at: Timestamp) -> UsageEntry {
    let user: thon::domain::id::UserRef = user.parse().unwrap();
    UsageEntry {
        at,
        request: "req-1".to_owned(),
        group: user.group.clone(),
        user: Some(user),
        key: "0123456789abcdef".parse().unwrap(),
        model: ModelName::new(model),
        operation: "chat".to_owned(),
        tokens: Tokens {
            input: 100,
            cached: 20,
            output: 3,
        },
        queue_ms: 10,
        first_ms: Some(50),
        duration_ms: 200,
        status: 200,
        outcome: Outcome::Done,
        settled: Settled::Exact,
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn hours_ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

/// The task that writes down what requests tell.
pub(crate) struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    pub(crate) fn start(control: &Arc<Control>) -> Self {
        let (control, stop) = (Arc::clone(control), CancellationToken::new());
        let stopped = stop.clone();
        let task = TaskTracker::new().spawn(async move { control.keep_usage(stopped).await });
        Self { stop, task }
    }

    /// The appliance is told to end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
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

async fn list(router: &Router, query: &str) -> api::UsageList {
    let page = get(router, &format!("/api/usage{query}")).await;
    assert_eq!(page.status, 200, "{query}: {}", page.text);
    serde_json::from_str(&page.text).unwrap()
}

fn names(list: &api::UsageList) -> Vec<(&str, u64)> {
    let rows = list.usage.iter();
    rows.map(|row| (row.name.as_str(), row.sum.requests))
        .collect()
}

/// Alice asks most, then Bob; Cleo was refused; a group's own key was used; yesterday too.
async fn used() -> (House, Router) {
    let house = House::new(&EVERYBODY);
    let sink = house.control.usage_sink();
    for _ in 0..3 {
        sink.tell(entry("red/alice", "qwen3", now()));
    }
    sink.tell(entry("red/bob", "tiny", now()));
    let mut refused = entry("blue/cleo", "qwen3", now());
    refused.tokens = Tokens::default();
    (refused.outcome, refused.settled) = (Outcome::Refused, Settled::Nothing);
    (refused.first_ms, refused.status) = (None, 429);
    sink.tell(refused);
    let mut of_the_group = entry("red/alice", "qwen3", now());
    of_the_group.user = None;
    sink.tell(of_the_group);
    sink.tell(entry("red/bob", "qwen3", hours_ago(72)));
    Keeper::start(&house.control).stop().await;
    let router = control_router(house.admin(None));
    (house, router)
}

#[tokio::test]
async fn what_requests_tell_is_summed_by_user_group_and_model() {
    let (_house, router) = used().await;
    let by_user = list(&router, "").await;
    let expected = [
        ("red/alice", 3),
        ("red", 1),
        ("red/bob", 1),
        ("blue/cleo", 1),
    ];
    assert_eq!(names(&by_user), expected, "who used most comes first");
    assert_eq!((by_user.sum.requests, by_user.sum.tokens), (6, 5 * 123));
    let alice = &by_user.usage[0].sum;
    assert_eq!(
        (alice.input_tokens, alice.cached_tokens, alice.output_tokens),
        (300, 60, 9)
    );
    assert_eq!(
        (alice.queue_ms, alice.first_ms, alice.duration_ms),
        (10, Some(50), 200)
    );
    let cleo = &by_user.usage[3].sum;
    assert_eq!((cleo.refused, cleo.tokens, cleo.first_ms), (1, 0, None));
    let by_group = list(&router, "?by=group").await;
    assert_eq!(names(&by_group), [("red", 5), ("blue", 1)]);
    let by_model = list(&router, "?by=model&since=7d").await;
    assert_eq!(names(&by_model), [("qwen3", 6), ("tiny", 1)]);
}

#[tokio::test]
async fn only_what_is_asked_for_is_counted() {
    let (_house, router) = used().await;
    for (query, requests) in [
        ("?since=7d", 7),
        ("?since=1h", 6),
        ("?user=red/alice", 3),
        ("?group=red&since=7d", 6),
        ("?group=re", 0),
        ("?model=user.qwen3:latest", 5),
        ("?model=qwen3&user=red/bob&since=7d", 1),
        ("?to=2026-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(list(&router, query).await.sum.requests, requests, "{query}");
    }
    let before = hours_ago(48).to_string();
    let longer_ago = list(&router, &format!("?from={}&to={before}", hours_ago(96))).await;
    assert_eq!(names(&longer_ago), [("red/bob", 1)]);
    assert!(longer_ago.from <= hours_ago(95) && longer_ago.to >= before.parse().unwrap());
}

#[tokio::test]
async fn a_series_is_in_the_order_of_time() {
    let (_house, router) = used().await;
    let days = list(&router, "?since=7d&every=day&by=group").await;
    let times: Vec<Timestamp> = days.usage.iter().map(|row| row.at.unwrap()).collect();
    assert!(times.is_sorted() && times.len() >= 3, "{times:?}");
    assert_eq!((days.usage[0].name.as_str(), days.sum.requests), ("red", 7));
    let minutes = list(&router, "?since=1h&every=minute").await;
    assert_eq!(minutes.sum.requests, 6);
    let long = get(&router, "/api/usage?since=2d&every=minute").await;
    assert_eq!(long.status, 422, "{}", long.text);
}

#[tokio::test]
async fn pages_follow_each_other_and_csv_has_every_row() {
    let (_house, router) = used().await;
    let mut paged = Vec::new();
    for page in 1..=4 {
        let list = list(&router, &format!("?page={page}&page_size=1")).await;
        assert_eq!((list.total, list.usage.len(), list.sum.requests), (4, 1, 6));
        paged.push(list.usage[0].name.clone());
    }
    assert_eq!(paged, ["red/alice", "red", "red/bob", "blue/cleo"]);
    let csv = get(&router, "/api/usage?csv=true&page_size=1").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert!(
        lines[0].starts_with("at,user,requests,done,left,"),
        "{}",
        csv.text
    );
    assert!(lines[1].contains(",red/alice,3,3,0,0,0,0,369,300,60,9,10,50,200"));
    assert_eq!(lines.len(), 6);
    let columns = lines[0].split(',').count();
    assert!(
        lines[1..5]
            .iter()
            .all(|line| line.split(',').count() == columns)
    );
}

#[tokio::test]
async fn the_newest_requests_are_shown_first() {
    let (_house, router) = used().await;
    let page = get(&router, "/api/usage/requests?count=2").await;
    let list: api::RequestList = serde_json::from_str(&page.text).unwrap();
    assert_eq!(list.requests.len(), 2);
    assert_eq!(list.requests[0].user, "red/bob".parse().ok(), "told last");
    assert_eq!(list.requests[1].user, None);
    let of_alice = get(&router, "/api/usage/requests?user=red/alice&model=qwen3").await;
    assert_eq!(of_alice.json()["requests"].as_array().unwrap().len(), 3);
    assert_eq!(of_alice.json()["requests"][0]["operation"], json!("chat"));
}

#[tokio::test]
async fn questions_that_mean_nothing_are_refused_in_words() {
    let house = House::new(&EVERYBODY);
    let router = control_router(house.admin(None));
    for (query, status) in [
        ("usage?since=yesterday", 422),
        ("usage?since=1h&from=2026-11-22T00:00:00Z", 422),
        (
            "usage?from=2026-11-22T00:00:00Z&to=2026-11-21T00:00:00Z",
            422,
        ),
        ("usage?from=tomorrow", 400),
        ("usage?by=colour", 400),
        ("usage?user=alice", 400),
        ("usage?page=0", 422),
        ("usage?page_size=201", 422),
        ("usage?sinse=1h", 400),
        ("usage/requests?count=0", 422),
        ("usage/requests?count=1001", 422),
    ] {
        let page = get(&router, &format!("/api/{query}")).await;
        assert_eq!(page.status.as_u16(), status, "{query}: {}", page.text);
        serde_json::from_str::<api::ErrorEnvelope>(&page.text).unwrap();
    }
}

fn usage_health(control: &Control) -> Option<Health> {
    let mut parts = control.health().into_iter();
    parts
        .find(|(part, _)| *part == "usage")
        .map(|(_, health)| health)
}

/// More than the queue holds, while nothing can be written.
#[tokio::test(start_paused = true)]
async fn with_a_full_disk_sums_stay_exact_and_what_the_list_lacks_is_said() {
    let disk = Disk::default();
    let backend = disk.clone();
    let store = Store::on(move || backend.clone(), identity).unwrap();
    let world = World::asleep(store, &EVERYBODY, |_| ());
    let sink = world.control.usage_sink();
    disk.fill_after(0);
    let keeper = Keeper::start(&world.control);
    let told: u64 = 20_000;
    for number in 0..told {
        sink.tell(entry("red/alice", "qwen3", now()));
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(world.control.usage_lost() > 0);
    until("the disk is said to be full", async || {
        world.store.trouble().is_some()
    })
    .await;
    disk.make_room();
    until("the loss is said", async || {
        matches!(usage_health(&world.control), Some(Health::Degraded { code, .. }) if code == "THN-USAGE-01")
    })
    .await;
    keeper.stop().await;
    let by_day = records::sums(&world.store, thon::domain::tally::Span::Day);
    assert_eq!((by_day.requests, by_day.tokens.output), (told, 3 * told));
    assert_eq!(
        records::sums(&world.store, thon::domain::tally::Span::Minute),
        by_day
    );
    let listed = world.store.view().unwrap();
    let listed = listed
        .requests(usize::MAX, usize::MAX, |_| true)
        .unwrap()
        .len();
    assert_eq!(
        u64::try_from(listed).unwrap() + world.control.usage_lost(),
        told
    );
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_is_a_minute_ago_is_no_trouble_any_more() {
    let house = House::new(&EVERYBODY);
    let sink = house.control.usage_sink();
    for _ in 0..17_000 {
        sink.tell(entry("red/alice", "qwen3", now()));
    }
    let keeper = Keeper::start(&house.control);
    until("the loss is said", async || {
        usage_health(&house.control).is_some_and(|h| !h.is_ok())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(90)).await;
    assert_eq!(usage_health(&house.control), Some(Health::Ok));
    keeper.stop().await;
}
