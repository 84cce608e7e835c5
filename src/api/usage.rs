//! Usage of the language model: sums by whom, what and when, and single requests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, UserRef};
use crate::domain::tally::Tally;
use crate::domain::usage::UsageEntry;

/// Whose sums are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    #[default]
    User,
    Group,
    Model,
}

/// Sums of each of these spans, instead of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    Minute,
    Day,
}

/// The query of `GET /api/usage`. Without a period: the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageQuery {
    pub by: By,
    pub every: Option<Every>,
    /// `90m`, `24h`, `7d`, or `today`; not together with `from`.
    pub since: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub user: Option<UserRef>,
    pub group: Option<GroupName>,
    pub model: Option<String>,
    /// All rows as `text/csv`.
    pub csv: bool,
    pub page: Option<usize>,
    pub page_size: Option<usize>,
}

/// One page: those who used most first, or in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageList {
    /// As it was counted: whole minutes, and whole days where minutes are not kept any more.
    pub from: Timestamp,
    pub to: Timestamp,
    pub by: By,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Every>,
    pub usage: Vec<UsageRow>,
    /// Of all rows, also of those on other pages.
    pub sum: UsageSum,
    pub total: usize,
    pub page: usize,
    pub page_size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// When the span began, in a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// `group/user`, a group, or a model. By user, a group stands for keys of its own.
    pub name: String,
    #[serde(flatten)]
    pub sum: UsageSum,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSum {
    pub requests: u64,
    pub done: u64,
    /// The client left before the end.
    pub left: u64,
    pub failed: u64,
    pub refused: u64,
    /// Requests whose tokens were guessed.
    pub estimated: u64,
    /// All three together.
    pub tokens: u64,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Means of a request; `first_ms` of those that had a first token.
    pub queue_ms: u64,
    pub first_ms: Option<u64>,
    pub duration_ms: u64,
}

impl From<Tally> for UsageSum {
    fn from(tally: Tally) -> Self {
        let mean = |sum: u64, of: u64| sum.checked_div(of);
        Self {
            requests: tally.requests,
            done: tally.done,
            left: tally.left,
            failed: tally.failed,
            refused: tally.refused,
            estimated: tally.estimated,
            tokens: tally.tokens.total(),
            input_tokens: tally.tokens.input,
            cached_tokens: tally.tokens.cached,
            output_tokens: tally.tokens.output,
            queue_ms: mean(tally.queue_ms, tally.requests).unwrap_or_default(),
            first_ms: mean(tally.first_ms, tally.firsts),
            duration_ms: mean(tally.duration_ms, tally.requests).unwrap_or_default(),
        }
    }
}

/// The query of `GET /api/usage/requests`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestQuery {
    /// 100 unless told.
    pub count: Option<usize>,
    pub user: Option<UserRef>,
    pub group: Option<GroupName>,
    pub model: Option<String>,
}

/// The newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestList {
    pub requests: Vec<UsageEntry>,
}
