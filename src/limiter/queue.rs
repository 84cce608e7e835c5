//! A fair queue in front of a model's slots: the model itself never queues.
//!
//! One queue a backend and kind of model. [`scheduler`] decides; here is who waits for it.

mod books;
mod decay;
mod line;
mod order;
mod pick;
mod places;
mod room;
mod scheduler;
mod settings;
mod status;
mod upkeep;

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use books::Ticket;
pub use scheduler::Scheduler;
pub use settings::{Busy, BusyKind, Position, QueueSettings, Who};
pub use status::{ModelStatus, QueueStatus, UserStatus, jain};

use crate::domain::model::ModelName;

pub struct FairQueue {
    state: Mutex<State>,
    started: Instant,
}

struct State {
    scheduler: Scheduler,
    /// Of those who wait.
    bells: HashMap<Ticket, oneshot::Sender<()>>,
}

impl State {
    /// The bells of those whose turn it is now.
    fn turns(&mut self, now: Duration) -> Vec<oneshot::Sender<()>> {
        let started = self.scheduler.start(now).into_iter();
        started
            .filter_map(|ticket| self.bells.remove(&ticket))
            .collect()
    }
}

impl FairQueue {
    pub fn new(settings: QueueSettings) -> Arc<Self> {
        let scheduler = Scheduler::new(settings, Duration::ZERO);
        Arc::new(Self {
            state: Mutex::new(State {
                scheduler,
                bells: HashMap::new(),
            }),
            started: Instant::now(),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, Duration) -> T) -> T {
        let mut state = self.state.lock();
        let now = self.started.elapsed();
        let outcome = change(&mut state, now);
        let turns = state.turns(now);
        drop(state);
        for bell in turns {
            // Who no longer listens gives the slot back by being dropped.
            let _gone = bell.send(());
        }
        outcome
    }

    /// Other rules from now on. Nobody who runs or waits is sent away.
    pub fn apply(&self, settings: QueueSettings) {
        self.change(|state, now| state.scheduler.apply(settings, now));
    }

    /// The backend has so many slots for the model; with none, everybody waits.
    pub fn set_slots(&self, model: &ModelName, slots: u32) {
        self.change(|state, _| state.scheduler.set_slots(model, slots));
    }

    /// `model` is one that the backend has, `width` the number of slots that the request takes.
    pub fn enter(
        self: &Arc<Self>,
        model: &ModelName,
        who: &Who,
        width: u32,
    ) -> Result<Waiting, Busy> {
        let (bell, ready) = oneshot::channel();
        let ticket = self.change(|state, now| {
            let ticket = state.scheduler.enter(model, who, width, now)?;
            state.bells.insert(ticket, bell);
            Ok(ticket)
        })?;
        let place = Place {
            queue: Arc::clone(self),
            ticket,
        };
        Ok(Waiting {
            place: Some(place),
            ready,
            entered: Instant::now(),
        })
    }

    /// How busy each model is: what `status` says of them, without looking at who waits.
    pub fn models(&self) -> Vec<ModelStatus> {
        self.state.lock().scheduler.models()
    }

    pub fn status(&self) -> QueueStatus {
        let mut state = self.state.lock();
        state.scheduler.status(self.started.elapsed())
    }
}

/// In the line or in a slot; dropping it is leaving.
struct Place {
    queue: Arc<FairQueue>,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.change(|state, now| {
            state.bells.remove(&self.ticket);
            state.scheduler.leave(self.ticket, now);
        });
    }
}

/// A request in the line. Dropping it leaves the line at once, or gives back the slot that it was
/// about to get.
#[must_use = "dropping it leaves the line"]
pub struct Waiting {
    place: Option<Place>,
    ready: oneshot::Receiver<()>,
    entered: Instant,
}

impl Waiting {
    /// Waits for the slot. May be dropped and called again while it has not answered; after it has,
    /// there is no other turn, and it never answers.
    pub async fn turn(&mut self) -> Turn {
        if self.place.is_some()
            && (&mut self.ready).await.is_ok()
            && let Some(place) = self.place.take()
        {
            return Turn {
                _place: place,
                waited: self.entered.elapsed(),
            };
        }
        pending().await
    }

    /// At most a second old.
    pub fn position(&self) -> Position {
        let nowhere = Position {
            place: 0,
            eta: Duration::ZERO,
        };
        self.place.as_ref().map_or(nowhere, |place| {
            let now = place.queue.started.elapsed();
            place
                .queue
                .state
                .lock()
                .scheduler
                .position(place.ticket, now)
        })
    }
}

/// A slot, or as many as the request takes. Dropping it frees them and charges their time.
#[must_use = "dropping it gives the slot back"]
pub struct Turn {
    _place: Place,
    waited: Duration,
}

impl Turn {
    pub fn waited(&self) -> Duration {
        self.waited
    }
}
