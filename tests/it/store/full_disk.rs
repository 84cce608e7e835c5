//! The disk is full at any write of any change.

use std::time::Duration;

use thon::domain::health::Health;
use thon::domain::instance::Phase;

use super::records::{Records, STEPS, Script, USERS, assert_whole, open, records};
use crate::support::disk::Disk;
use crate::support::world::World;

/// Everything that one step needs.
struct Before {
    step: usize,
    disk: Disk,
    script: Script,
}

#[tokio::test]
async fn a_full_disk_fails_the_call_in_words_loses_nothing_and_the_next_call_works() {
    let disk = Disk::default();
    let world = World::asleep(open(&disk).unwrap(), &USERS, |_| ());
    let mut script = Script::default();
    let mut failed = 0;
    for step in 0..STEPS {
        let before = Before {
            step,
            disk: disk.copy(),
            script: script.clone(),
        };
        failed += before.fails_at_every_write().await;
        script.step(&world, step).await.unwrap();
    }
    assert!(failed > 3 * STEPS, "{failed}");
}

impl Before {
    /// Says how many writes there are.
    async fn fails_at_every_write(&self) -> usize {
        for writes in 0.. {
            let disk = self.disk.copy();
            let world = World::asleep(open(&disk).unwrap(), &USERS, |_| ());
            let before = records(&world.store);
            disk.fill_after(writes);
            let answered = self.script.clone().step(&world, self.step).await;
            let was_full = disk.make_room();
            if !was_full && answered.is_ok() {
                return usize::try_from(writes).unwrap();
            }
            if let Err(words) = answered {
                assert!(words.contains("disk full"), "step {}: {words}", self.step);
            }
            self.goes_on(&world, &before).await;
        }
        unreachable!("some number of writes is enough")
    }

    async fn goes_on(&self, world: &World, before: &Records) {
        assert_whole(&world.store);
        let is_undone = records(&world.store) == *before;
        if is_undone {
            let again = self.script.clone().step(world, self.step).await;
            assert_eq!(again, Ok(()), "step {}", self.step);
            assert_eq!(world.control.ready(), Ok(()));
            assert_eq!(store_health(world), Health::Ok);
        }
        let changed = records(&world.store);
        assert_ne!(changed, *before);
        assert_whole(&world.store);
    }
}

fn store_health(world: &World) -> Health {
    let health = world.control.health();
    health
        .into_iter()
        .find(|(part, _)| *part == "store")
        .unwrap()
        .1
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_routes_serve_health_says_so_and_it_mends_by_itself() {
    let disk = Disk::default();
    let mut world = World::asleep(open(&disk).unwrap(), &USERS, |_| ());
    world.start();
    world.launch().await;
    world.until(&USERS, Phase::Ready).await;
    disk.fill_after(0);
    let alice = USERS[0].parse().unwrap();
    let by = thon::domain::audit::Actor::Control;
    let refused = world.control.recreate(&alice, by).await.unwrap_err();
    assert!(matches!(refused, thon::control::Error::Unavailable(_)));
    let health = store_health(&world);
    assert!(
        matches!(&health, Health::Degraded { code, .. } if code == "THN-STORE-01"),
        "{health:?}"
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(USERS.iter().all(|user| world.serves(user)));
    assert!(!store_health(&world).is_ok());
    disk.make_room();
    while !store_health(&world).is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.instance(USERS[0]).await.generation, 1);
    world.until(&USERS, Phase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_failed_wakes_the_loop_which_mends_what_it_can() {
    let disk = Disk::default();
    let mut world = World::asleep(open(&disk).unwrap(), &USERS, |_| ());
    world.start();
    world.launch().await;
    world.until(&USERS, Phase::Ready).await;
    // Nothing else is about to wake it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let failed_at = tokio::time::Instant::now();
    disk.fill_after(0);
    let alice = USERS[0].parse().unwrap();
    let by = thon::domain::audit::Actor::Control;
    world.control.restart(&alice, by).await.unwrap_err();
    disk.make_room();
    while !store_health(&world).is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mended_in = failed_at.elapsed();
    assert!(mended_in < Duration::from_secs(5), "{mended_in:?}");
}
