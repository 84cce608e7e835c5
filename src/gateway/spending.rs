//! `Spending`: what one request takes. It is settled and told exactly once, when it is dropped, however
//! the request ended.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::Gateway;
use super::asked::Asked;
use super::incoming::Piece;
use super::refusal::Refusal;
use crate::domain::quota::Tokens;
use crate::domain::usage::{Outcome, Settled, UsageEntry};
use crate::limiter::Permit;
use crate::llm::{Assembly, Report, Watch};

/// Text has about four bytes a token; only for an answer of which nobody counted anything.
const BYTES_A_TOKEN: u64 = 4;

/// What reads the answer.
pub(super) enum Reading {
    Nothing,
    Stream(Box<Watch>),
    Whole(Box<Assembly>),
    Told(Box<Report>),
}

pub(super) struct Spending {
    gateway: Arc<Gateway>,
    entry: UsageEntry,
    started: Instant,
    permit: Option<Permit>,
    pub(super) reading: Reading,
}

impl Spending {
    pub(super) fn new(gateway: Arc<Gateway>, asked: &Asked) -> Self {
        let owner = &asked.key.key.owner;
        let entry = UsageEntry {
            at: asked.at,
            request: asked.id.clone(),
            user: owner.user().cloned(),
            group: owner.group().clone(),
            key: asked.key.key.id.clone(),
            model: asked.model.clone(),
            operation: asked.prepared.endpoint.operation().to_owned(),
            tokens: Tokens::default(),
            queue_ms: 0,
            first_ms: None,
            duration_ms: 0,
            status: 0,
            outcome: Outcome::Left,
            settled: Settled::Nothing,
        };
        Self {
            gateway,
            entry,
            started: asked.started,
            permit: None,
            reading: Reading::Nothing,
        }
    }

    pub(super) fn admitted(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    pub(super) fn queued(&mut self, waited: Duration) {
        self.entry.queue_ms += milliseconds(waited);
    }

    pub(super) fn waited(&self) -> Duration {
        Duration::from_millis(self.entry.queue_ms)
    }

    /// The model has it.
    pub(super) fn sent(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.sent();
        }
    }

    /// Nobody got it after all.
    pub(super) fn unsent(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.unsent();
        }
    }

    /// More of the answer was read.
    pub(super) fn progressed(&mut self) {
        let written = self.reading.report().map_or(0, Report::written);
        if self.entry.first_ms.is_none() && written > 0 {
            self.entry.first_ms = Some(milliseconds(self.started.elapsed()));
        }
        if let Some(permit) = &mut self.permit {
            permit.seen(written);
        }
    }

    /// The answer has come to its end.
    pub(super) fn done(&mut self, status: u16) {
        self.entry.status = status;
        self.entry.outcome = Outcome::Done;
    }

    /// The model failed in the middle of it.
    pub(super) fn failed(&mut self) {
        self.entry.status = 200;
        self.entry.outcome = Outcome::Failed;
    }

    /// It was answered by us.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        if let Some(limit) = refusal.limit() {
            self.gateway.metrics.rejected(limit);
        }
        self.entry.status = refusal.status().as_u16();
        self.entry.outcome = match refusal {
            Refusal::Upstream(_) | Refusal::Unavailable => Outcome::Failed,
            _ => Outcome::Refused,
        };
    }

    /// The model refused before it worked, or never had it.
    pub(super) fn refund(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.refund();
        }
    }

    fn settle(&mut self) -> (Tokens, Settled) {
        let Some(permit) = self.permit.take() else {
            return (Tokens::default(), Settled::Nothing);
        };
        let (spent, how) = match self.reading.report() {
            Some(report) => reckoned(report, permit.so_far()),
            None => permit.so_far(),
        };
        if how == Settled::Exact {
            let expected = permit.estimate();
            let expected = expected
                .prompt_tokens
                .saturating_add(expected.output_tokens);
            self.gateway.metrics.estimated(expected, spent.total());
        }
        permit.settle(spent, how);
        (spent, how)
    }
}

/// What the model counted is what it cost. An answer that came to its end and was not counted by
/// anybody has at least so many tokens.
fn reckoned(report: &Report, so_far: (Tokens, Settled)) -> (Tokens, Settled) {
    let (mut spent, how) = so_far;
    match report.counted() {
        _ if how == Settled::Nothing => (spent, how),
        Some(counted) if report.finished => (counted, Settled::Exact),
        // Of several answers, those that were cut have not been counted.
        Some(mut counted) => {
            counted.output = counted.output.max(spent.output);
            (counted, Settled::Observed)
        }
        None if report.finished => {
            spent.output = spent.output.max(report.output_bytes / BYTES_A_TOKEN);
            (spent, Settled::Estimated)
        }
        None => (spent, how),
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        let (tokens, settled) = self.settle();
        self.entry.tokens = tokens;
        self.entry.settled = settled;
        self.entry.duration_ms = milliseconds(self.started.elapsed());
        self.gateway.metrics.ended(&self.entry);
        self.gateway.usage.tell(self.entry.clone());
    }
}

impl Reading {
    /// The next piece of the answer, or its end: what of it goes to a client that reads along.
    pub(super) fn take(&mut self, piece: &Piece) -> Bytes {
        match (self, piece) {
            (Self::Stream(watch), Piece::Data(chunk)) => watch.feed(chunk),
            (Self::Stream(watch), Piece::End) => watch.end(),
            (Self::Whole(assembly), Piece::Data(chunk)) => {
                assembly.feed(chunk);
                Bytes::new()
            }
            (Self::Whole(_) | Self::Nothing | Self::Told(_), _) => Bytes::new(),
        }
    }

    /// Nothing more comes of it.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Stream(watch) => watch.is_over(),
            Self::Whole(assembly) => assembly.is_over(),
            Self::Nothing | Self::Told(_) => true,
        }
    }

    /// `None`: nothing was answered yet.
    pub(super) fn report(&self) -> Option<&Report> {
        match self {
            Self::Nothing => None,
            Self::Stream(watch) => Some(watch.report()),
            Self::Whole(assembly) => Some(assembly.report()),
            Self::Told(report) => Some(report),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
