//! Limits: how much of the language model whom, and in which time.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::domain::model::ModelName;

/// Who draws on a balance together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Each participant has a balance.
    User,
    /// Each group has one.
    Group,
    /// There is one.
    Event,
}

/// Which models draw on a balance together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Models {
    /// All of them on one.
    Together,
    /// Every model has a balance of its own.
    Each,
    /// This one has; others do not count.
    One(ModelName),
}

/// How certain a limit is before a request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Reserves as much as the answer may have.
    Strict,
    /// Reserves what such an answer usually has, and more while it grows.
    #[default]
    Balanced,
    /// Reserves nothing: counts only.
    Observe,
}

/// A continuous bucket: it holds `tokens` and is full again after `window_s` seconds without use. A
/// balance may be below zero; debts are never forgiven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLimit {
    pub scope: Scope,
    pub models: Models,
    pub tokens: u64,
    pub window_s: NonZeroU32,
    #[serde(default)]
    pub mode: Mode,
    /// A group's limit is this many tokens for each of its participants.
    #[serde(default)]
    pub per_member: bool,
}

impl TokenLimit {
    /// What keeps a balance when limits change: two limits with the same answer share it.
    pub fn id(&self) -> String {
        let scope = match self.scope {
            Scope::User => "user",
            Scope::Group => "group",
            Scope::Event => "event",
        };
        let models = match &self.models {
            Models::Together => "*",
            Models::Each => "each",
            Models::One(name) => name.as_str(),
        };
        format!("{scope}/{}/{models}", self.window_s)
    }
}

/// What a token of each kind counts, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    pub input: u32,
    /// Of a prompt that the model remembered.
    pub cached: u32,
    pub output: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            input: 1_000,
            cached: 100,
            output: 1_000,
        }
    }
}

/// All limits that are in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub tokens: Vec<TokenLimit>,
    pub weights: Weights,
    /// Of each user, for all models together.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Of each user at the same time; others wait.
    pub concurrency: Option<NonZeroU32>,
    /// Of everybody together at the same time, below what the model itself can do.
    pub model_concurrency: BTreeMap<ModelName, NonZeroU32>,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the prompt, without those that the model remembered.
    pub input: u64,
    pub cached: u64,
    pub output: u64,
}

impl Tokens {
    pub fn total(&self) -> u64 {
        self.input
            .saturating_add(self.cached)
            .saturating_add(self.output)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Balanced => "balanced",
            Self::Observe => "observe",
        })
    }
}
