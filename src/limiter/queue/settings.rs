//! What the fair queue is told: its rules, who asks, and why it says no.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::id::GroupName;
use crate::domain::model::ModelName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Of a model whose slots nobody has counted yet. llama.cpp has four unless told otherwise.
    pub slots: u32,
    /// Slots that a user has at the same time, whatever is free.
    pub concurrency: Option<NonZeroU32>,
    /// Slots beyond which a user comes after everybody who has fewer; a quarter of all, at least two,
    /// if `None`.
    pub share: Option<NonZeroU32>,
    /// Slots of everybody together, below what the model has.
    pub model_concurrency: BTreeMap<ModelName, NonZeroU32>,
    /// Greater first among models that wait to be loaded; 0 if not named.
    pub priorities: BTreeMap<ModelName, i32>,
    /// How many shares a group has; one if not named.
    pub weights: BTreeMap<GroupName, NonZeroU32>,
    /// Requests of one user that wait.
    pub waiting_per_user_max: usize,
    /// Requests that wait.
    pub waiting_max: usize,
    /// Models that the backend holds at the same time; `None`: all.
    pub loaded_max: Option<NonZeroU32>,
    /// How long a loaded model goes on while another waits.
    pub model_turn: Duration,
    /// After this time, slot time counts half.
    pub half_life: Duration,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            slots: 4,
            concurrency: None,
            share: None,
            model_concurrency: BTreeMap::new(),
            priorities: BTreeMap::new(),
            weights: BTreeMap::new(),
            waiting_per_user_max: 8,
            waiting_max: 1_000,
            loaded_max: None,
            model_turn: Duration::from_secs(90),
            half_life: Duration::from_mins(5),
        }
    }
}

/// Who asks for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub group: GroupName,
    /// The user's name, or a key's that has no user.
    pub user: String,
    /// What a slot remembers of this conversation: requests with the same number like the same slot.
    /// `None`: all of the user's are alike.
    pub affinity: Option<u64>,
}

/// Why nobody is let into the queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?}: {waiting} wait for {slots} slots")]
pub struct Busy {
    pub kind: BusyKind,
    /// When trying again may help.
    pub eta: Duration,
    pub slots: u32,
    pub waiting: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyKind {
    /// Too many wait.
    Full,
    /// Too many of the same user wait.
    TooManyOfYours,
    /// It takes more slots than there are: trying again does not help.
    TooWide,
}

/// Where a request is in the line, if nobody else came and nobody left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// 1 is next, 0 has its slot.
    pub place: u32,
    pub eta: Duration,
}
