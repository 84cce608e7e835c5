//! Usage: what one request to the language model took.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, KeyId, UserRef};
use crate::domain::model::ModelName;
use crate::domain::quota::Tokens;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Answered to its end.
    Done,
    /// The client left before.
    Left,
    /// The model, or the way to it, failed.
    Failed,
    /// Not let through: a limit, a queue, a bad request.
    Refused,
}

/// How the tokens are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settled {
    /// The model said so.
    Exact,
    /// Counted as they passed, for an answer that was cut.
    Observed,
    /// Guessed from the number of bytes.
    Estimated,
    /// Nothing was spent.
    Nothing,
}

/// One request, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEntry {
    /// When it came.
    pub at: Timestamp,
    /// Also in the answer's `x-request-id`.
    pub request: String,
    /// `None`: a key of the group itself.
    pub user: Option<UserRef>,
    pub group: GroupName,
    pub key: KeyId,
    pub model: ModelName,
    /// `chat`, `completions`, `embeddings`, `responses`, `messages`, `rerank`.
    pub operation: String,
    pub tokens: Tokens,
    pub queue_ms: u64,
    /// To the first token; `None` if there was none.
    pub first_ms: Option<u64>,
    pub duration_ms: u64,
    pub status: u16,
    pub outcome: Outcome,
    pub settled: Settled,
}
