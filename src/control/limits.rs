//! Limits: the configuration's, overlaid by what was set while the appliance ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::control::{Control, Error};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::quota::Limits;
use crate::domain::set_limits::SetLimits;
use crate::store::{Store, StoreError};

/// The key of the only record.
const KEY: &str = "limits";

/// How often balances are written down: a crash forgets at most so much of what was used.
const BALANCES_EVERY: Duration = Duration::from_secs(5);

/// The limits and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsStatus {
    pub in_force: Limits,
    pub configured: Limits,
    pub set: SetLimits,
}

/// What is in force, for whoever applies it.
#[derive(Debug)]
pub(super) struct Board {
    configured: Limits,
    in_force: watch::Sender<Limits>,
    set: Mutex<SetLimits>,
    /// Held by the one who writes, so that what is in force is what was written last.
    writing: Mutex<()>,
    /// A change failed, and nobody could look what became of it.
    is_behind: AtomicBool,
}

impl Board {
    pub(super) fn new(store: &Store, configured: Limits) -> Result<Arc<Self>, StoreError> {
        let set = read(store)?;
        if !set.is_empty() {
            tracing::info!("limits that were set by a command are in force");
        }
        Ok(Arc::new(Self {
            in_force: watch::Sender::new(set.over(&configured)),
            configured,
            set: Mutex::new(set),
            writing: Mutex::new(()),
            is_behind: AtomicBool::new(false),
        }))
    }

    fn change(
        &self,
        store: &Store,
        entry: &AuditEntry,
        to: impl FnOnce(SetLimits) -> SetLimits,
    ) -> Result<(), Error> {
        let _alone = self.writing.lock();
        let changed = store.change(entry, |tx| {
            let next = to(tx.get(KEY)?.unwrap_or_default());
            if let Some(words) = next.problem() {
                return Err(Error::Invalid(words));
            }
            if next.is_empty() {
                tx.remove::<SetLimits>(KEY)?;
            } else {
                tx.put(KEY, &next)?;
            }
            Ok(())
        });
        // Also after a failure: what became of a change is seen only by looking.
        self.catch_up(store);
        changed
    }

    /// Only called by whoever holds `writing`.
    fn catch_up(&self, store: &Store) {
        let found = read(store);
        self.is_behind.store(found.is_err(), Ordering::Release);
        if let Ok(set) = found {
            self.put_in_force(set);
        }
    }

    fn put_in_force(&self, set: SetLimits) {
        let next = set.over(&self.configured);
        *self.set.lock() = set;
        self.in_force.send_if_modified(|limits| {
            let is_news = *limits != next;
            *limits = next;
            is_news
        });
    }
}

fn read(store: &Store) -> Result<SetLimits, StoreError> {
    match store.view()?.get::<SetLimits>(KEY) {
        // Health says so; what the configuration says is better than nothing.
        Err(StoreError::Unreadable { .. }) => Ok(SetLimits::default()),
        set => Ok(set?.unwrap_or_default()),
    }
}

impl Control {
    /// The limits in force, now and whenever they change.
    pub fn limits(&self) -> watch::Receiver<Limits> {
        self.limits.in_force.subscribe()
    }

    pub fn limits_status(&self) -> LimitsStatus {
        let set = self.limits.set.lock().clone();
        LimitsStatus {
            in_force: set.over(&self.limits.configured),
            configured: self.limits.configured.clone(),
            set,
        }
    }

    /// Overlays the configuration's limits; what is not said stays as it is. In force at once, and after
    /// every restart until it is reset.
    pub async fn set_limits(&self, set: SetLimits, actor: Actor) -> Result<LimitsStatus, Error> {
        if set.is_empty() {
            return Err(Error::Invalid("no limit is named".to_owned()));
        }
        let target = serde_json::to_string(&set).unwrap_or_default();
        let entry = AuditEntry::done(Timestamp::now(), actor, "limits.set", target);
        self.change_limits(entry, |before| set.then(before)).await
    }

    /// What the configuration says is in force again.
    pub async fn reset_limits(&self, actor: Actor) -> Result<LimitsStatus, Error> {
        let entry = AuditEntry::done(Timestamp::now(), actor, "limits.reset", "all");
        self.change_limits(entry, |_| SetLimits::default()).await
    }

    async fn change_limits(
        &self,
        entry: AuditEntry,
        to: impl FnOnce(SetLimits) -> SetLimits + Send + 'static,
    ) -> Result<LimitsStatus, Error> {
        let board = Arc::clone(&self.limits);
        self.blocking(move |store| board.change(store, &entry, to))
            .await?;
        Ok(self.limits_status())
    }

    /// For whoever looks now and then: nothing is to be done unless a change failed.
    pub(super) async fn catch_up_limits(&self) {
        if !self.limits.is_behind.load(Ordering::Acquire) {
            return;
        }
        let (board, store) = (Arc::clone(&self.limits), Arc::clone(&self.store));
        let looking = tokio::task::spawn_blocking(move || {
            let _alone = board.writing.lock();
            board.catch_up(&store);
        });
        if let Err(error) = looking.await {
            tracing::error!("a look at the limits ended early: {error}");
        }
    }

    /// What the limiter wrote down last: its own text.
    pub fn saved_balances(&self) -> Result<Option<String>, Error> {
        Ok(self.store.view()?.balances()?)
    }

    /// Writes the limiter's own text down every few seconds when it has changed, and at the end.
    pub async fn keep_balances(
        &self,
        source: impl Fn() -> String + Send,
        shutdown: CancellationToken,
    ) {
        let mut written = self.saved_balances().ok().flatten();
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(BALANCES_EVERY) => false,
                () = shutdown.cancelled() => true,
            };
            let text = source();
            if written.as_deref() != Some(&text) {
                match self.write_balances(text.clone()).await {
                    Ok(()) => written = Some(text),
                    Err(error) => tracing::error!("the balances were not written: {error}"),
                }
            }
            if is_last {
                return;
            }
        }
    }

    async fn write_balances(&self, text: String) -> Result<(), Error> {
        self.write_down(move |tx| tx.keep_balances(&text)).await
    }
}
