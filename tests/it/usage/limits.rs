//! Limits that are set while the appliance runs, and the limiter's balances.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use thon::admin::control_router;
use thon::domain::audit::Actor;
use thon::domain::quota::Limits;
use thon::domain::set_limits::SetLimits;
use thon::store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{EVERYBODY, Keeper, ask, get};
use crate::support::disk::Disk;
use crate::support::doors::House;
use crate::support::world::{World, identity, until};

const PATH: &str = "/api/gateway/limits";

fn in_force(world: &World) -> Limits {
    world.control.limits().borrow().clone()
}

fn concurrency(count: u32) -> SetLimits {
    SetLimits {
        concurrency: Some(count),
        ..SetLimits::default()
    }
}

#[tokio::test]
async fn what_is_set_is_in_force_at_once_and_audited() {
    let house = House::new(&EVERYBODY);
    let router = control_router(house.admin(None));
    let mut limits = house.control.limits();
    let before = get(&router, PATH).await.json();
    assert_eq!(before["set"], json!({}));
    assert_eq!(before["in_force"], before["configured"]);
    let wish = json!({
        "tokens": [{"scope": "user", "models": "together", "tokens": 500, "window_s": 60}],
        "concurrency": 2,
    });
    let page = ask(&router, Method::PUT, PATH, &wish.to_string()).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(page.json()["in_force"]["tokens"][0]["tokens"], 500);
    assert!(limits.has_changed().unwrap());
    assert_eq!(limits.borrow_and_update().tokens[0].id(), "user/60/*");
    // What is not said stays as it is.
    let more = ask(&router, Method::PUT, PATH, r#"{"requests_per_minute": 30}"#).await;
    assert_eq!(more.json()["set"]["concurrency"], 2);
    assert_eq!(more.json()["in_force"]["requests_per_minute"], 30);
    let reset = ask(&router, Method::DELETE, PATH, "").await;
    assert_eq!(reset.json(), before);
    assert_eq!(*limits.borrow_and_update(), Limits::default());
    let audited = house.world.store.view().unwrap().audit(3).unwrap();
    let actions: Vec<&str> = audited.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["limits.reset", "limits.set", "limits.set"]);
    assert!(
        audited[2].target.contains("\"tokens\":500"),
        "{}",
        audited[2].target
    );
}

#[tokio::test]
async fn a_limit_that_cannot_be_changes_nothing() {
    let house = House::new(&EVERYBODY);
    let router = control_router(house.admin(None));
    let limit = json!({"scope": "user", "models": "together", "tokens": 500, "window_s": 60});
    let with = |field: &str, value: Value| {
        let mut limit = limit.clone();
        limit[field] = value;
        json!({"tokens": [limit]}).to_string()
    };
    for (body, status) in [
        (String::new(), 422),
        ("{}".to_owned(), 422),
        ("{".to_owned(), 400),
        (r#"{"tokns": []}"#.to_owned(), 422),
        (r#"{"concurrency": -1}"#.to_owned(), 422),
        (r#"{"concurrency": 99999999}"#.to_owned(), 422),
        (with("tokens", json!(0)), 422),
        (with("tokens", json!(-5)), 422),
        (with("window_s", json!(0)), 422),
        (with("window_s", json!(9_999_999)), 422),
        (with("scope", json!("everybody")), 422),
        (with("per_member", json!(true)), 422),
        (json!({"tokens": [limit, limit]}).to_string(), 422),
    ] {
        let page = ask(&router, Method::PUT, PATH, &body).await;
        assert_eq!(page.status.as_u16(), status, "{body}: {}", page.text);
        assert_eq!(get(&router, PATH).await.json()["set"], json!({}), "{body}");
    }
    assert_eq!(in_force(&house.world), Limits::default());
}

#[tokio::test]
async fn what_was_set_outlives_a_restart_and_goes_before_other_settings() {
    let store = Store::in_memory(identity).unwrap();
    let mut world = World::asleep(store, &EVERYBODY, |_| ());
    world
        .control
        .set_limits(concurrency(3), Actor::Control)
        .await
        .unwrap();
    world.kill().await;
    world.start_again_with(|settings| {
        settings.gateway.limits.concurrency = NonZeroU32::new(9);
        settings.gateway.limits.requests_per_minute = NonZeroU32::new(60);
    });
    let limits = in_force(&world);
    assert_eq!(limits.concurrency.unwrap().get(), 3);
    assert_eq!(limits.requests_per_minute.unwrap().get(), 60);
    world.control.reset_limits(Actor::Control).await.unwrap();
    assert_eq!(in_force(&world).concurrency.unwrap().get(), 9);
}

#[tokio::test]
async fn of_many_changes_at_once_the_one_that_was_written_last_is_in_force() {
    let world = World::with(&EVERYBODY);
    let mut changes = tokio::task::JoinSet::new();
    for count in 1..=50 {
        let control = Arc::clone(&world.control);
        changes.spawn(async move { control.set_limits(concurrency(count), Actor::Control).await });
    }
    while let Some(changed) = changes.join_next().await {
        changed.unwrap().unwrap();
    }
    let written: SetLimits = world.store.view().unwrap().get("limits").unwrap().unwrap();
    let counted = in_force(&world).concurrency.map(NonZeroU32::get);
    assert_eq!(written.concurrency, counted);
    assert_eq!(world.control.limits_status().set, written);
}

/// The disk is full at any write, and stays so for a while.
#[tokio::test(start_paused = true)]
async fn whatever_became_of_a_change_what_is_written_is_in_force() {
    for writes in 0.. {
        let disk = Disk::default();
        let backend = disk.clone();
        let store = Store::on(move || backend.clone(), identity).unwrap();
        let world = World::asleep(store, &EVERYBODY, |_| ());
        let keeper = Keeper::start(&world.control);
        disk.fill_after(writes);
        let set = world.control.set_limits(concurrency(3), Actor::Control);
        let set = set.await;
        let was_full = disk.make_room();
        tokio::time::sleep(Duration::from_secs(30)).await;
        let written: Option<SetLimits> = world.store.view().unwrap().get("limits").unwrap();
        let written = written.and_then(|set| set.concurrency);
        let in_force = in_force(&world).concurrency.map(NonZeroU32::get);
        assert_eq!(in_force, written, "after {writes} writes: {set:?}");
        keeper.stop().await;
        if !was_full {
            assert!(set.is_ok() && in_force == Some(3) && writes > 2);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn balances_are_written_down_when_they_change_and_at_the_end() {
    let mut world = World::with(&EVERYBODY);
    assert_eq!(world.control.saved_balances().unwrap(), None);
    let balance = Arc::new(AtomicU64::new(1));
    let (stop, control, source) = (
        CancellationToken::new(),
        Arc::clone(&world.control),
        Arc::clone(&balance),
    );
    let stopped = stop.clone();
    let keeping = TaskTracker::new().spawn(async move {
        let text = move || format!("{{\"left\":{}}}", source.load(Ordering::Relaxed));
        control.keep_balances(text, stopped).await;
    });
    let saved = || world.control.saved_balances().unwrap().unwrap_or_default();
    until("the first ones", async || saved() == r#"{"left":1}"#).await;
    balance.store(2, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(6)).await;
    until("the next ones", async || saved() == r#"{"left":2}"#).await;
    balance.store(3, Ordering::Relaxed);
    stop.cancel();
    keeping.await.unwrap();
    assert_eq!(saved(), r#"{"left":3}"#);
    world.kill().await;
    world.start_again();
    assert_eq!(
        world.control.saved_balances().unwrap().unwrap(),
        r#"{"left":3}"#
    );
}
