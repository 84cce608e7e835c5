//! Slots are shared fairly: the scheduler in virtual time, beside those that others have.

mod chance;
mod desk;
mod models;
mod pickers;
mod rules;
mod shares;
mod waiting;
mod world;

use std::time::Duration;

use thon::limiter::queue::{QueueSettings, jain};

use pickers::{Fair, Fifo, RoundRobin};
use world::{Habit, Picker, Seen, World};

const AGENTS: usize = 10;
const TIME: Duration = Duration::from_hours(2);

fn crowd() -> Vec<Habit> {
    let agents = [Habit::Agent { requests: 8 }; AGENTS];
    agents.into_iter().chain([Habit::Chat; 90]).collect()
}

/// What one run showed, in seconds.
struct Result {
    chat_p50: f64,
    chat_p95: f64,
    agents_p50: f64,
    chat_share: f64,
    jain_agents: f64,
    jain_chat: f64,
}

fn percentile(seen: &[Seen], part: f64) -> f64 {
    let mut waits: Vec<Duration> = seen.iter().flat_map(|user| user.waits.clone()).collect();
    waits.sort();
    waits[(waits.len() as f64 * part) as usize].as_secs_f64()
}

fn slot_times(seen: &[Seen]) -> Vec<f64> {
    seen.iter()
        .map(|user| user.slot_time.as_secs_f64())
        .collect()
}

fn run(picker: impl Picker) -> Result {
    let world = World::run(picker, &crowd(), TIME);
    let (agents, chat) = world.seen.split_at(AGENTS);
    let (of_agents, of_chat) = (slot_times(agents), slot_times(chat));
    let sum = |times: &[f64]| times.iter().sum::<f64>();
    Result {
        chat_p50: percentile(chat, 0.5),
        chat_p95: percentile(chat, 0.95),
        agents_p50: percentile(agents, 0.5),
        chat_share: sum(&of_chat) / (sum(&of_chat) + sum(&of_agents)),
        jain_agents: jain(&of_agents),
        jain_chat: jain(&of_chat),
    }
}

#[test]
fn explore_the_table() {
    for slots in [16, 8] {
        let settings = QueueSettings {
            slots,
            ..QueueSettings::default()
        };
        let show = |name: &str, r: Result| {
            println!(
                "{slots} {name:12} {:6.1} {:6.1} {:6.1} {:.2} {:.3} {:.3}",
                r.chat_p50, r.chat_p95, r.agents_p50, r.chat_share, r.jain_agents, r.jain_chat
            )
        };
        show("fifo", run(Fifo::new(slots)));
        show("rr", run(RoundRobin::new(slots)));
        show("fair flat", run(Fair::new(settings.clone(), 100, |_| 0)));
        show("fair own", run(Fair::new(settings.clone(), 100, |u| u)));
        show(
            "fair 10x10",
            run(Fair::new(settings.clone(), 100, |u| u % 10)),
        );
        show(
            "fair 2 grps",
            run(Fair::new(settings.clone(), 100, |u| usize::from(u < 10))),
        );
    }
}
