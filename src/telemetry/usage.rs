//! How usage leaves a request: by a bounded queue, without waiting, and never uncounted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout_at};

use crate::domain::tally::{OTHERS, Place, Span, Tally};
use crate::domain::usage::UsageEntry;

/// Places that are told apart among what the queue has no room for.
const PLACES_MAX: usize = 4_096;

/// Where requests tell what they took.
#[derive(Clone, Debug)]
pub struct UsageSink {
    sender: Sender<UsageEntry>,
    overflow: Arc<Overflow>,
}

/// Where somebody reads it.
#[derive(Debug)]
pub struct UsageSource {
    receiver: Receiver<UsageEntry>,
    overflow: Arc<Overflow>,
}

/// Sums of requests by place.
pub type Tallies = HashMap<Place, Tally>;

#[derive(Debug, Default)]
struct Overflow {
    tallies: Mutex<Tallies>,
    /// Requests since the start that are in the sums and in no ledger.
    lost: AtomicU64,
}

/// A queue for so many requests.
pub fn usage(capacity: usize) -> (UsageSink, UsageSource) {
    let (sender, receiver) = mpsc::channel(capacity);
    let overflow = Arc::<Overflow>::default();
    let sink = UsageSink {
        sender,
        overflow: Arc::clone(&overflow),
    };
    (sink, UsageSource { receiver, overflow })
}

impl UsageSink {
    /// Never waits. With no room left, only the sums are kept.
    pub fn tell(&self, entry: UsageEntry) {
        match self.sender.try_send(entry) {
            Ok(()) => {}
            Err(TrySendError::Full(entry) | TrySendError::Closed(entry)) => {
                self.overflow.lost.fetch_add(1, Ordering::Relaxed);
                self.overflow.add(&entry);
            }
        }
    }

    pub fn lost(&self) -> u64 {
        self.overflow.lost.load(Ordering::Relaxed)
    }
}

impl UsageSource {
    /// Appends what comes until there are `max`, or until `within` after the first. Says whether
    /// anybody can still tell anything.
    pub async fn next(
        &mut self,
        batch: &mut Vec<UsageEntry>,
        max: usize,
        within: Duration,
    ) -> bool {
        let mut deadline = None;
        while batch.len() < max {
            let left = max - batch.len();
            let coming = self.receiver.recv_many(batch, left);
            let came = match deadline {
                None => coming.await,
                Some(deadline) => match timeout_at(deadline, coming).await {
                    Ok(came) => came,
                    Err(_) => return true,
                },
            };
            if came == 0 {
                return false;
            }
            deadline.get_or_insert_with(|| Instant::now() + within);
        }
        true
    }

    /// Nothing more comes by the queue; what is in it still does.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty() && self.overflow.tallies.lock().is_empty()
    }

    /// What the queue had no room for since this was asked last.
    pub fn take_overflow(&self) -> Tallies {
        std::mem::take(&mut self.overflow.tallies.lock())
    }

    pub fn lost(&self) -> u64 {
        self.overflow.lost.load(Ordering::Relaxed)
    }
}

impl Overflow {
    fn add(&self, entry: &UsageEntry) {
        let mut tallies = self.tallies.lock();
        let mut place = Place::of(entry);
        if tallies.len() >= PLACES_MAX && !tallies.contains_key(&place) {
            // As many as there are groups, and days for which nothing could be written.
            place = Place {
                minute: place.day() * (Span::Day.seconds() / Span::Minute.seconds()),
                owner: entry.group.to_string(),
                model: OTHERS.to_owned(),
            };
        }
        tallies.entry(place).or_default().add(&Tally::of(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::ModelName;
    use crate::domain::quota::Tokens;
    use crate::domain::usage::{Outcome, Settled};
    use jiff::Timestamp;

    fn entry(model: &str) -> UsageEntry {
        UsageEntry {
            at: Timestamp::UNIX_EPOCH,
            request: "r".to_owned(),
            user: "red/alice".parse().ok(),
            group: "red".parse().unwrap(),
            key: "0123456789abcdef".parse().unwrap(),
            model: ModelName::new(model),
            operation: "chat".to_owned(),
            tokens: Tokens {
                input: 1,
                cached: 2,
                output: 3,
            },
            queue_ms: 0,
            first_ms: None,
            duration_ms: 1,
            status: 200,
            outcome: Outcome::Done,
            settled: Settled::Exact,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_full_or_a_moment_old() {
        let (sink, mut source) = usage(16);
        for _ in 0..5 {
            sink.tell(entry("m"));
        }
        let mut batch = Vec::new();
        assert!(source.next(&mut batch, 3, Duration::from_secs(1)).await);
        assert_eq!(batch.len(), 3);
        batch.clear();
        let before = Instant::now();
        assert!(source.next(&mut batch, 3, Duration::from_secs(1)).await);
        assert_eq!((batch.len(), before.elapsed()), (2, Duration::from_secs(1)));
        drop(sink);
        assert!(!source.next(&mut batch, 3, Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn what_has_no_room_is_counted_and_no_sum_is_lost() {
        let (sink, mut source) = usage(8);
        let told = PLACES_MAX + 108;
        for number in 0..told {
            sink.tell(entry(&format!("model-{number}")));
        }
        let mut batch = Vec::new();
        source.close();
        while source.next(&mut batch, usize::MAX, Duration::ZERO).await {}
        assert_eq!(sink.lost(), u64::try_from(told - 8).unwrap());
        sink.tell(entry("late"));
        let overflow = source.take_overflow();
        assert_eq!(overflow.len(), PLACES_MAX + 1, "bounded");
        let mut sum = Tally::default();
        let queued = batch.iter().map(Tally::of);
        for tally in overflow.values().copied().chain(queued) {
            sum.add(&tally);
        }
        let told = u64::try_from(told + 1).unwrap();
        assert_eq!((sum.requests, sum.tokens.output), (told, 3 * told));
        assert!(source.take_overflow().is_empty());
    }
}
