//! Records that nobody can read: they stay as they are, and stop nobody but whom they belong to.

use redb::{Database, ReadableDatabase as _, TableDefinition};
use thon::control::{Error, Launch, Settings};
use thon::domain::audit::Actor;
use thon::domain::health::Health;
use thon::domain::instance::{Desired, Phase};
use thon::runtime::Runtime as _;

use super::records::{USERS, open};
use crate::support::disk::Disk;
use crate::support::world::World;

const GARBAGE: &[u8] = b"\x00 not a record of this version";

fn table(name: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

fn spoil(disk: &Disk, name: &str, key: &str) {
    let db = Database::builder()
        .create_with_backend(disk.clone())
        .unwrap();
    let tx = db.begin_write().unwrap();
    tx.open_table(table(name))
        .unwrap()
        .insert(key, GARBAGE)
        .unwrap();
    tx.commit().unwrap();
}

fn bytes(disk: &Disk, name: &str, key: &str) -> Vec<u8> {
    let db = Database::builder()
        .create_with_backend(disk.clone())
        .unwrap();
    let tx = db.begin_read().unwrap();
    let table = tx.open_table(table(name)).unwrap();
    table.get(key).unwrap().unwrap().value().to_vec()
}

/// Everybody is ready, then somebody damages these records while the appliance is off.
async fn world_with(spoilt: &[(&str, &str)]) -> (World, Disk) {
    let disk = Disk::default();
    let mut world = World::asleep(open(&disk).unwrap(), &USERS, |_| ());
    world.start();
    world.launch().await;
    world.until(&USERS, Phase::Ready).await;
    world.kill().await;
    let disk = disk.copy();
    for (name, key) in spoilt {
        spoil(&disk, name, key);
    }
    world.restore(open(&disk).unwrap());
    world.start_again();
    (world, disk)
}

fn join(settings: &mut Settings, user: &str) {
    let mut another = settings.groups[0].users[0].clone();
    another.name = user.parse().unwrap();
    settings.groups[0].users.push(another);
}

fn store_health(world: &World) -> Option<(String, String)> {
    let health = world.control.health();
    match health.into_iter().find(|(part, _)| *part == "store")?.1 {
        Health::Degraded { code, message } => Some((code, message)),
        Health::Ok => None,
    }
}

#[tokio::test]
async fn records_that_cannot_be_read_keep_nobody_from_starting_and_are_reported() {
    let spoilt = [
        ("sessions", "aa"),
        ("invites", "bb"),
        ("released_addresses", "10.201.0.5"),
        ("leases", "10.201.0.6"),
        ("users", "red/dan"),
        ("groups", "blue"),
    ];
    let (mut world, disk) = world_with(&spoilt).await;
    world.until(&USERS, Phase::Ready).await;
    assert!(USERS.iter().all(|user| world.serves(user)));
    let (code, message) = store_health(&world).unwrap();
    assert_eq!(code, "THN-STORE-02");
    assert!(message.starts_with("6 records"), "{message}");
    // Nobody is given an address whose record says nothing.
    world.kill().await;
    world.start_again_with(|settings| {
        settings.subnet = "10.201.0.0/29".parse().unwrap();
        join(settings, "red/eve");
    });
    let launched = world.launch().await;
    assert_eq!(launched.left.len(), 1, "{launched:?}");
    assert!(launched.left[0].reason.contains("is full"));
    world.kill().await;
    for (name, key) in spoilt {
        assert_eq!(bytes(&disk.copy(), name, key), GARBAGE, "{name} {key}");
    }
}

#[tokio::test]
async fn an_instance_that_cannot_be_read_keeps_its_container_and_its_address() {
    let (mut world, disk) = world_with(&[("instances", "red/bob")]).await;
    world.until(&["red/alice", "blue/cleo"], Phase::Ready).await;
    assert_eq!(world.fake.list().await.unwrap().len(), 3);
    assert!(!world.serves("red/bob"));
    assert_eq!(store_health(&world).unwrap().0, "THN-STORE-02");
    let bob = "red/bob".parse().unwrap();
    let refused = world
        .control
        .want(&bob, Desired::Stopped, Actor::Control)
        .await;
    let Err(Error::Conflict(words)) = refused else {
        panic!("{refused:?}");
    };
    assert!(words.contains("`red/bob` of instances"), "{words}");
    world.kill().await;
    world.start_again_with(|settings| join(settings, "red/dan"));
    let launched = world
        .control
        .launch(&Launch::default(), Actor::Control)
        .await;
    let launched = launched.unwrap();
    assert_eq!(launched.left.len(), 1, "{launched:?}");
    assert_eq!(launched.left[0].user, bob);
    world
        .until(&["red/alice", "blue/cleo", "red/dan"], Phase::Ready)
        .await;
    let containers = world.fake.list().await.unwrap();
    let addresses: std::collections::HashSet<_> = containers
        .iter()
        .map(|container| container.endpoint.unwrap())
        .collect();
    assert_eq!((containers.len(), addresses.len()), (4, 4));
    world.kill().await;
    assert_eq!(bytes(&disk.copy(), "instances", "red/bob"), GARBAGE);
}

#[tokio::test]
async fn a_workspace_that_cannot_be_read_refuses_its_owner_only_and_is_not_replaced() {
    let (mut world, disk) = world_with(&[]).await;
    let workspace = world.instance("red/bob").await.workspace;
    let bob = "red/bob".parse().unwrap();
    world
        .control
        .want(&bob, Desired::Removed, Actor::Control)
        .await
        .unwrap();
    while world.control.instance(&bob).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.kill().await;
    let disk = disk.copy();
    spoil(&disk, "workspaces", workspace.as_str());
    world.restore(open(&disk).unwrap());
    world.start_again();
    let launched = world.launch().await;
    assert_eq!(launched.unchanged.len(), 2);
    assert_eq!(launched.left[0].user, bob);
    let why = &launched.left[0].reason;
    assert!(why.contains("of workspaces"), "{why}");
    world.until(&["red/alice", "blue/cleo"], Phase::Ready).await;
    world.kill().await;
    assert_eq!(
        bytes(&disk.copy(), "workspaces", workspace.as_str()),
        GARBAGE
    );
}
