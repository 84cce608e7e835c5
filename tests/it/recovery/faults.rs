//! What goes on while something takes long or ends: routes, actions, sessions.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use thon::control::{Browser, Reconciler};
use thon::domain::audit::Actor;
use thon::domain::health::Health;
use thon::domain::instance::{Desired, Phase};
use thon::domain::session::Session;
use thon::runtime::fake::Operation;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ALICE, BOB, health, want};
use crate::support::world::World;

const LONG: Duration = Duration::from_mins(1);

async fn until(mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONG, "it never came");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_way_to_a_container_that_ended_goes_before_anybody_has_listed() {
    let world = World::with(&[ALICE, BOB]);
    world.launch().await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    let container = world.instance(ALICE).await.observed.container.unwrap();
    world.fake.delay(Operation::List, LONG);
    world.control.nudge();
    // The loop waits for a list that takes a minute.
    tokio::time::sleep(LONG / 4).await;
    world.fake.exit(&container, 1, false);
    let took = until(|| !world.serves(ALICE)).await;
    assert!(took < Duration::from_millis(10), "{took:?}");
    assert!(world.serves(BOB));
    world.fake.delay(Operation::List, Duration::ZERO);
    tokio::time::sleep(LONG).await;
    world.until(&[ALICE], Phase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn actions_go_on_while_the_loop_waits_for_a_list() {
    let world = World::with(&[ALICE]);
    world.fake.delay(Operation::Create, Duration::from_secs(5));
    world.launch().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.fake.delay(Operation::List, LONG);
    world.control.nudge();
    let has_started = || {
        let performed = world.fake.performed();
        performed.iter().any(|(what, _)| *what == Operation::Start)
    };
    let took = until(has_started).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_action_under_way_finishes_when_the_appliance_stops() {
    let mut world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    world.kill().await;
    world.fake.delay(Operation::Stop, Duration::from_secs(1));
    let shutdown = CancellationToken::new();
    let reconciler = Reconciler::new(Arc::clone(&world.control));
    let running = TaskTracker::new().spawn(reconciler.run(shutdown.clone()));
    want(&world, ALICE, Desired::Stopped).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    shutdown.cancel();
    running.await.unwrap();
    assert_eq!(world.instance(ALICE).await.observed.phase, Phase::Stopped);
}

#[tokio::test]
async fn it_is_ready_once_the_routes_are_in_force_whether_the_runtime_answers_or_not() {
    let mut world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    world.kill().await;
    world.fake.set_down(true);
    world.start_again();
    assert_eq!(world.control.ready(), Ok(()));
    assert!(world.serves(ALICE));
}

/// Sessions of a day that was so long ago by the clock of now.
async fn sessions_of(world: &mut World, count: usize, ago: SignedDuration) {
    world.launch().await;
    let invites = world.control.create_invites(None, Actor::Control).await;
    for new in invites.unwrap().iter().take(count) {
        let now = Timestamp::now();
        let browser = Browser::default();
        let redeemed = world
            .control
            .redeem_invite(new.code.expose(), &browser, now);
        redeemed.await.unwrap();
    }
    world.kill().await;
    let then = Timestamp::now() - ago;
    let made = world.store.note(|tx| {
        for (key, mut session) in tx.all::<Session>()? {
            session.last_seen_at = then;
            tx.put(&key, &session)?;
        }
        Ok(())
    });
    made.unwrap();
    world.start_again();
}

fn stored(world: &World) -> Vec<Session> {
    let all = world.store.view().unwrap().all::<Session>().unwrap();
    all.into_iter().map(|(_, session)| session).collect()
}

/// The clocks are written down a few times.
async fn minutes_pass(world: &World) {
    let keeping = world.control.keep_sessions(CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(200), keeping)
        .await
        .unwrap_err();
}

fn users() -> Vec<String> {
    (0..10).map(|n| format!("red/u{n}")).collect()
}

fn clock(world: &World) -> Option<String> {
    match health(world, "clock") {
        Some(Health::Degraded { code, .. }) => Some(code),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_forward_signs_nobody_out_for_good() {
    let users = users();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut world = World::with(&users);
    sessions_of(&mut world, 10, SignedDuration::from_hours(30)).await;
    minutes_pass(&world).await;
    assert_eq!(stored(&world).len(), 10);
    assert_eq!(clock(&world).as_deref(), Some("THN-CLOCK-01"));
}

#[tokio::test(start_paused = true)]
async fn the_sessions_of_a_few_end_when_they_are_a_day_old() {
    let users = users();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut world = World::with(&users);
    sessions_of(&mut world, 5, SignedDuration::from_hours(30)).await;
    minutes_pass(&world).await;
    assert_eq!(stored(&world), []);
    assert_eq!(clock(&world), None);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_makes_no_session_last_for_ever() {
    let mut world = World::with(&[ALICE]);
    sessions_of(&mut world, 1, SignedDuration::from_hours(-24 * 365)).await;
    minutes_pass(&world).await;
    let session = stored(&world).remove(0);
    let ahead = session.last_seen_at.duration_since(Timestamp::now());
    assert!(ahead < SignedDuration::from_mins(1), "{session:?}");
}

#[tokio::test(start_paused = true)]
async fn an_editor_that_came_back_by_itself_serves_again_whatever_was_missed() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    let container = world.instance(ALICE).await.observed.container.unwrap();
    world.fake.delay(Operation::List, Duration::from_secs(5));
    world.control.nudge();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // It ends and is started again by the runtime before anybody looks, and then the runtime is away
    // for a moment: nobody hears the rest.
    world.fake.exit(&container, 1, false);
    until(|| !world.serves(ALICE)).await;
    world.fake.restart_by_hand(&container);
    world.fake.set_down(true);
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.fake.set_down(false);
    world.fake.delay(Operation::List, Duration::ZERO);
    until(|| world.serves(ALICE)).await;
    assert_eq!(
        world.instance(ALICE).await.observed.container,
        Some(container)
    );
}
