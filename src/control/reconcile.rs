//! The one loop that acts on the runtime: nudged, on events, and on a tick.
//!
//! It looks (store and runtime), plans (pure), acts with bounded concurrency and looks again. A
//! listing that fails changes nothing: what was known stays known, and routes go on serving.

mod perform;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::control::health::code;
use crate::control::plan::{Action, Plan, plan};
use crate::control::{Control, Error};
use crate::domain::health::Health;
use crate::domain::id::InstanceId;
use crate::domain::instance::{Container, Instance, Observed};
use crate::runtime::{EventKind, RuntimeEvent};

/// Even if every event was missed, nothing stays wrong for longer.
const TICK: Duration = Duration::from_secs(30);

/// An event may come before the runtime's own list shows what it tells: it is looked at again.
const LOOKS_AFTER_EVENT: u8 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long to wait for a runtime that is away before asking again.
const AWAY: Duration = Duration::from_secs(2);

/// Instances worked on at the same time. Docker starts no more containers a second with more, only
/// each of them later.
const ACTIONS_MAX: usize = 16;

/// As many more for what ends something: it never waits behind editors that do not answer.
const ENDS_MAX: usize = 16;

/// Ends when shut down. There is one in a process.
pub struct Reconciler {
    control: Arc<Control>,
    busy: HashSet<InstanceId>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Whether the runtime has what every instance needs, as far as we know.
    prepared: bool,
    events: Option<BoxStream<'static, RuntimeEvent>>,
    looks_left: u8,
}

impl Reconciler {
    pub fn new(control: Arc<Control>) -> Self {
        Self {
            control,
            busy: HashSet::new(),
            running: FuturesUnordered::new(),
            prepared: false,
            events: None,
            looks_left: 0,
        }
    }

    /// Actions that are under way at the end are dropped: each is a step that can be repeated, and
    /// the next start looks again.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let Some(mut pause) = shutdown.run_until_cancelled(self.round()).await else {
                return;
            };
            if self.looks_left > 0 {
                self.looks_left -= 1;
                pause = pause.min(LOOK_AGAIN);
            }
            if !self.wait(pause, &shutdown).await {
                return;
            }
        }
    }

    /// Looks once, starts what is to be done, and says when to look again if nothing happens.
    async fn round(&mut self) -> Duration {
        match self.look().await {
            Ok(plan) => self.start(plan).await,
            Err(error) => {
                self.events = None;
                self.prepared = false;
                let (part, health) = degraded(&error);
                self.control.report(part, health);
                AWAY
            }
        }
    }

    async fn look(&mut self) -> Result<Plan, Error> {
        if !self.prepared {
            let network = self.control.runtime.prepare().await?;
            self.control.network.send_replace(Some(network));
            self.prepared = true;
        }
        if self.events.is_none() {
            // Before the listing: whatever happens after it is told.
            self.events = Some(self.control.runtime.events());
        }
        let observed = self.control.runtime.list().await?;
        let desired = self.control.desired().await?;
        let plan = plan(&desired, &observed, &self.busy, Timestamp::now());
        self.control.report("runtime", health(&plan, &observed));
        Ok(plan)
    }

    async fn start(&mut self, plan: Plan) -> Duration {
        if let Err(error) = self.control.note_seen(plan.seen).await {
            self.control.report(
                "store",
                Health::degraded(code::STORE_FAILED, error.to_string()),
            );
            return AWAY;
        }
        self.control.report("store", Health::Ok);
        for action in plan.actions {
            let reserved = if ends(&action) { ENDS_MAX } else { 0 };
            if self.running.len() >= ACTIONS_MAX + reserved {
                // The end of any action is the next look.
                continue;
            }
            self.busy.insert(action.instance().id.clone());
            self.running
                .push(Box::pin(perform(Arc::clone(&self.control), action)));
        }
        plan.retry_in.unwrap_or(TICK)
    }

    /// Waits for something to happen. False when it is time to stop.
    async fn wait(&mut self, pause: Duration, shutdown: &CancellationToken) -> bool {
        let mut until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = self.control.nudge.notified() => return true,
                () = tokio::time::sleep_until(until) => return true,
                event = next(&mut self.events) => match event.map(|event| event.kind) {
                    Some(EventKind::Gone) => {
                        self.looks_left = LOOKS_AFTER_EVENT;
                        return true;
                    }
                    // Mostly the echo of our own actions: one look serves many of them.
                    Some(EventKind::Changed) => until = until.min(Instant::now() + LOOK_AGAIN),
                    None => {
                        self.events = None;
                        // A runtime that ends its stream at once must not keep us spinning.
                        until = until.min(Instant::now() + LOOK_AGAIN);
                    }
                },
                Some(done) = self.running.next(), if !self.running.is_empty() => {
                    self.busy.remove(&done.instance);
                    // What an action lacked, such as the network, is made again by the next look.
                    self.prepared &= done.succeeded;
                    return true;
                }
            }
        }
    }
}

async fn next(events: &mut Option<BoxStream<'static, RuntimeEvent>>) -> Option<RuntimeEvent> {
    match events {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// An action that ended.
struct Done {
    instance: InstanceId,
    succeeded: bool,
}

async fn perform(control: Arc<Control>, action: Action) -> Done {
    let instance = action.instance().id.clone();
    let succeeded = control.perform(action).await;
    Done {
        instance,
        succeeded,
    }
}

fn ends(action: &Action) -> bool {
    match action {
        Action::Pause(..) | Action::Stop(..) | Action::Remove(..) | Action::Forget(_) => true,
        Action::BringUp(_) | Action::Replace(_) | Action::Restart(..) => false,
    }
}

/// Which part a look failed at, and how that part is.
fn degraded(error: &Error) -> (&'static str, Health) {
    let (part, code) = match error {
        Error::Internal(_) => ("store", code::STORE_FAILED),
        Error::Conflict(_) => ("runtime", code::RUNTIME_REFUSED),
        _ => ("runtime", code::RUNTIME_DOWN),
    };
    (part, Health::degraded(code, error.to_string()))
}

fn health(plan: &Plan, observed: &[Container]) -> Health {
    if plan.unknown.is_empty() {
        return Health::Ok;
    }
    let names: Vec<&str> = plan
        .unknown
        .iter()
        .map(|id| id.get(..12).unwrap_or(id))
        .collect();
    let message = format!(
        "{} of {} containers of this appliance belong to no instance and are left alone: {} (`docker inspect` shows one, `docker rm -f` removes it)",
        names.len(),
        observed.len(),
        names.join(", ")
    );
    Health::degraded(code::RUNTIME_UNKNOWN_CONTAINER, message)
}

impl Control {
    async fn desired(&self) -> Result<Vec<Instance>, Error> {
        let rows = self.reading(|view| Ok(view.all::<Instance>()?)).await?;
        Ok(rows.into_iter().map(|(_, instance)| instance).collect())
    }

    /// Writes down what a look found and puts it in force.
    async fn note_seen(&self, seen: Vec<(Instance, Observed)>) -> Result<(), Error> {
        if seen.is_empty() {
            return Ok(());
        }
        self.note(move |tx| {
            for (instance, observed) in &seen {
                perform::put_seen(tx, instance, observed)?;
            }
            Ok(())
        })
        .await?;
        self.publish()
    }
}
