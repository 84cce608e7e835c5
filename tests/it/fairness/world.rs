//! A hackathon in virtual time: agents that always want more, people who think, a model with slots.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::chance::Chance;

/// Tokens a second of one slot, and of reading a prompt.
const WRITES: f64 = 25.0;
const READS: f64 = 500.0;

/// Before this nothing is counted: everybody begins at once.
const WARM_UP: Duration = Duration::from_mins(10);

pub(super) type Job = usize;

/// Who decides whose turn it is.
pub(super) trait Picker {
    fn enter(&mut self, user: usize, job: Job, now: Duration);
    fn leave(&mut self, job: Job, now: Duration);
    fn start(&mut self, now: Duration) -> Vec<Job>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// So many requests at the same time, all the time: 12,000 tokens of prompt of which four fifths
    /// are remembered, about 1,100 of answer.
    Agent { requests: u32 },
    /// One at a time, and two minutes of thought: 1,000 of prompt, about 300 of answer.
    Chat,
}

impl Habit {
    fn service(self, chance: &mut Chance) -> Duration {
        let (prompt, answer) = match self {
            Self::Agent { .. } => (2_400.0, 1_100.0 * chance.between(0.5, 1.5)),
            Self::Chat => (1_000.0, 300.0 * chance.between(0.2, 1.8)),
        };
        Duration::from_secs_f64(prompt / READS + answer / WRITES)
    }

    fn thought(self, chance: &mut Chance) -> Duration {
        match self {
            Self::Agent { .. } => Duration::ZERO,
            Self::Chat => Duration::from_secs_f64(120.0 * chance.exponential()),
        }
    }
}

enum Event {
    Ask { user: usize },
    End { job: Job },
}

struct Asked {
    user: usize,
    at: Duration,
    service: Duration,
}

#[derive(Default)]
pub(super) struct Served {
    pub(super) waits: Vec<Duration>,
    /// After the warm-up.
    pub(super) slot_time: Duration,
}

pub(super) struct World<P> {
    picker: P,
    habits: Vec<Habit>,
    chance: Chance,
    events: BinaryHeap<Reverse<(Duration, usize)>>,
    /// By number, as the heap has them.
    what: Vec<Event>,
    jobs: Vec<Asked>,
    pub(super) served: Vec<Served>,
}

impl<P: Picker> World<P> {
    pub(super) fn run(picker: P, habits: &[Habit], time: Duration) -> Self {
        let mut world = Self {
            picker,
            habits: habits.to_vec(),
            chance: Chance::new(7),
            events: BinaryHeap::new(),
            what: Vec::new(),
            jobs: Vec::new(),
            served: habits.iter().map(|_| Served::default()).collect(),
        };
        world.begin();
        while let Some(Reverse((now, event))) = world.events.pop() {
            if now > time {
                break;
            }
            world.happen(event, now);
        }
        world
    }

    /// Of all requests, whoever's.
    pub(super) fn mean_service(&self) -> Duration {
        let sum: Duration = self.jobs.iter().map(|job| job.service).sum();
        sum / u32::try_from(self.jobs.len()).unwrap()
    }

    fn begin(&mut self) {
        for (user, habit) in self.habits.clone().into_iter().enumerate() {
            let requests = match habit {
                Habit::Agent { requests } => requests,
                Habit::Chat => 1,
            };
            for _ in 0..requests {
                let thought = habit.thought(&mut self.chance);
                self.plan(thought, Event::Ask { user });
            }
        }
    }

    fn plan(&mut self, at: Duration, event: Event) {
        self.events.push(Reverse((at, self.what.len())));
        self.what.push(event);
    }

    fn happen(&mut self, event: usize, now: Duration) {
        match self.what[event] {
            Event::Ask { user } => self.ask(user, now),
            Event::End { job } => self.end(job, now),
        }
        for job in self.picker.start(now) {
            let asked = &self.jobs[job];
            if asked.at > WARM_UP {
                self.served[asked.user]
                    .waits
                    .push(now.saturating_sub(asked.at));
            }
            self.plan(now + asked.service, Event::End { job });
        }
    }

    fn ask(&mut self, user: usize, now: Duration) {
        let service = self.habits[user].service(&mut self.chance);
        let job = self.jobs.len();
        let at = now;
        self.jobs.push(Asked { user, at, service });
        self.picker.enter(user, job, now);
    }

    fn end(&mut self, job: Job, now: Duration) {
        let asked = &self.jobs[job];
        let (user, began) = (asked.user, now.saturating_sub(asked.service));
        self.served[user].slot_time += now.saturating_sub(began.max(WARM_UP));
        self.picker.leave(job, now);
        let thought = self.habits[user].thought(&mut self.chance);
        self.plan(now + thought, Event::Ask { user });
    }
}
