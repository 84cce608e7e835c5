//! Whatever happens to the appliance, the runtime or a container: it comes out as it was wanted, and
//! no file is lost.

mod chance;
mod faults;
mod many;
mod older;

use std::time::Duration;

use thon::control::{Error, Launch};
use thon::domain::audit::Actor;
use thon::domain::health::Health;
use thon::domain::instance::{Desired, Phase};
use thon::domain::workspace::Mount;
use thon::runtime::fake::{Operation, Step};
use thon::runtime::{Runtime, RuntimeError};

use crate::support::world::{PATIENCE, World, until};

const ALICE: &str = "red/alice";
const BOB: &str = "red/bob";
const VOLUME: &str = "thon-workspace-red-alice";

async fn want(world: &World, user: &str, desired: Desired) {
    world
        .control
        .want(&user.parse().unwrap(), desired, Actor::Control)
        .await
        .unwrap();
}

async fn gone(world: &World, user: &str) {
    let user = user.parse().unwrap();
    until("the record goes", async || {
        matches!(
            world.control.instance(&user).await,
            Err(Error::Missing { .. })
        )
    })
    .await;
}

fn health(world: &World, part: &str) -> Option<Health> {
    world
        .control
        .health()
        .into_iter()
        .find(|(name, _)| *name == part)
        .map(|(_, health)| health)
}

#[tokio::test]
async fn a_launched_instance_becomes_ready_and_is_served() {
    let world = World::with(&[ALICE, BOB]);
    let launched = world.launch().await;
    assert_eq!(launched.started.len(), 2);
    world.until(&[ALICE, BOB], Phase::Ready).await;
    assert!(world.serves(ALICE) && world.serves(BOB));
    let again = world.launch().await;
    assert!(
        again.started.is_empty(),
        "launching twice changes nothing: {again:?}"
    );
    assert_eq!(again.unchanged.len(), 2);
    assert_eq!(world.fake.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn killed_at_any_step_of_a_launch_it_converges_with_one_container() {
    let of_a_launch = [
        Step::Before(Operation::Create),
        Step::VolumesMade,
        Step::ContainerMade,
        Step::After(Operation::Create),
        Step::Before(Operation::Start),
        Step::After(Operation::Start),
        Step::Before(Operation::Probe),
    ];
    for step in of_a_launch {
        let mut world = World::with(&[ALICE]);
        world.fake.kill_at(step);
        world.launch().await;
        tokio::time::timeout(PATIENCE, world.fake.killed())
            .await
            .unwrap();
        world.kill().await;
        world.start_again();
        world.until(&[ALICE], Phase::Ready).await;
        assert_eq!(world.fake.list().await.unwrap().len(), 1, "{step:?}");
        assert_eq!(world.fake.started_without_files(), 0, "{step:?}");
        assert_eq!(world.instance(ALICE).await.generation, 1, "{step:?}");
    }
}

#[tokio::test]
async fn killed_while_it_stops_or_removes_it_finishes_and_keeps_the_files() {
    for (desired, step) in [
        (Desired::Stopped, Step::Before(Operation::Stop)),
        (Desired::Stopped, Step::After(Operation::Stop)),
        (Desired::Removed, Step::Before(Operation::Remove)),
        (Desired::Removed, Step::After(Operation::Remove)),
    ] {
        let mut world = World::with(&[ALICE]);
        world.launch().await;
        world.until(&[ALICE], Phase::Ready).await;
        world.fake.write(VOLUME, "main.rs", "fn main() {}");
        world.fake.kill_at(step);
        want(&world, ALICE, desired).await;
        tokio::time::timeout(PATIENCE, world.fake.killed())
            .await
            .unwrap();
        world.kill().await;
        world.start_again();
        match desired {
            Desired::Removed => gone(&world, ALICE).await,
            _ => world.until(&[ALICE], Phase::Stopped).await,
        }
        assert_eq!(
            world.fake.volume(VOLUME).unwrap().files["main.rs"],
            "fn main() {}"
        );
    }
}

#[tokio::test]
async fn a_container_removed_by_hand_comes_back_with_its_files_and_its_address() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    let before = world.instance(ALICE).await;
    world.fake.write(VOLUME, "notes", "mine");
    world.fake.remove_by_hand(&before.id);
    until("a new generation", async || {
        world.instance(ALICE).await.generation != before.generation
    })
    .await;
    world.until(&[ALICE], Phase::Ready).await;
    let after = world.instance(ALICE).await;
    assert_eq!(
        (after.address, &after.workspace),
        (before.address, &before.workspace)
    );
    assert_eq!(after.generation, before.generation + 1);
    let spec = world.fake.spec(&after.id).unwrap();
    assert!(matches!(&spec.workspace, Mount::Volume { name, .. } if name == VOLUME));
    assert_eq!(world.fake.volume(VOLUME).unwrap().files["notes"], "mine");
}

#[tokio::test]
async fn while_the_runtime_is_away_routes_serve_and_nothing_is_rewritten() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    let before = world.instance(ALICE).await;
    world.fake.set_down(true);
    world.control.nudge();
    until("health says so", async || {
        health(&world, "runtime").is_some_and(|health| !health.is_ok())
    })
    .await;
    assert!(world.serves(ALICE));
    assert_eq!(world.instance(ALICE).await, before);
    world.fake.set_down(false);
    until("it comes back by itself", async || {
        health(&world, "runtime") == Some(Health::Ok)
    })
    .await;
    assert_eq!(world.instance(ALICE).await.generation, before.generation);
}

#[tokio::test]
async fn after_a_restart_editors_are_served_before_the_runtime_answers() {
    let mut world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    world.kill().await;
    world.fake.set_down(true);
    world.start_again();
    assert!(world.serves(ALICE));
}

#[tokio::test]
async fn one_that_fails_stops_nobody_else_and_says_why() {
    let world = World::with(&[ALICE, BOB]);
    let refused = RuntimeError::Refused("the disk is full".to_owned());
    world.fake.fail_next(Operation::Create, refused);
    world.launch().await;
    let mut reason = None;
    until("one is ready and one has failed", async || {
        let seen = [ALICE, BOB].map(|user| world.instance(user));
        let seen = futures_util::future::join_all(seen).await;
        let is = |phase| seen.iter().find(|one| one.observed.phase == phase);
        reason = is(Phase::Failed).and_then(|one| one.observed.reason.clone());
        is(Phase::Ready).is_some() && reason.is_some()
    })
    .await;
    assert_eq!(reason.as_deref(), Some("the disk is full"));
    // Somebody asks again: now, and not after the pause.
    for user in [ALICE, BOB] {
        want(&world, user, Desired::Running).await;
    }
    world.until(&[ALICE, BOB], Phase::Ready).await;
}

#[tokio::test]
async fn stop_keeps_the_container_and_start_brings_the_same_one_back() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    let container = world.instance(ALICE).await.observed.container;
    want(&world, ALICE, Desired::Stopped).await;
    world.until(&[ALICE], Phase::Stopped).await;
    assert!(!world.serves(ALICE));
    want(&world, ALICE, Desired::Running).await;
    world.until(&[ALICE], Phase::Ready).await;
    assert_eq!(world.instance(ALICE).await.observed.container, container);
}

#[tokio::test]
async fn restart_ends_the_editor_once_and_keeps_its_container() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    let before = world.instance(ALICE).await;
    world
        .control
        .restart(&ALICE.parse().unwrap(), Actor::Control)
        .await
        .unwrap();
    until("it happens", async || !world.instance(ALICE).await.restart).await;
    world.until(&[ALICE], Phase::Ready).await;
    assert_eq!(
        world.instance(ALICE).await.observed.container,
        before.observed.container
    );
    let stops = world
        .fake
        .performed()
        .iter()
        .filter(|(what, _)| *what == Operation::Stop)
        .count();
    assert_eq!(stops, 1);
}

#[tokio::test]
async fn restart_does_not_wait_for_an_editor_that_hangs_while_it_starts() {
    let world = World::with(&[ALICE]);
    world.fake.set_answering(false);
    world.launch().await;
    world.until(&[ALICE], Phase::Starting).await;
    let alice = ALICE.parse().unwrap();
    world.control.restart(&alice, Actor::Control).await.unwrap();
    until("it is stopped", async || stopped_once(&world)).await;
    world.fake.set_answering(true);
    world.until(&[ALICE], Phase::Ready).await;
    assert!(stopped_once(&world), "and only once");
}

fn stopped_once(world: &World) -> bool {
    let performed = world.fake.performed().into_iter();
    performed
        .filter(|(what, _)| *what == Operation::Stop)
        .count()
        == 1
}

#[tokio::test]
async fn editors_that_hang_keep_nobody_from_ending_another() {
    let users: Vec<String> = (10..27).map(|n| format!("red/u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let world = World::with(&users);
    world.fake.set_answering(false);
    world.launch().await;
    let (last, first) = users.split_last().unwrap();
    world.until(first, Phase::Starting).await;
    want(&world, last, Desired::Removed).await;
    gone(&world, last).await;
}

#[tokio::test]
async fn a_paused_instance_can_be_resumed_and_can_be_stopped() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    want(&world, ALICE, Desired::Paused).await;
    world.until(&[ALICE], Phase::Paused).await;
    assert!(
        !world.serves(ALICE),
        "a paused editor accepts and says nothing"
    );
    want(&world, ALICE, Desired::Running).await;
    world.until(&[ALICE], Phase::Ready).await;
    want(&world, ALICE, Desired::Paused).await;
    world.until(&[ALICE], Phase::Paused).await;
    want(&world, ALICE, Desired::Stopped).await;
    world.until(&[ALICE], Phase::Stopped).await;
}

#[tokio::test]
async fn removed_and_launched_again_a_participant_finds_their_files() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    world.fake.write(VOLUME, "notes", "mine");
    let owners = world.control.cleanup(Actor::Control).await.unwrap();
    assert_eq!(owners.len(), 1);
    gone(&world, ALICE).await;
    assert_eq!(world.fake.list().await.unwrap(), []);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    assert_eq!(world.fake.volume(VOLUME).unwrap().files["notes"], "mine");
}

#[tokio::test]
async fn launched_again_while_it_is_removed_it_is_made_anew_with_its_files() {
    let mut world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    world.fake.write(VOLUME, "notes", "mine");
    world.kill().await;
    world.start_again_with(|settings| settings.image = "thon-stand-in:2".into());
    // With nobody to remove it in between.
    world.kill().await;
    want(&world, ALICE, Desired::Removed).await;
    world.launch().await;
    world.start_again();
    world.until(&[ALICE], Phase::Ready).await;
    assert_eq!(world.instance(ALICE).await.image, "thon-stand-in:2");
    assert_eq!(world.fake.list().await.unwrap().len(), 1);
    assert_eq!(world.fake.volume(VOLUME).unwrap().files["notes"], "mine");
}

#[tokio::test]
async fn a_volume_that_somebody_else_made_is_never_used() {
    let world = World::with(&[ALICE]);
    world.fake.add_foreign_volume(VOLUME);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    let instance = world.instance(ALICE).await;
    let spec = world.fake.spec(&instance.id).unwrap();
    assert!(
        matches!(&spec.workspace, Mount::Volume { name, .. } if name.starts_with("thon-workspace-red-alice-"))
    );
}

#[tokio::test]
async fn recreate_gives_a_new_container_and_keeps_the_files() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    let before = world.instance(ALICE).await;
    world
        .control
        .recreate(&ALICE.parse().unwrap(), Actor::Control)
        .await
        .unwrap();
    world.until(&[ALICE], Phase::Ready).await;
    let after = world.instance(ALICE).await;
    assert_ne!(after.observed.container, before.observed.container);
    assert_eq!((after.generation, after.address), (2, before.address));
    assert_eq!(world.fake.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_that_does_not_exist_cannot_be_launched() {
    let world = World::with(&[ALICE]);
    let launch = Launch {
        group: Some("blue".parse().unwrap()),
        demo: false,
    };
    let error = world
        .control
        .launch(&launch, Actor::Control)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no group blue");
}

#[tokio::test]
async fn launched_again_while_it_is_being_removed_it_comes_back() {
    let world = World::with(&[ALICE]);
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    world
        .fake
        .delay(Operation::Remove, Duration::from_millis(50));
    want(&world, ALICE, Desired::Removed).await;
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    assert_eq!(world.fake.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_file_is_not_started_again() {
    let mut world = World::with(&[ALICE, BOB]);
    world.launch().await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    world.control.cleanup(Actor::Control).await.unwrap();
    gone(&world, ALICE).await;
    gone(&world, BOB).await;
    world.kill().await;
    world.start_again_with(|settings| settings.groups[0].users.truncate(1));
    assert_eq!(world.launch().await.started.len(), 1);
    assert!(matches!(
        world.control.instance(&BOB.parse().unwrap()).await,
        Err(Error::Missing { .. })
    ));
}
