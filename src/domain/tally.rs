//! Tallies: what several requests to the language model took together.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::quota::Tokens;
use crate::domain::usage::{Outcome, Settled, UsageEntry};

/// What stands in a model's place where there are too many to tell apart.
pub const OTHERS: &str = "(others)";

/// Sums; nothing is divided before it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    pub requests: u64,
    pub done: u64,
    pub left: u64,
    pub failed: u64,
    pub refused: u64,
    /// Requests whose tokens were guessed from the number of bytes.
    pub estimated: u64,
    pub tokens: Tokens,
    pub queue_ms: u64,
    pub duration_ms: u64,
    /// Requests with a first token, and the sum of their waits for it.
    pub firsts: u64,
    pub first_ms: u64,
}

impl Tally {
    pub fn of(entry: &UsageEntry) -> Self {
        let is = |outcome| u64::from(entry.outcome == outcome);
        Self {
            requests: 1,
            done: is(Outcome::Done),
            left: is(Outcome::Left),
            failed: is(Outcome::Failed),
            refused: is(Outcome::Refused),
            estimated: u64::from(entry.settled == Settled::Estimated),
            tokens: entry.tokens,
            queue_ms: entry.queue_ms,
            duration_ms: entry.duration_ms,
            firsts: u64::from(entry.first_ms.is_some()),
            first_ms: entry.first_ms.unwrap_or_default(),
        }
    }

    pub fn add(&mut self, more: &Self) {
        let sums = [
            (&mut self.requests, more.requests),
            (&mut self.done, more.done),
            (&mut self.left, more.left),
            (&mut self.failed, more.failed),
            (&mut self.refused, more.refused),
            (&mut self.estimated, more.estimated),
            (&mut self.tokens.input, more.tokens.input),
            (&mut self.tokens.cached, more.tokens.cached),
            (&mut self.tokens.output, more.tokens.output),
            (&mut self.queue_ms, more.queue_ms),
            (&mut self.duration_ms, more.duration_ms),
            (&mut self.firsts, more.firsts),
            (&mut self.first_ms, more.first_ms),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Which span of time a tally is of: minutes or days since 1970, by UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    Minute,
    Day,
}

impl Span {
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Day => 86_400,
        }
    }

    /// The number of the span that a moment is in. A clock before 1970 counts as 1970.
    pub fn number(self, at: Timestamp) -> u32 {
        let number = at.as_second().max(0) / i64::from(self.seconds());
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    pub fn start(self, number: u32) -> Timestamp {
        let second = i64::from(number) * i64::from(self.seconds());
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }
}

/// Whose requests of which minute to which model a tally is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// As [`Span::Minute`] counts.
    pub minute: u32,
    /// `group/user`, or the group alone.
    pub owner: String,
    pub model: String,
}

impl Place {
    pub fn of(entry: &UsageEntry) -> Self {
        let user = entry.user.as_ref().map(ToString::to_string);
        Self {
            minute: Span::Minute.number(entry.at),
            owner: user.unwrap_or_else(|| entry.group.to_string()),
            model: entry.model.to_string(),
        }
    }

    /// As [`Span::Day`] counts.
    pub fn day(&self) -> u32 {
        self.minute / (Span::Day.seconds() / Span::Minute.seconds())
    }
}

/// How long usage is kept, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub requests_days: u32,
    pub minutes_days: u32,
    /// Sums of whole days.
    pub days_days: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            requests_days: 7,
            minutes_days: 14,
            days_days: 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_in_the_span_that_begins_before_it() {
        let at: Timestamp = "2026-11-22T23:59:59Z".parse().unwrap();
        let minute = Span::Minute.number(at);
        let place = Place {
            minute,
            owner: String::new(),
            model: String::new(),
        };
        assert_eq!(place.day(), Span::Day.number(at));
        assert_eq!(
            Span::Minute.start(minute).to_string(),
            "2026-11-22T23:59:00Z"
        );
        assert_eq!(
            Span::Day.start(place.day()).to_string(),
            "2026-11-22T00:00:00Z"
        );
        assert_eq!(Span::Day.number(Timestamp::MIN), 0);
        assert_eq!(Span::Minute.number(Timestamp::MAX), 4_223_370_120);
        assert_eq!(Span::Day.start(u32::MAX), Timestamp::MAX);
    }
}
