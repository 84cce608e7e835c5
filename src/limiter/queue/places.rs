//! Where everybody is in the line: computed for all at once, and asked by each.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::books::{Person, Ticket};
use super::decay::ms;
use super::line::{Line, LineId};
use super::order::{Present, order};
use super::scheduler::Scheduler;
use super::settings::{Busy, BusyKind, Position};
use crate::domain::model::ModelName;

/// A place is at most so old: a thousand who ask cost one computation a second.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Places {
    computed: Option<Duration>,
    of: BTreeMap<Ticket, u32>,
}

impl Places {
    fn is_fresh(&self, now: Duration) -> bool {
        let age = self.computed.map(|at| now.saturating_sub(at));
        age.is_some_and(|age| age < FRESH)
    }
}

impl Scheduler {
    /// Who runs, or has left, is at place 0.
    pub fn position(&mut self, ticket: Ticket, now: Duration) -> Position {
        let Some(person) = self.waiting.get(&ticket).cloned() else {
            return Position {
                place: 0,
                eta: Duration::ZERO,
            };
        };
        if !self.places.is_fresh(now) || !self.places.of.contains_key(&ticket) {
            self.compute_places(now);
        }
        let place = self.places.of.get(&ticket).copied().unwrap_or(1);
        let eta = self.eta(ticket, &person, place, now).unwrap_or_default();
        Position { place, eta }
    }

    pub(super) fn compute_places(&mut self, now: Duration) {
        let mut of = BTreeMap::new();
        for id in self.lines.keys() {
            let tickets = self.order_of(*id, now);
            of.extend(tickets.into_iter().zip(1..));
        }
        self.places = Places {
            computed: Some(now),
            of,
        };
    }

    /// Who waits for a model, next first.
    pub fn order(&mut self, model: &ModelName, now: Duration) -> Vec<Ticket> {
        self.advance(now);
        let id = self.known_line(model);
        id.map_or_else(Vec::new, |id| self.order_of(id, now))
    }

    fn order_of(&self, id: LineId, now: Duration) -> Vec<Ticket> {
        let Some(line) = self.lines.get(&id) else {
            return Vec::new();
        };
        let groups = self.books.groups.values();
        let present = Present {
            now_ms: ms(now),
            scale: self.decay.scale(now),
            mean_ms: line.mean_ms(),
        };
        order(groups, id, present)
    }

    fn eta(&self, ticket: Ticket, person: &Person, place: u32, now: Duration) -> Option<Duration> {
        let user = self.books.user(person)?;
        let ahead = user
            .queue
            .iter()
            .position(|request| request.ticket == ticket)?;
        let line = self.lines.get(&user.queue.get(ahead)?.line)?;
        let own = user.running.saturating_add(u32::try_from(ahead).ok()?);
        let alone = self.settings.concurrency.map(NonZeroU32::get);
        let alone = alone.map(|most| line.eta((own + 1).saturating_sub(most), most));
        let turn = line.eta(place, line.slots).max(alone.unwrap_or_default());
        Some(turn.saturating_add(self.model_wait(line, now)))
    }

    pub(super) fn busy(
        &mut self,
        kind: BusyKind,
        id: LineId,
        person: &Person,
        now: Duration,
    ) -> Busy {
        let own = self.books.user(person).and_then(|user| user.queue.front());
        let own = own.map(|request| request.ticket);
        let eta = match (kind, own) {
            (BusyKind::TooManyOfYours, Some(first)) => self.position(first, now).eta,
            (BusyKind::Full | BusyKind::TooManyOfYours, _) => {
                let line = self.lines.get(&id);
                line.map_or(Duration::ZERO, |line| {
                    line.eta(line.waiting + 1, line.slots)
                })
            }
            (BusyKind::TooWide, _) => Duration::ZERO,
        };
        let line: Option<&Line> = self.lines.get(&id);
        Busy {
            kind,
            eta,
            slots: line.map_or(0, |line| line.slots),
            waiting: line.map_or(0, |line| line.waiting),
        }
    }
}
