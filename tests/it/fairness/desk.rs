//! A scheduler to talk to in a test's own words.

use std::collections::BTreeMap;
use std::time::Duration;

use thon::domain::model::ModelName;
use thon::limiter::queue::{Busy, QueueSettings, Scheduler, Ticket, Who};

pub(super) struct Desk {
    pub(super) scheduler: Scheduler,
    pub(super) now: Duration,
    names: BTreeMap<Ticket, &'static str>,
    running: Vec<(Ticket, &'static str)>,
}

/// `red/ana`, or `ana`, who is in a group of her own name.
fn who(name: &str) -> Who {
    let (group, user) = name.split_once('/').unwrap_or((name, name));
    Who {
        group: group.parse().unwrap(),
        user: user.to_owned(),
        affinity: None,
    }
}

impl Desk {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self {
            scheduler: Scheduler::new(settings, Duration::ZERO),
            now: Duration::ZERO,
            names: BTreeMap::new(),
            running: Vec::new(),
        }
    }

    pub(super) fn try_ask(&mut self, of: &str, name: &str, width: u32) -> Result<Ticket, Busy> {
        let model = ModelName::new(of);
        self.scheduler.enter(&model, &who(name), width, self.now)
    }

    /// For a model.
    pub(super) fn ask_for(&mut self, of: &str, name: &'static str) -> Ticket {
        self.ask_wide(of, name, 1)
    }

    pub(super) fn ask_wide(&mut self, of: &str, name: &'static str, width: u32) -> Ticket {
        let ticket = self.try_ask(of, name, width).unwrap();
        self.names.insert(ticket, name);
        self.start();
        ticket
    }

    pub(super) fn ask(&mut self, name: &'static str) -> Ticket {
        self.ask_for("m", name)
    }

    /// In a conversation with a number.
    pub(super) fn talk(&mut self, name: &'static str, number: u64) -> Ticket {
        let who = Who {
            affinity: Some(number),
            ..who(name)
        };
        let model = ModelName::new("m");
        let ticket = self.scheduler.enter(&model, &who, 1, self.now).unwrap();
        self.names.insert(ticket, name);
        self.start();
        ticket
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn start(&mut self) {
        for ticket in self.scheduler.start(self.now) {
            self.running.push((ticket, self.names[&ticket]));
        }
    }

    /// Who runs, in the order of starting.
    pub(super) fn running(&self) -> Vec<&'static str> {
        self.running.iter().map(|(_, name)| *name).collect()
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.running.retain(|(running, _)| *running != ticket);
        self.scheduler.leave(ticket, self.now);
        self.start();
    }

    /// The one that started first ends after so long; who it was.
    pub(super) fn end(&mut self, seconds: u64) -> &'static str {
        self.pass(seconds);
        let (ticket, name) = self.running[0];
        self.leave(ticket);
        name
    }

    pub(super) fn recent(&mut self, name: &str) -> Duration {
        let users = self.scheduler.status(self.now).users;
        let user = users.iter().find(|user| user.user == name);
        user.map_or(Duration::ZERO, |user| user.recent)
    }
}
