//! One model's slots: how many are taken, what they remember, how long a request takes.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use super::books::Ticket;
use super::decay::{from_ms, ms};
use crate::domain::model::ModelName;

/// Before the first request has ended.
const FIRST_MEAN: Duration = Duration::from_secs(10);

/// How much the newest request says about the next one.
const NEWEST: f64 = 0.1;

/// With fewer slots none is kept for newcomers.
const KEPT_FROM: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineId(pub(super) u32);

/// Whether the backend holds the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Out,
    In {
        since: Duration,
    },
    /// Nothing more starts; when the last has ended, another model comes.
    Leaving,
}

pub(super) struct Line {
    pub(super) name: ModelName,
    /// As the backend says; `None`: it has not yet.
    pub(super) counted: Option<u32>,
    pub(super) slots: u32,
    pub(super) taken: u32,
    pub(super) waiting: u32,
    pub(super) room: Room,
    /// Since when requests wait for the model to be loaded.
    pub(super) wanted: Option<Duration>,
    pub(super) priority: i32,
    /// Who is next and takes more slots than are free, and since when slots are kept for them.
    pub(super) gathering: Option<(Ticket, Duration)>,
    /// Who took the slot that is kept for who has none.
    newcomer: Option<Ticket>,
    mean_ms: f64,
    /// What free slots remember, longest free first.
    marks: VecDeque<u64>,
}

impl Line {
    pub(super) fn new(name: ModelName) -> Self {
        Self {
            name,
            counted: None,
            slots: 0,
            taken: 0,
            waiting: 0,
            room: Room::Out,
            wanted: None,
            priority: 0,
            gathering: None,
            newcomer: None,
            mean_ms: ms(FIRST_MEAN),
            marks: VecDeque::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0 && self.waiting == 0
    }

    pub(super) fn wait(&mut self, now: Duration) {
        self.waiting = self.waiting.saturating_add(1);
        if !matches!(self.room, Room::In { .. }) {
            self.wanted = self.wanted.or(Some(now));
        }
    }

    pub(super) fn resize(&mut self, slots: u32, most: Option<NonZeroU32>) {
        let slots = self.counted.unwrap_or(slots);
        self.slots = most.map_or(slots, |most| slots.min(most.get()));
        self.trim();
    }

    pub(super) fn free(&self) -> u32 {
        self.slots.saturating_sub(self.taken)
    }

    /// Slots that only somebody may take who has none: one, unless such a one has it already.
    pub(super) fn kept(&self) -> u32 {
        u32::from(self.slots >= KEPT_FROM && self.newcomer.is_none())
    }

    /// Slots beyond which a user comes after those who have fewer.
    pub(super) fn share(&self, given: Option<NonZeroU32>) -> u32 {
        given.map_or((self.slots / 4).max(2), NonZeroU32::get)
    }

    /// What a request is expected to take, in milliseconds.
    pub(super) fn mean_ms(&self) -> f64 {
        self.mean_ms
    }

    pub(super) fn remembers(&self, affinity: u64) -> bool {
        self.marks.contains(&affinity)
    }

    /// The slot that remembers most is taken, as llama.cpp does, or else the one that was free for
    /// longest.
    pub(super) fn take(&mut self, ticket: Ticket, width: u32, affinity: u64) {
        if let Some(at) = self.marks.iter().position(|mark| *mark == affinity) {
            self.marks.remove(at);
        }
        if width.saturating_add(self.kept()) > self.free() {
            self.newcomer = Some(ticket);
        }
        self.taken += width;
        self.trim();
    }

    pub(super) fn give_back(&mut self, ticket: Ticket, width: u32, affinity: u64, time: Duration) {
        self.newcomer.take_if(|newcomer| *newcomer == ticket);
        self.taken = self.taken.saturating_sub(width);
        self.mean_ms += NEWEST * (ms(time) - self.mean_ms);
        self.marks.push_back(affinity);
        self.trim();
    }

    fn trim(&mut self) {
        let free = usize::try_from(self.free()).unwrap_or(usize::MAX);
        let excess = self.marks.len().saturating_sub(free);
        self.marks.drain(..excess);
    }

    /// When so many requests have ended.
    pub(super) fn eta(&self, requests: u32, slots: u32) -> Duration {
        from_ms(self.mean_ms * f64::from(requests) / f64::from(slots.max(1)))
    }
}
