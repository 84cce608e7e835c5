//! A thousand kills at random moments of random work, in the virtual time of the test.

use std::time::Duration;

use thon::control::{Error, Launch};
use thon::domain::audit::Actor;
use thon::domain::id::UserRef;
use thon::domain::instance::{Container, ContainerState, Desired, Instance, Phase};
use thon::runtime::fake::{Operation, Step};
use thon::store::Store;
use tokio::time::Instant;

use crate::support::disk::Disk;
use crate::support::world::{World, identity};

const USERS: [&str; 3] = ["red/alice", "red/bob", "blue/cleo"];
const KILLS: usize = 1_000;
const WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn open(disk: &Disk) -> Store {
    let disk = disk.clone();
    Store::on(move || disk.clone(), identity).unwrap()
}

/// A fixed sequence: a failure can be looked at again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        longest * u32::try_from(self.below(1_000)).unwrap() / 1_000
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_random_kills_leave_no_orphan_and_lose_no_file() {
    let mut disk = Disk::default();
    let mut world = World::asleep(open(&disk), &USERS, |_| ());
    world.start();
    for (operation, ms) in [
        (Operation::List, 30),
        (Operation::Create, 300),
        (Operation::Start, 200),
        (Operation::Probe, 50),
        (Operation::Stop, 150),
        (Operation::Remove, 200),
        (Operation::Pause, 40),
        (Operation::Unpause, 40),
    ] {
        world.fake.delay(operation, Duration::from_millis(ms));
    }
    world.launch().await;
    world.until(&USERS, Phase::Ready).await;
    for user in USERS {
        world.fake.write(&volume(user), "notes", user);
    }
    let mut chance = Chance(0x2545_F491_4F6C_DD1D);
    let (mut kills, mut longest, mut all) = (0, Duration::ZERO, Duration::ZERO);
    while kills < KILLS {
        ask_for_something(&world, &mut chance).await;
        kills += kill_sometime(&mut world, &mut disk, &mut chance).await;
        let restarted = Instant::now();
        settled(&world, kills).await;
        longest = longest.max(restarted.elapsed());
        all += restarted.elapsed();
        nothing_is_lost(&world, kills);
    }
    let mean = all / u32::try_from(kills).unwrap();
    tell(&format!(
        "{kills} kills: all converged, at most {longest:?} after the restart, {mean:?} on average; no orphan, no lost volume"
    ));
}

async fn ask_for_something(world: &World, chance: &mut Chance) {
    for _ in 0..=chance.below(2) {
        let user: UserRef = USERS[chance.below(USERS.len())].parse().unwrap();
        let (control, by) = (&world.control, Actor::Control);
        let answered = match chance.below(8) {
            0 | 1 => control.want(&user, Desired::Running, by).await.map(drop),
            2 => control.want(&user, Desired::Stopped, by).await.map(drop),
            3 => control.want(&user, Desired::Paused, by).await.map(drop),
            4 => control.want(&user, Desired::Removed, by).await.map(drop),
            5 => control.recreate(&user, by).await.map(drop),
            6 => control.restart(&user, by).await.map(drop),
            _ => control.launch(&Launch::default(), by).await.map(drop),
        };
        let is_right = match &answered {
            Ok(()) | Err(Error::Missing { .. }) => true,
            Err(Error::Conflict(words)) => words.contains("is being removed"),
            Err(_) => false,
        };
        assert!(is_right, "{answered:?}");
    }
}

/// At a moment, or at a step if one comes; and every third time again while it recovers.
async fn kill_sometime(world: &mut World, disk: &mut Disk, chance: &mut Chance) -> usize {
    let mut kills = 0;
    for _ in 0..=usize::from(chance.below(3) == 0) {
        let patience = chance.up_to(Duration::from_millis(1_500));
        if chance.below(2) == 0 {
            world.fake.kill_at(Step::ALL[chance.below(Step::ALL.len())]);
        }
        tokio::time::timeout(patience, world.fake.killed())
            .await
            .ok();
        world.kill().await;
        world.fake.forget_kill();
        if chance.below(10) == 0 {
            // The next one finds the file as a killed one leaves it.
            *disk = disk.copy();
            world.restore(open(disk));
        }
        kills += 1;
        if chance.below(10) == 0 {
            let user = USERS[chance.below(USERS.len())].parse().unwrap();
            if let Ok(status) = world.control.instance(&user).await {
                world.fake.remove_by_hand(&status.instance.id);
            }
        }
        world.start_again();
    }
    kills
}

async fn settled(world: &World, kills: usize) {
    let waiting = async {
        while !is_settled(world) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let in_time = tokio::time::timeout(WITHIN, waiting).await.is_ok();
    assert!(
        in_time,
        "not settled {WITHIN:?} after kill {kills}: {:#?}\n{:#?}",
        records(world),
        world.fake.containers()
    );
}

fn is_settled(world: &World) -> bool {
    let records = records(world);
    let containers = world.fake.containers();
    containers.iter().all(|container| {
        records
            .iter()
            .any(|one| one.id == container.instance && one.generation == container.generation)
    }) && records.iter().all(|one| {
        let its_own = containers
            .iter()
            .filter(|container| container.instance == one.id);
        is_as_wanted(world, one, &its_own.collect::<Vec<_>>())
    })
}

fn is_as_wanted(world: &World, one: &Instance, containers: &[&Container]) -> bool {
    let state = match containers {
        [] => None,
        [only] => Some(&only.state),
        _ => return false,
    };
    match one.desired {
        Desired::Running => {
            state == Some(&ContainerState::Running)
                && one.observed.phase == Phase::Ready
                && !one.restart
                && world.serves(&one.owner.to_string())
        }
        Desired::Stopped => !matches!(
            state,
            Some(ContainerState::Running | ContainerState::Paused)
        ),
        Desired::Paused => state != Some(&ContainerState::Running),
        Desired::Removed => false,
    }
}

fn records(world: &World) -> Vec<Instance> {
    let all = world.store.view().unwrap().all::<Instance>().unwrap();
    all.into_iter().map(|(_, instance)| instance).collect()
}

fn nothing_is_lost(world: &World, kills: usize) {
    assert_eq!(world.fake.started_without_files(), 0, "kill {kills}");
    for user in USERS {
        let kept = world.fake.volume(&volume(user)).unwrap();
        assert_eq!(kept.files["notes"], user, "kill {kills}");
    }
    assert_eq!(world.fake.volume_count(), 2 * USERS.len(), "kill {kills}");
}

fn volume(user: &str) -> String {
    format!("thon-workspace-{}", user.replace('/', "-"))
}

#[expect(clippy::print_stderr, reason = "the test runner captures it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
