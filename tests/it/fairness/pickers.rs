//! The scheduler, and two that others have, behind one face.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use thon::domain::model::ModelName;
use thon::limiter::queue::{QueueSettings, Scheduler, Ticket, Who};

use super::world::{Job, Picker};

/// First come, first served: what llama.cpp and Ollama do.
pub(super) struct Fifo {
    free: usize,
    line: VecDeque<Job>,
}

impl Fifo {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            free: slots,
            line: VecDeque::new(),
        }
    }
}

impl Picker for Fifo {
    fn enter(&mut self, _user: usize, job: Job, _now: Duration) {
        self.line.push_back(job);
    }

    fn leave(&mut self, _job: Job, _now: Duration) {
        self.free += 1;
    }

    fn start(&mut self, _now: Duration) -> Vec<Job> {
        let count = self.line.len().min(self.free);
        self.free -= count;
        self.line.drain(..count).collect()
    }
}

/// One request of each user in turn, whatever it takes.
pub(super) struct RoundRobin {
    free: usize,
    lines: BTreeMap<usize, VecDeque<Job>>,
    last: usize,
}

impl RoundRobin {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            free: slots,
            lines: BTreeMap::new(),
            last: 0,
        }
    }

    fn next(&mut self) -> Option<Job> {
        let after = self.lines.range(self.last + 1..).next();
        let (user, _) = after.or_else(|| self.lines.iter().next())?;
        self.last = *user;
        let line = self.lines.get_mut(&self.last)?;
        let job = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&self.last);
        }
        job
    }
}

impl Picker for RoundRobin {
    fn enter(&mut self, user: usize, job: Job, _now: Duration) {
        self.lines.entry(user).or_default().push_back(job);
    }

    fn leave(&mut self, _job: Job, _now: Duration) {
        self.free += 1;
    }

    fn start(&mut self, _now: Duration) -> Vec<Job> {
        let mut started = Vec::new();
        while self.free > 0
            && let Some(job) = self.next()
        {
            self.free -= 1;
            started.push(job);
        }
        started
    }
}

/// Ours.
pub(super) struct Fair {
    scheduler: Scheduler,
    who: Vec<Who>,
    model: ModelName,
    tickets: HashMap<Job, Ticket>,
    jobs: HashMap<Ticket, Job>,
}

impl Fair {
    /// `group` says which group a user is in.
    pub(super) fn new(
        settings: QueueSettings,
        users: usize,
        group: impl Fn(usize) -> usize,
    ) -> Self {
        let who = |user: usize| Who {
            group: format!("g{}", group(user)).parse().unwrap(),
            user: format!("u{user}"),
            affinity: None,
        };
        Self {
            scheduler: Scheduler::new(settings, Duration::ZERO),
            who: (0..users).map(who).collect(),
            model: ModelName::new("m"),
            tickets: HashMap::new(),
            jobs: HashMap::new(),
        }
    }
}

impl Picker for Fair {
    fn enter(&mut self, user: usize, job: Job, now: Duration) {
        let ticket = self.scheduler.enter(&self.model, &self.who[user], 1, now);
        let ticket = ticket.unwrap();
        self.tickets.insert(job, ticket);
        self.jobs.insert(ticket, job);
    }

    fn leave(&mut self, job: Job, now: Duration) {
        let ticket = self.tickets.remove(&job).unwrap();
        self.jobs.remove(&ticket);
        self.scheduler.leave(ticket, now);
    }

    fn start(&mut self, now: Duration) -> Vec<Job> {
        let started = self.scheduler.start(now);
        started.iter().map(|ticket| self.jobs[ticket]).collect()
    }
}
