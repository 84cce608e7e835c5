//! The gateway: backends, models, slots, who waits, and the limits in force.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::GroupName;
use crate::domain::quota::Limits;
use crate::domain::set_limits::SetLimits;

/// What is known by looking, as the composition root gathers it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GatewayView {
    pub backends: Vec<BackendView>,
    pub models: Vec<ModelView>,
    /// Tokens that running requests may still take.
    pub reserved_tokens: u64,
    /// How evenly active users share the slots' time: 1 is evenly, 1/n is one of n alone. `null` while
    /// nobody is active.
    pub jain_index: Option<f64>,
}

/// A server of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendView {
    pub url: String,
    pub state: BackendState,
    /// Words, when something is wrong.
    pub reason: Option<String>,
    /// When `state` began.
    pub since: Timestamp,
    pub models: Vec<String>,
    /// Requests that it has.
    pub running: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    Up,
    /// It answers, and loads a model.
    Loading,
    Down,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelView {
    pub name: String,
    pub slots_busy: u32,
    pub slots_total: u32,
    pub queued: u32,
    /// How long one more request would wait, as far as that is known.
    pub eta_ms: Option<u64>,
}

/// One page: those who run first, then those who wait, by model and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueList {
    pub queue: Vec<QueuedView>,
    pub total: usize,
    pub page: usize,
    pub page_size: usize,
}

/// A request that has a slot or waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedView {
    pub model: String,
    pub group: GroupName,
    /// The user's name, or the id of a group's own key.
    pub user: String,
    /// `null`: it has a slot. 1 is next.
    pub place: Option<u32>,
    /// In the queue, or, with a slot, in it.
    pub for_ms: u64,
    /// `null`: not known, or it has a slot.
    pub eta_ms: Option<u64>,
}

/// The limits: what is in force is the configuration's, overlaid by what was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsView {
    pub in_force: Limits,
    pub configured: Limits,
    pub set: SetLimits,
}

/// One page, ordered by limit and by who.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceList {
    pub balances: Vec<BalanceView>,
    pub total: usize,
    pub page: usize,
    pub page_size: usize,
}

/// How a limit stands for those who draw on one balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceView {
    /// As `TokenLimit::id` says it: scope, seconds of the window, models.
    pub limit: String,
    /// `group/user`, a group, or `event`.
    pub who: String,
    /// Where every model has a balance of its own.
    pub model: Option<String>,
    pub tokens: u64,
    /// Without what is reserved for requests that run. Below zero is a debt.
    pub remaining: i64,
    /// Until it is full again, with nobody using it.
    pub full_in_ms: u64,
}
