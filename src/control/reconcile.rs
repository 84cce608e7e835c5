//! The one loop that acts on the runtime: nudged, on events, and on a tick.
//!
//! It looks (store and runtime), plans (pure), acts with bounded concurrency and looks again. A
//! listing that fails changes nothing: what was known stays known, and routes go on serving.

mod listener;
mod perform;
mod ready;
mod record;
mod working;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::control::health::code;
use crate::control::plan::{Action, Plan, Sight, plan};
use crate::control::{Control, Error};
use crate::domain::health::Health;
use crate::domain::instance::{Container, Instance, Observed};
use crate::runtime::{EventKind, RuntimeError, RuntimeEvent};

use listener::Listener;
use working::Working;

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

/// Unknown containers that the health names.
const UNKNOWN_NAMED_MAX: usize = 20;

/// Ends when shut down. There is one in a process.
pub struct Reconciler {
    control: Arc<Control>,
    working: Working,
    /// Whether the runtime has what every instance needs, as far as we know.
    prepared: bool,
    listener: Option<Listener>,
    looks_left: u8,
}

/// What a look found: what to do, and why nothing can be started, if so.
struct Look {
    plan: Plan,
    barred: Option<String>,
    /// Containers whose ends are in the plan.
    ended: Vec<String>,
}

/// What a look failed at.
enum Fault {
    Runtime(RuntimeError),
    Store(Error),
}

impl From<RuntimeError> for Fault {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(error)
    }
}

impl Reconciler {
    pub fn new(control: Arc<Control>) -> Self {
        Self {
            control,
            working: Working::default(),
            prepared: false,
            listener: None,
            looks_left: 0,
        }
    }

    /// Actions that are under way at the end may finish for a moment; what is left then is a step
    /// that can be repeated, and the next start looks again.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while let Some(mut pause) = shutdown.run_until_cancelled(self.round()).await {
            if self.looks_left > 0 {
                self.looks_left -= 1;
                pause = pause.min(LOOK_AGAIN);
            }
            if !self.wait(pause, &shutdown).await {
                break;
            }
        }
        self.working.drain().await;
    }

    /// Looks once, starts what is to be done, and says when to look again if nothing happens.
    async fn round(&mut self) -> Duration {
        match self.look().await {
            Ok(look) => self.start(look).await,
            Err(Fault::Runtime(error)) => {
                self.listener = None;
                self.prepared = false;
                self.control.report("runtime", degraded(&error));
                AWAY
            }
            Err(Fault::Store(error)) => {
                self.control.report_store_fault(&error);
                AWAY
            }
        }
    }

    async fn look(&mut self) -> Result<Look, Fault> {
        let barred = self.prepare().await?;
        if self.listener.is_none() {
            // Before the listing: whatever happens after it is told.
            self.listener = Some(Listener::start(&self.control));
        }
        let mut containers = self.control.runtime.list().await?;
        self.control.mend_store().await.map_err(Fault::Store)?;
        // Whose record cannot be read, is left as it is.
        let unreadable = self.control.publisher.unreadable();
        containers.retain(|container| !unreadable.contains(&container.instance));
        let ended = self.control.publisher.ended();
        let sight = Sight {
            containers: &containers,
            busy: self.working.busy(),
            ended: &ended,
            subnet: self.control.settings.subnet,
        };
        let plan = plan(&self.control.publisher.instances(), sight, Timestamp::now());
        self.control
            .report_look(&plan, &containers, barred.as_ref());
        let busy = self.working.busy();
        let worked_on = containers
            .iter()
            .filter(|container| busy.contains(&container.instance));
        let worked_on: HashSet<&String> = worked_on.map(|container| &container.id).collect();
        let told = ended.iter().filter(|id| !worked_on.contains(id));
        let ended = told.cloned().collect();
        Ok(Look {
            plan,
            barred,
            ended,
        })
    }

    /// A network that cannot be used lets nothing start, and everything end: it is how an organizer
    /// gets rid of it.
    async fn prepare(&mut self) -> Result<Option<String>, RuntimeError> {
        if self.prepared {
            return Ok(None);
        }
        match self.control.runtime.prepare().await {
            Ok(network) => {
                self.control.network.send_replace(Some(network));
                self.prepared = true;
                Ok(None)
            }
            Err(RuntimeError::Refused(words)) => Ok(Some(words)),
            Err(error) => Err(error),
        }
    }

    async fn start(&mut self, look: Look) -> Duration {
        let Look {
            plan,
            barred,
            ended,
        } = look;
        // A container's key is there before the container is.
        if self.control.settle_keys().await.is_err()
            || self.control.note_seen(plan.seen).await.is_err()
        {
            return AWAY;
        }
        self.control.publisher.forget_ended(ended.iter());
        for action in plan.actions {
            let is_end = ends(&action);
            let reserved = if is_end { ENDS_MAX } else { 0 };
            if self.working.len() >= ACTIONS_MAX + reserved || (barred.is_some() && !is_end) {
                // The end of any action is the next look.
                continue;
            }
            let control = Arc::clone(&self.control);
            let instance = action.instance().id.clone();
            self.working
                .start(instance, async move { control.perform(action).await });
        }
        let pause = plan.retry_in.unwrap_or(TICK);
        barred.map_or(pause, |_| pause.min(AWAY))
    }

    /// Waits for something to happen. False when it is time to stop.
    async fn wait(&mut self, pause: Duration, shutdown: &CancellationToken) -> bool {
        let mut until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = self.control.nudge.notified() => return true,
                () = tokio::time::sleep_until(until) => return true,
                event = next(&mut self.listener) => match event {
                    Some(RuntimeEvent { kind: EventKind::Gone, .. }) => {
                        self.looks_left = LOOKS_AFTER_EVENT;
                        return true;
                    }
                    // Mostly the echo of our own actions: one look serves many of them.
                    Some(_) => until = until.min(Instant::now() + LOOK_AGAIN),
                    None => {
                        self.listener = None;
                        // A runtime that ends its stream at once must not keep us spinning.
                        until = until.min(Instant::now() + LOOK_AGAIN);
                    }
                },
                succeeded = self.working.next() => {
                    // What an action lacked, such as the network, is made again by the next look.
                    self.prepared &= succeeded;
                    return true;
                }
            }
        }
    }
}

async fn next(listener: &mut Option<Listener>) -> Option<RuntimeEvent> {
    match listener {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}

fn ends(action: &Action) -> bool {
    match action {
        Action::Adopt(..)
        | Action::Pause(..)
        | Action::Stop(..)
        | Action::Remove(..)
        | Action::Forget(_) => true,
        Action::BringUp(_) | Action::Replace(_) | Action::Restart(..) => false,
    }
}

fn degraded(error: &RuntimeError) -> Health {
    let code = match error {
        RuntimeError::Refused(_) => code::RUNTIME_REFUSED,
        RuntimeError::Missing | RuntimeError::Unavailable(_) => code::RUNTIME_DOWN,
    };
    Health::degraded(code, error.to_string())
}

/// The gravest first: what keeps everybody from starting, then what keeps some, then what is odd.
fn health(plan: &Plan, listed: usize, barred: Option<&String>, range: impl ToString) -> Health {
    if let Some(words) = barred {
        return Health::degraded(code::RUNTIME_REFUSED, words);
    }
    if plan.out_of_range > 0 {
        let message = format!(
            "{} instances have addresses outside of {}, which is sandbox.subnet now: those that run go on, and none can be started. `thon instances recreate GROUP/USER` gives each another address and keeps its files",
            plan.out_of_range,
            range.to_string()
        );
        return Health::degraded(code::RUNTIME_OTHER_RANGE, message);
    }
    if plan.unknown.is_empty() {
        return Health::Ok;
    }
    let names = plan.unknown.iter().take(UNKNOWN_NAMED_MAX);
    let names: Vec<&str> = names.map(|id| id.get(..12).unwrap_or(id)).collect();
    let message = format!(
        "{} of {listed} containers of this appliance belong to no instance and are left alone: {} (`docker inspect` shows one, `docker rm -f` removes it)",
        plan.unknown.len(),
        names.join(", ")
    );
    Health::degraded(code::RUNTIME_UNKNOWN_CONTAINER, message)
}

impl Control {
    /// What was not put in force is, and after a failure something is written, to see whether it can
    /// be.
    async fn mend_store(&self) -> Result<(), Error> {
        if self.store.trouble().is_some() || self.publisher.is_behind() {
            self.blocking(|store| Ok(store.try_again()?)).await?;
        }
        Ok(())
    }

    fn report_store_fault(&self, error: &Error) {
        if self.store.trouble().is_none() {
            let health = Health::degraded(code::STORE_FAILED, error.to_string());
            self.report("store", health);
        }
    }

    fn report_look(&self, plan: &Plan, containers: &[Container], barred: Option<&String>) {
        let subnet = self.settings.subnet;
        self.report("runtime", health(plan, containers.len(), barred, subnet));
        let unknown: HashSet<&String> = plan.unknown.iter().collect();
        let strangers = containers.iter().filter(|one| unknown.contains(&one.id));
        *self.strangers.lock() = strangers.filter_map(address).collect();
    }

    /// Writes down what a look found and puts it in force.
    async fn note_seen(&self, seen: Vec<(Instance, Observed)>) -> Result<(), Error> {
        if seen.is_empty() {
            return Ok(());
        }
        self.note(move |tx| {
            for (instance, observed) in &seen {
                record::put_seen(tx, instance, observed)?;
            }
            Ok(())
        })
        .await
    }
}

fn address(container: &Container) -> Option<Ipv4Addr> {
    match container.endpoint?.ip() {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}
