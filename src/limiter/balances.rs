//! Balances as they are kept while the appliance is not running.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::model::ModelName;
use crate::limiter::learnt::Habits;
use crate::limiter::standing::Account;

/// Those that are not full. What refilled while nobody was looking is reckoned from `at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balances {
    pub at: Timestamp,
    pub balances: Vec<Balance>,
    #[serde(default)]
    pub models: Vec<(ModelName, Habits)>,
}

impl Default for Balances {
    fn default() -> Self {
        Self {
            at: Timestamp::UNIX_EPOCH,
            balances: Vec::new(),
            models: Vec::new(),
        }
    }
}

/// In thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub limit: String,
    pub account: Account,
    pub model: Option<ModelName>,
    pub members: u32,
    /// Without what was given out to requests on their way: an appliance that was killed has charged
    /// what it reserved for them.
    pub left: i64,
    pub capacity: u64,
    pub window_s: NonZeroU32,
}

impl Balances {
    /// Microseconds from then to `now`. A clock that was set back gives nothing and takes nothing.
    pub fn age_us(&self, now: Timestamp) -> u64 {
        let passed = now
            .as_microsecond()
            .saturating_sub(self.at.as_microsecond());
        u64::try_from(passed).unwrap_or_default()
    }
}
