//! What is known of a server since it was last looked at.

use std::fmt;

use crate::domain::model::ModelName;

/// What llama.cpp has when nobody says otherwise.
const SLOTS_DEFAULT: u32 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub condition: Condition,
    pub models: Vec<Model>,
    /// Answers that it writes at the same time, of each model.
    pub slots: u32,
    /// Models that it holds at the same time; 0 is all it has.
    pub loaded_max: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It was not looked at yet.
    Unknown,
    Ready,
    /// It answers, and has no model to answer with yet.
    Loading,
    /// It cannot be reached, or refuses us; and why.
    Away(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// As the server writes it, and wants to have it written.
    pub id: String,
    pub name: ModelName,
    /// Tokens of a prompt and its answer, if the server says so.
    pub context_tokens: Option<u64>,
}

impl Seen {
    pub(super) fn nothing_yet() -> Self {
        Self::without_models(Condition::Unknown)
    }

    pub(super) fn without_models(condition: Condition) -> Self {
        Self {
            condition,
            models: Vec::new(),
            slots: SLOTS_DEFAULT,
            loaded_max: 0,
        }
    }

    pub fn model(&self, name: &ModelName) -> Option<&Model> {
        self.models.iter().find(|model| model.name == *name)
    }
}

impl Condition {
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Ready => f.write_str("ready"),
            Self::Loading => f.write_str("loading"),
            Self::Away(why) => write!(f, "away: {why}"),
        }
    }
}
