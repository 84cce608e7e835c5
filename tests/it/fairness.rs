//! Slots are shared fairly: the scheduler in virtual time, beside those that others have.

mod chance;
mod desk;
mod models;
mod pickers;
mod rules;
mod shares;
mod waiting;
mod world;

use std::fmt;
use std::time::Duration;

use thon::limiter::queue::{QueueSettings, jain};

use pickers::{Fair, Fifo, RoundRobin};
use world::{Habit, Picker, Served, World};

const AGENTS: usize = 10;
const TIME: Duration = Duration::from_hours(2);

fn crowd() -> Vec<Habit> {
    let agents = [Habit::Agent { requests: 8 }; AGENTS];
    agents.into_iter().chain([Habit::Chat; 90]).collect()
}

/// What one run showed; times in seconds.
struct Seen {
    name: String,
    chat_p50: f64,
    chat_p95: f64,
    agents_p50: f64,
    chat_share: f64,
    /// Least equal of agents among themselves and of people among themselves.
    jain: f64,
    mean_service: f64,
}

fn percentile(users: &[Served], percent: usize) -> f64 {
    let mut waits: Vec<Duration> = users.iter().flat_map(|user| user.waits.clone()).collect();
    waits.sort();
    waits[waits.len() * percent / 100].as_secs_f64()
}

fn slot_times(users: &[Served]) -> Vec<f64> {
    let times = users.iter().map(|user| user.slot_time);
    times.map(|time| time.as_secs_f64()).collect()
}

fn run(name: &str, picker: impl Picker) -> Seen {
    let world = World::run(picker, &crowd(), TIME);
    let (agents, chat) = world.served.split_at(AGENTS);
    let (of_agents, of_chat) = (slot_times(agents), slot_times(chat));
    let sum = |times: &[f64]| times.iter().sum::<f64>();
    Seen {
        name: name.to_owned(),
        chat_p50: percentile(chat, 50),
        chat_p95: percentile(chat, 95),
        agents_p50: percentile(agents, 50),
        chat_share: sum(&of_chat) / (sum(&of_chat) + sum(&of_agents)),
        jain: jain(&of_agents).min(jain(&of_chat)),
        mean_service: world.mean_service().as_secs_f64(),
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, p50, p95) = (&self.name, self.chat_p50, self.chat_p95);
        let (agents, share, jain) = (self.agents_p50, self.chat_share, self.jain);
        let mean = self.mean_service;
        write!(
            f,
            "{name:20} {p50:6.1} {p95:6.1} {agents:7.1} {share:5.2} {jain:6.3} {mean:5.1}"
        )
    }
}

/// Everybody for themselves, or ten groups with an agent each.
fn fair(slots: u32, groups: usize) -> Fair {
    let settings = QueueSettings {
        slots,
        ..QueueSettings::default()
    };
    Fair::new(settings, crowd().len(), |user| user % groups)
}

#[test]
fn ten_agents_and_ninety_people_share_sixteen_slots() {
    let fifo = run("16 first come", Fifo::new(16));
    let round = run("16 round-robin", RoundRobin::new(16));
    let ours = run("16 fair", fair(16, 100));
    let grouped = run("16 fair, ten groups", fair(16, 10));
    println!("{fifo}\n{round}\n{ours}\n{grouped}");
    assert!((200.0..350.0).contains(&fifo.chat_p50));
    assert!(ours.chat_p50 * 5.0 <= round.chat_p50);
    assert!(ours.chat_p95 * 2.0 <= round.chat_p95);
    assert!(
        ours.agents_p50 <= fifo.agents_p50 * 2.5,
        "nobody is shut out"
    );
    for seen in [ours, grouped] {
        assert!(seen.chat_p50 <= seen.mean_service);
        assert!(seen.jain >= 0.95);
        assert!(seen.chat_p50 < round.chat_p50 && seen.chat_p95 < round.chat_p95);
    }
}

#[test]
fn ten_agents_and_ninety_people_share_eight_slots() {
    let fifo = run("8 first come", Fifo::new(8));
    let round = run("8 round-robin", RoundRobin::new(8));
    let ours = run("8 fair", fair(8, 100));
    let grouped = run("8 fair, ten groups", fair(8, 10));
    println!("{fifo}\n{round}\n{ours}\n{grouped}");
    assert!(ours.chat_p50 * 1.5 <= round.chat_p50);
    for seen in [ours, grouped] {
        assert!(seen.jain >= 0.95);
        assert!(seen.chat_p50 < round.chat_p50 && seen.chat_p95 < round.chat_p95);
        assert!(seen.chat_p95 * 3.0 <= fifo.chat_p95);
        assert!(seen.chat_share > fifo.chat_share * 2.0);
    }
}
