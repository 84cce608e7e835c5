//! How a limit stands: what it holds, what is left, when it is full again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, UserRef};
use crate::domain::model::ModelName;
use crate::domain::quota::Mode;
use crate::limiter::rules::Counts;

/// Who draws on a balance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Account {
    Event,
    Group(GroupName),
    User(UserRef),
    /// The keys of a group itself, which limits of participants take for one participant.
    GroupKey(GroupName),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => f.write_str("the event"),
            Self::Group(group) | Self::GroupKey(group) => write!(f, "group {group}"),
            Self::User(user) => write!(f, "user {}", user.user),
        }
    }
}

/// In tokens, or in requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub limit_id: Arc<str>,
    pub counts: Counts,
    pub account: Account,
    /// Of one model only.
    pub model: Option<ModelName>,
    pub mode: Mode,
    pub capacity: u64,
    /// Less than nothing is a debt.
    pub remaining: i64,
    pub full_after: Duration,
    pub window: Duration,
}
