//! A thousand instances: nobody waits for the others, and one change costs one change.

use std::collections::HashSet;
use std::sync::Arc;

use thon::domain::audit::Actor;
use thon::domain::instance::{Desired, Instance, Phase};
use thon::store::Store;

use tokio::time::Instant;

use crate::support::world::{World, identity};

fn everybody(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("g{}/u{n}", n / 50)).collect()
}

#[tokio::test]
async fn a_full_network_leaves_out_who_does_not_fit_and_launches_the_others() {
    let users = everybody(7);
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let store = Store::in_memory(identity).unwrap();
    let mut world = World::asleep(store, &users, |settings| {
        settings.subnet = "10.201.0.0/29".parse().unwrap();
    });
    world.start();
    let launched = world.launch().await;
    assert_eq!((launched.started.len(), launched.left.len()), (5, 2));
    assert!(launched.left[0].reason.contains("sandbox.subnet"));
    let started: Vec<String> = launched.started.iter().map(ToString::to_string).collect();
    let started: Vec<&str> = started.iter().map(String::as_str).collect();
    world.until(&started, Phase::Ready).await;
    let again = world.launch().await;
    assert_eq!((again.unchanged.len(), again.left.len()), (5, 2));
}

#[tokio::test]
async fn a_thousand_are_launched_at_once_and_a_change_of_one_changes_one_route() {
    let users = everybody(1_000);
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let store = Store::in_memory(identity).unwrap();
    let world = World::asleep(store, &users, |settings| {
        settings.subnet = "10.201.0.0/20".parse().unwrap();
    });
    let started = Instant::now();
    let launched = world.launch().await;
    let launch = started.elapsed();
    assert_eq!(launched.started.len(), 1_000);
    let records = world.store.view().unwrap().all::<Instance>().unwrap();
    let addresses: HashSet<_> = records.iter().map(|(_, one)| one.address).collect();
    assert_eq!(addresses.len(), 1_000);

    let before = world.control.table().load_full();
    let started = Instant::now();
    for user in users.iter().take(100) {
        let user = user.parse().unwrap();
        let stopped = world.control.want(&user, Desired::Stopped, Actor::Control);
        stopped.await.unwrap();
    }
    let change = started.elapsed() / 100;
    let after = world.control.table().load_full();
    let same = users
        .iter()
        .filter(|user| Arc::ptr_eq(before.route(user).unwrap(), after.route(user).unwrap()));
    assert_eq!(same.count(), 900);
    tell(&format!(
        "1,000 records launched in {launch:?}; a change is in force {change:?} after the call"
    ));
}

#[expect(clippy::print_stderr, reason = "the test runner captures it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
