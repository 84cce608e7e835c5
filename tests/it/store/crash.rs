//! The host loses its power at every sync of a whole event, with whatever part of the unsynced writes
//! on the disk.

use proptest::prelude::*;
use thon::domain::instance::Phase;

use super::records::{Records, STEPS, Script, USERS, assert_whole, open, records};
use crate::support::disk::{Cut, Disk, Write};
use crate::support::world::World;

/// What happened: each sync with what was durable, and what the store held when a step was answered.
struct Event {
    cuts: Vec<Cut>,
    /// The records after each step, with how many syncs there had been.
    answered: Vec<(usize, Records)>,
}

impl Event {
    async fn happens() -> Self {
        let disk = Disk::default();
        let world = World::asleep(open(&disk).unwrap(), &USERS, |_| ());
        let mut answered = vec![(disk.syncs(), records(&world.store))];
        let mut script = Script::default();
        for step in 0..STEPS {
            script.step(&world, step).await.unwrap();
            answered.push((disk.syncs(), records(&world.store)));
        }
        Self {
            cuts: disk.cuts(),
            answered,
        }
    }

    /// A new process finds this disk, after so many syncs.
    fn survives(&self, at: usize, disk: &Disk) -> Result<(), String> {
        let last = self.answered.iter().rposition(|(syncs, _)| *syncs <= at);
        let Some(last) = last else {
            // Before the first start was complete, nobody was answered anything. A file has another
            // name until then.
            return Ok(());
        };
        let store = open(disk).map_err(|error| format!("sync {at}: {error}"))?;
        assert_whole(&store);
        let found = records(&store);
        let now = self.answered.get(last + 1);
        let is_whole = found == self.answered[last].1 || now.is_some_and(|(_, now)| found == *now);
        is_whole.then_some(()).ok_or_else(|| {
            format!("sync {at}: neither what was answered nor all of the next step: {found:#?}")
        })
    }
}

/// The disks that one cut can leave behind: every beginning, every one but one, and torn ends.
fn left_by(cut: &Cut) -> Vec<Disk> {
    let writes = &cut.unsynced;
    let mut disks = Vec::new();
    for count in 0..=writes.len() {
        disks.push(cut.with(writes[..count].iter().cloned()));
    }
    for (missing, write) in writes.iter().enumerate() {
        let others = writes.iter().enumerate();
        let others = others.filter(|(at, _)| *at != missing);
        disks.push(cut.with(others.map(|(_, write)| write.clone())));
        disks.push(cut.with([write.clone()]));
        let torn = writes.iter().enumerate().map(|(at, write)| {
            if at == missing {
                write.torn(1)
            } else {
                write.clone()
            }
        });
        disks.push(cut.with(torn));
    }
    disks
}

#[tokio::test]
async fn at_whatever_sync_the_power_fails_all_that_was_answered_is_there_and_nothing_half() {
    let event = Event::happens().await;
    let mut disks = 0;
    for (at, cut) in event.cuts.iter().enumerate() {
        for disk in left_by(cut) {
            event.survives(at, &disk).unwrap();
            disks += 1;
        }
    }
    tell(&format!(
        "{} syncs cut, {disks} disks read",
        event.cuts.len()
    ));
    assert!(event.cuts.len() > STEPS);
}

#[test]
fn whatever_part_of_the_unsynced_writes_is_there_the_store_is_whole() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let event = runtime.block_on(Event::happens());
    let cases = ProptestConfig::with_cases(256);
    proptest!(cases, |(
        at in 0..event.cuts.len(),
        fates in prop::collection::vec(0_usize..8, 64),
    )| {
        let cut = &event.cuts[at];
        let kept = cut.unsynced.iter().zip(fates.iter().cycle());
        let kept: Vec<Write> = kept.filter_map(|(write, fate)| match fate {
            0..=2 => None,
            3..=5 => Some(write.clone()),
            sectors => Some(write.torn(sectors - 5)),
        }).collect();
        let survives = event.survives(at, &cut.with(kept));
        prop_assert!(survives.is_ok(), "{survives:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn with_the_loop_at_work_every_cut_is_whole_and_goes_on() {
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let made = disk.syncs();
    let mut world = World::asleep(store, &USERS, |_| ());
    world.start();
    world.launch().await;
    world.until(&USERS, Phase::Ready).await;
    let alice = USERS[0].parse().unwrap();
    let by = thon::domain::audit::Actor::Control;
    world.control.recreate(&alice, by.clone()).await.unwrap();
    world.until(&USERS, Phase::Ready).await;
    world.control.cleanup(by).await.unwrap();
    while !world.control.instances().await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.kill().await;
    let cuts = disk.cuts();
    for (at, cut) in cuts.iter().enumerate().skip(made) {
        for disk in [cut.with([]), cut.with(cut.unsynced.iter().cloned())] {
            assert_whole(&open(&disk).unwrap());
        }
        if at % 8 == 0 {
            // On a machine that lost everything besides.
            let mut again = World::asleep(open(&cut.with([])).unwrap(), &USERS, |_| ());
            again.start();
            again.launch().await;
            again.until(&USERS, Phase::Ready).await;
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test runner captures it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
