//! Usage: requests tell it by a bounded queue, here it is written down, summed and asked for.

mod period;
mod question;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use period::Period;
pub use question::{Answer, By, Question, Row, Wanted};

use crate::auth::token;
use crate::control::health::code;
use crate::control::{Control, Error};
use crate::domain::health::Health;
use crate::domain::usage::UsageEntry;
use crate::store::{Batch, Change, StoreError};
use crate::telemetry::usage::{self, UsageSink, UsageSource};

/// Requests that may wait to be written down: at 600 bytes each, ten megabytes.
const QUEUE_MAX: usize = 16_384;

/// A transaction has so many, or what came within a second.
const BATCH_MAX: usize = 500;
const BATCH_WITHIN: Duration = Duration::from_secs(1);

/// How soon a transaction that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Old rows of each kind that go with one transaction; when none are left, that is looked for again
/// later.
const PRUNED_MAX: usize = 1_000;
const PRUNE_EVERY: Duration = Duration::from_mins(10);

/// With nobody asking anything, how soon there is a look at what else is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long a loss is told in health after the last one.
const LOSS_TOLD: Duration = Duration::from_mins(1);

/// Requests that one look reads at most.
const LOOKED_AT_MAX: usize = 100_000;

/// The queue and who reads it.
pub(super) struct Desk {
    sink: UsageSink,
    /// Until somebody keeps the usage.
    source: Mutex<Option<UsageSource>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (sink, source) = usage::usage(QUEUE_MAX);
        Self {
            sink,
            source: Mutex::new(Some(source)),
        }
    }
}

impl Control {
    /// Where the gateway tells what requests took.
    pub fn usage_sink(&self) -> UsageSink {
        self.usage.sink.clone()
    }

    /// Requests since the start that are in the sums and in no ledger.
    pub fn usage_lost(&self) -> u64 {
        self.usage.sink.lost()
    }

    /// Sums of a period.
    pub async fn usage(&self, question: Question) -> Result<Answer, Error> {
        let (kept, now) = (self.settings.gateway.kept, Timestamp::now());
        self.reading(move |view| question.answer(view, kept, now))
            .await
    }

    /// The newest requests, newest first.
    pub async fn requests(&self, count: usize, wanted: Wanted) -> Result<Vec<UsageEntry>, Error> {
        self.reading(move |view| {
            let is_wanted = |entry: &UsageEntry| wanted.has_request(entry);
            Ok(view.requests(count, LOOKED_AT_MAX, is_wanted)?)
        })
        .await
    }

    /// Writes down what requests tell, until the end and what came before it.
    pub async fn keep_usage(&self, shutdown: CancellationToken) {
        let Some(mut source) = self.usage.source.lock().take() else {
            return;
        };
        let mut keeper = Keeper::new(self);
        loop {
            tokio::select! {
                () = keeper.turn(&mut source) => {}
                () = shutdown.cancelled() => break,
            }
            keeper.write(&source).await;
            keeper.report(source.lost());
            self.catch_up_limits().await;
        }
        keeper.finish(source).await;
    }

    /// Writes what changes no intent and what no route is derived from.
    pub(super) async fn write_down<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Change) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        let writing = tokio::task::spawn_blocking(move || Ok(store.note(work)?));
        let written = writing.await;
        self.report_store();
        written.map_err(|error| Error::Internal(format!("a note ended early: {error}")))?
    }
}

/// Writes one batch after the other.
struct Keeper<'a> {
    control: &'a Control,
    batch: Batch,
    /// When old rows are looked for again.
    prune_at: Instant,
    /// The last attempt failed. Until another one works, the batch is as it is: the attempt may have come
    /// through.
    is_held_back: bool,
    /// How many were lost, and when that was seen.
    lost: (u64, Instant),
}

impl<'a> Keeper<'a> {
    fn new(control: &'a Control) -> Self {
        let now = Instant::now();
        Self {
            control,
            batch: Batch::default(),
            prune_at: now,
            is_held_back: false,
            lost: (0, now),
        }
    }

    /// Collects until there is something to do, and does it.
    async fn turn(&mut self, source: &mut UsageSource) {
        if self.is_held_back {
            tokio::time::sleep(AGAIN_AFTER).await;
        } else {
            let coming = source.next(&mut self.batch.entries, BATCH_MAX, BATCH_WITHIN);
            // Nobody comes: there may be old rows, or a loss that is long ago.
            drop(tokio::time::timeout(LOOK_EVERY, coming).await);
        }
    }

    async fn write(&mut self, source: &UsageSource) {
        if !self.is_held_back {
            self.batch.tallies = source.take_overflow();
            self.batch.id = format!("{:016x}", token::id_bits());
        }
        let (kept, now) = (self.control.settings.gateway.kept, Timestamp::now());
        let is_due = Instant::now() >= self.prune_at;
        if self.batch.is_empty() && !is_due {
            return;
        }
        let batch = Arc::new(std::mem::take(&mut self.batch));
        let written = Arc::clone(&batch);
        let work = move |tx: &Change| {
            if !written.is_empty() {
                tx.add_usage(&written, now)?;
            }
            if is_due {
                return tx.prune_usage(kept, now, PRUNED_MAX);
            }
            Ok(true)
        };
        match self.control.write_down(work).await {
            Ok(is_more) => {
                self.is_held_back = false;
                if !is_more {
                    self.prune_at = Instant::now() + PRUNE_EVERY;
                }
            }
            Err(error) => {
                tracing::error!("the usage was not written: {error}");
                self.is_held_back = true;
                self.batch = Arc::into_inner(batch).unwrap_or_default();
            }
        }
    }

    /// What came before the end, as long as it can be written.
    async fn finish(mut self, mut source: UsageSource) {
        source.close();
        loop {
            if !self.is_held_back {
                let rest = &mut self.batch.entries;
                source.next(rest, BATCH_MAX, Duration::ZERO).await;
            }
            self.write(&source).await;
            if self.is_held_back {
                let requests = self.batch.entries.len();
                tracing::error!(requests, "their usage and that of all later ones is lost");
                return;
            }
            if source.is_empty() {
                return;
            }
        }
    }

    fn report(&mut self, lost: u64) {
        let (before, seen_at) = self.lost;
        if lost > before {
            self.lost = (lost, Instant::now());
            let words = format!(
                "{lost} requests since the start came faster than they could be written down: sums have them, the list of requests does not"
            );
            let health = Health::degraded(code::USAGE_LOST, words);
            self.control.report("usage", health);
        } else if lost > 0 && seen_at.elapsed() >= LOSS_TOLD {
            self.control.report("usage", Health::Ok);
        }
    }
}
