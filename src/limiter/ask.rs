//! What a request asks for, and why it does not get it.

use std::time::Duration;

use crate::domain::id::{GroupName, UserRef};
use crate::domain::model::ModelName;
use crate::limiter::standing::Standing;

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `None`: a key of the group itself.
    pub user: Option<UserRef>,
    pub group: GroupName,
    /// Participants of the group.
    pub members: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub subject: Subject,
    pub model: ModelName,
    /// As [`crate::limiter::Limiter::prompt_tokens`] estimates them.
    pub prompt_tokens: u64,
    /// What they were estimated from, so that the estimate gets better.
    pub prompt_bytes: u64,
    pub images: u32,
    /// What one answer may have at most.
    pub output_cap: u64,
    pub answers: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are not enough tokens yet.
    #[error("{} has {} of {} tokens left, {requested} are asked for", .limit.account, .limit.remaining, .limit.capacity)]
    Tokens {
        limit: Box<Standing>,
        requested: u64,
        retry_after: Duration,
    },
    /// Too many requests in a minute.
    #[error("more than {per_minute} requests in a minute")]
    Requests {
        limit: Box<Standing>,
        per_minute: u32,
        retry_after: Duration,
    },
    /// The prompt alone is more than the limit ever has.
    #[error("{requested} tokens are asked for, and {} never has more than {}", .limit.account, .limit.capacity)]
    TooLarge {
        limit: Box<Standing>,
        requested: u64,
    },
    /// Balances cannot be reached, and nothing goes without them.
    #[error("the balances cannot be reached")]
    Unavailable,
}
