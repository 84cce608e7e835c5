//! Slots of one backend and who gets them next: all decisions, and no clock of its own.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::books::{Books, Person, Request, Ticket};
use super::decay::Decay;
use super::line::{Line, LineId, Room};
use super::pick::Look;
use super::places::Places;
use super::room::Rooms;
use super::settings::{Busy, BusyKind, QueueSettings, Who};
use crate::domain::model::ModelName;

/// A turn of a model is not shorter, whatever the settings say.
const TURN_MIN: Duration = Duration::from_secs(1);

pub(super) struct Running {
    pub(super) person: Arc<Person>,
    pub(super) line: LineId,
    pub(super) width: u32,
    affinity: u64,
    pub(super) since: Duration,
    pub(super) charged: f64,
}

/// `now` is any clock that does not run backwards. After each change, [`Self::start`] says whose turn
/// it is.
pub struct Scheduler {
    pub(super) settings: QueueSettings,
    rooms: Rooms,
    pub(super) decay: Decay,
    pub(super) books: Books,
    pub(super) names: BTreeMap<ModelName, LineId>,
    pub(super) lines: BTreeMap<LineId, Line>,
    pub(super) waiting: BTreeMap<Ticket, Arc<Person>>,
    pub(super) running: BTreeMap<Ticket, Running>,
    pub(super) places: Places,
    last_ticket: u64,
    last_line: u32,
    pub(super) accrued: Duration,
    pub(super) cleaned: Duration,
}

impl Scheduler {
    pub fn new(settings: QueueSettings, now: Duration) -> Self {
        Self {
            rooms: rooms(&settings),
            decay: Decay::new(settings.half_life, now),
            settings,
            books: Books::default(),
            names: BTreeMap::new(),
            lines: BTreeMap::new(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            places: Places::default(),
            last_ticket: 0,
            last_line: 0,
            accrued: now,
            cleaned: now,
        }
    }

    /// Who runs and who waits stays, and what they had.
    pub fn apply(&mut self, settings: QueueSettings, now: Duration) {
        self.rescale(settings.half_life, now);
        self.rooms = rooms(&settings);
        self.settings = settings;
        for line in self.lines.values_mut() {
            fit(line, &self.settings);
        }
    }

    /// The backend says how many slots the model has. Fewer than run: nobody is cut, nobody starts.
    pub fn set_slots(&mut self, model: &ModelName, slots: u32) {
        let id = self.line(model);
        if let Some(line) = self.lines.get_mut(&id) {
            line.counted = Some(slots);
            fit(line, &self.settings);
        }
    }

    /// `model` is one that the backend has: each that is named takes a little memory for a half-life.
    pub fn enter(
        &mut self,
        model: &ModelName,
        who: &Who,
        width: u32,
        now: Duration,
    ) -> Result<Ticket, Busy> {
        self.advance(now);
        let id = self.line(model);
        let width = width.max(1);
        let person = self.person(who);
        if let Some(kind) = self.refusal(id, &person, width) {
            return Err(self.busy(kind, id, &person, now));
        }
        Ok(self.wait(id, person, (width, who.affinity), now))
    }

    fn wait(
        &mut self,
        line: LineId,
        person: Arc<Person>,
        (width, affinity): (u32, Option<u64>),
        now: Duration,
    ) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let weight = self.settings.weights.get(&person.group);
        self.books.arrive(&person, weight.copied());
        let request = Request {
            ticket,
            line,
            width,
            affinity: affinity.unwrap_or_else(|| number(&person)),
            since: now,
        };
        self.books.wait(&person, request);
        self.waiting.insert(ticket, person);
        if let Some(line) = self.lines.get_mut(&line) {
            line.wait(now);
        }
        ticket
    }

    fn refusal(&self, id: LineId, person: &Person, width: u32) -> Option<BusyKind> {
        let slots = self.lines.get(&id).map_or(0, |line| line.slots);
        let own = self.books.user(person).map_or(0, |user| user.queue.len());
        if width > slots.max(1) {
            Some(BusyKind::TooWide)
        } else if own >= self.settings.waiting_per_user_max {
            Some(BusyKind::TooManyOfYours)
        } else if self.waiting.len() >= self.settings.waiting_max {
            Some(BusyKind::Full)
        } else {
            None
        }
    }

    /// The request ended, waiting or running. Leaving twice changes nothing.
    pub fn leave(&mut self, ticket: Ticket, now: Duration) {
        self.advance(now);
        if let Some(person) = self.waiting.remove(&ticket) {
            self.leave_line(&person, ticket, now);
            self.books.depart(&person);
        } else if let Some(running) = self.running.remove(&ticket) {
            self.settle(ticket, &running, now);
            self.books.depart(&running.person);
        }
    }

    fn leave_line(&mut self, person: &Person, ticket: Ticket, now: Duration) -> Option<Request> {
        let request = self.books.take(person, ticket, now)?;
        let line = self.lines.get_mut(&request.line)?;
        line.waiting = line.waiting.saturating_sub(1);
        if line.waiting == 0 {
            line.wanted = None;
        }
        // Slots that were kept free for somebody are theirs to pay for, used or not.
        if let Some((_, since)) = line.gathering.take_if(|(who, _)| *who == ticket) {
            let kept = self.decay.spent(since, now) * f64::from(request.width);
            self.books.charge(person, kept);
        }
        Some(request)
    }

    fn settle(&mut self, ticket: Ticket, running: &Running, now: Duration) {
        let cost = self.decay.spent(running.since, now) * f64::from(running.width);
        self.books.charge(&running.person, cost - running.charged);
        self.books.rest(&running.person, running.width);
        if let Some(line) = self.lines.get_mut(&running.line) {
            let time = now.saturating_sub(running.since);
            line.give_back(ticket, running.width, running.affinity, time);
        }
    }

    /// Whose turn it is now; they run from here on.
    pub fn start(&mut self, now: Duration) -> Vec<Ticket> {
        self.advance(now);
        let mut started = Vec::new();
        loop {
            self.rooms.turn_over(&mut self.lines, now);
            let before = started.len();
            let ids: Vec<LineId> = self.open_lines().collect();
            for id in ids {
                while let Some(ticket) = self.dispatch(id, now) {
                    started.push(ticket);
                }
            }
            if started.len() == before {
                return started;
            }
        }
    }

    fn open_lines(&self) -> impl Iterator<Item = LineId> {
        let is_open = |line: &Line| matches!(line.room, Room::In { .. }) && line.waiting > 0;
        let lines = self.lines.iter();
        lines.filter_map(move |(id, line)| is_open(line).then_some(*id))
    }

    fn dispatch(&mut self, id: LineId, now: Duration) -> Option<Ticket> {
        let (person, ticket) = self.pick(id, now)?;
        let request = self.leave_line(&person, ticket, now)?;
        self.waiting.remove(&ticket);
        let line = self.lines.get_mut(&id)?;
        let width = request.width.min(line.slots);
        line.take(ticket, width, request.affinity);
        let charged = line.mean_ms() * self.decay.scale(now) * f64::from(width);
        self.books.run(&person, width);
        self.books.charge(&person, charged);
        let running = Running {
            person,
            line: id,
            width,
            affinity: request.affinity,
            since: now,
            charged,
        };
        self.running.insert(ticket, running);
        Some(ticket)
    }

    /// Remembers for whom slots are kept, if it is somebody's turn who needs more than are free.
    fn pick(&mut self, id: LineId, now: Duration) -> Option<(Arc<Person>, Ticket)> {
        let line = self.lines.get(&id)?;
        let look = Look {
            books: &self.books,
            line,
            id,
            scale: self.decay.scale(now),
            share: line.share(self.settings.share),
            concurrency: self.settings.concurrency.map_or(u32::MAX, NonZeroU32::get),
        };
        let choice = look.pick();
        let choice = choice.map(|it| (Arc::clone(it.person), it.ticket, it.fits));
        let line = self.lines.get_mut(&id)?;
        let held = line.gathering.take();
        let (person, ticket, fits) = choice?;
        let held = held.filter(|(who, _)| *who == ticket);
        line.gathering = held.or_else(|| (!fits).then_some((ticket, now)));
        fits.then_some((person, ticket))
    }

    fn line(&mut self, model: &ModelName) -> LineId {
        if let Some(id) = self.names.get(model) {
            return *id;
        }
        self.last_line += 1;
        let id = LineId(self.last_line);
        let mut line = Line::new(model.clone());
        fit(&mut line, &self.settings);
        self.lines.insert(id, line);
        self.names.insert(model.clone(), id);
        id
    }

    pub(super) fn known_line(&self, model: &ModelName) -> Option<LineId> {
        self.names.get(model).copied()
    }

    fn person(&self, who: &Who) -> Arc<Person> {
        let known = self.books.groups.get(&who.group);
        let known = known.and_then(|group| group.users.get(&who.user));
        known.map_or_else(
            || {
                Arc::new(Person {
                    group: who.group.clone(),
                    user: who.user.clone(),
                })
            },
            |user| Arc::clone(&user.person),
        )
    }

    pub(super) fn model_wait(&self, line: &Line, now: Duration) -> Duration {
        self.rooms.wait(&self.lines, line, now)
    }
}

fn fit(line: &mut Line, settings: &QueueSettings) {
    line.resize(
        settings.slots,
        settings.model_concurrency.get(&line.name).copied(),
    );
    line.priority = settings.priorities.get(&line.name).copied().unwrap_or(0);
}

fn rooms(settings: &QueueSettings) -> Rooms {
    Rooms {
        most: settings.loaded_max,
        turn: settings.model_turn.max(TURN_MIN),
    }
}

/// The same for the same names, in every run.
fn number(person: &Person) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&person.group, &person.user).hash(&mut hasher);
    hasher.finish()
}
