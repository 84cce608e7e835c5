//! A store that is older than the runtime, and settings that say something else than the containers.

use thon::domain::audit::Actor;
use thon::domain::health::Health;
use thon::domain::instance::{Desired, Instance, Phase};
use thon::runtime::fake::Operation;
use thon::runtime::{Runtime as _, RuntimeError};
use thon::store::Store;

use super::{ALICE, BOB, VOLUME, gone, health, want};
use crate::support::disk::Disk;
use crate::support::world::{World, identity, until};

fn open(disk: &Disk) -> Store {
    let disk = disk.clone();
    Store::on(move || disk.clone(), identity).unwrap()
}

async fn generation(world: &World, user: &str, generation: u64) {
    until("it is reached", async || {
        world.instance(user).await.generation == generation
    })
    .await;
}

#[tokio::test]
async fn a_copy_from_before_is_brought_up_to_the_containers_and_none_is_removed() {
    let disk = Disk::default();
    let mut world = World::asleep(open(&disk), &[ALICE, BOB], |_| ());
    world.start();
    world.launch().await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    let copy = disk.copy();
    for _ in 0..2 {
        let alice = ALICE.parse().unwrap();
        world
            .control
            .recreate(&alice, Actor::Control)
            .await
            .unwrap();
        world.until(&[ALICE], Phase::Ready).await;
    }
    world.fake.write(VOLUME, "notes", "mine");
    let mut before = world.fake.list().await.unwrap();
    before.sort_by(|a, b| a.id.cmp(&b.id));
    world.kill().await;

    world.restore(open(&copy));
    world.start_again();
    generation(&world, ALICE, 3).await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    let mut after = world.fake.list().await.unwrap();
    after.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(after, before, "every container is as it was");
    assert_eq!(world.fake.volume(VOLUME).unwrap().files["notes"], "mine");
    let audited = world.store.view().unwrap().audit(9).unwrap();
    assert!(audited.iter().any(|entry| entry.action == "instance.adopt"));
    // And goes on from there.
    let alice = ALICE.parse().unwrap();
    world
        .control
        .recreate(&alice, Actor::Control)
        .await
        .unwrap();
    world.until(&[ALICE], Phase::Ready).await;
    assert_eq!(world.instance(ALICE).await.generation, 4);
}

#[tokio::test]
async fn addresses_of_containers_that_no_record_knows_are_given_to_nobody() {
    let disk = Disk::default();
    let mut world = World::asleep(open(&disk), &[ALICE, BOB], |_| ());
    let empty = disk.copy();
    world.start();
    world.launch().await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    world.kill().await;
    world.restore(open(&empty));
    world.start_again();
    until("they are reported", async || {
        health(&world, "runtime").is_some_and(|health| !health.is_ok())
    })
    .await;
    world.launch().await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    let containers = world.fake.list().await.unwrap();
    let addresses: std::collections::HashSet<_> =
        containers.iter().map(|one| one.endpoint).collect();
    assert_eq!((containers.len(), addresses.len()), (4, 4));
}

fn code(world: &World) -> Option<String> {
    match health(world, "runtime") {
        Some(Health::Degraded { code, .. }) => Some(code),
        _ => None,
    }
}

#[tokio::test]
async fn with_another_range_what_runs_goes_on_and_recreate_gives_a_new_address() {
    let mut world = World::with(&[ALICE, BOB]);
    world.launch().await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    world.fake.write(VOLUME, "notes", "mine");
    want(&world, BOB, Desired::Stopped).await;
    world.until(&[BOB], Phase::Stopped).await;
    world.kill().await;
    world.start_again_with(|settings| settings.subnet = "10.77.0.0/24".parse().unwrap());
    want(&world, BOB, Desired::Running).await;
    world.until(&[BOB], Phase::Failed).await;
    for user in [ALICE, BOB] {
        let reason = world.instance(user).await.observed.reason.unwrap();
        assert!(reason.contains("recreate"), "{reason}");
    }
    assert!(world.serves(ALICE));
    assert_eq!(code(&world).as_deref(), Some("THN-RUNTIME-04"));
    for user in [ALICE, BOB] {
        let user = user.parse().unwrap();
        world.control.recreate(&user, Actor::Control).await.unwrap();
    }
    world.until(&[ALICE, BOB], Phase::Ready).await;
    for user in [ALICE, BOB] {
        let address = world.instance(user).await.address.to_string();
        assert!(address.starts_with("10.77.0."), "{address}");
    }
    assert_eq!(world.fake.volume(VOLUME).unwrap().files["notes"], "mine");
    assert_eq!(world.fake.list().await.unwrap().len(), 2);
    until("health is well again", async || code(&world).is_none()).await;
    want(&world, ALICE, Desired::Removed).await;
    gone(&world, ALICE).await;
    let leases = world.store.view().unwrap();
    let leases = leases.all::<thon::domain::address::Lease>().unwrap();
    assert_eq!(leases.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_network_cannot_be_used_instances_can_still_be_removed() {
    let mut world = World::with(&[ALICE, BOB]);
    world.launch().await;
    world.until(&[ALICE, BOB], Phase::Ready).await;
    world.kill().await;
    let refused = RuntimeError::Refused("another network has the name".to_owned());
    for _ in 0..50 {
        world.fake.fail_next(Operation::Prepare, refused.clone());
    }
    world.start_again();
    want(&world, ALICE, Desired::Removed).await;
    gone(&world, ALICE).await;
    assert_eq!(code(&world).as_deref(), Some("THN-RUNTIME-02"));
    assert!(world.serves(BOB));
    world.launch().await;
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let alice: Instance = world.instance(ALICE).await;
    assert_eq!(alice.observed.phase, Phase::Pending);
    let waiting = async {
        while world.instance(ALICE).await.observed.phase != Phase::Ready {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    let patience = std::time::Duration::from_mins(3);
    tokio::time::timeout(patience, waiting)
        .await
        .expect("once it can be used");
}
