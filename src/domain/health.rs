//! How the appliance is, in words for people and programs.

use serde::{Deserialize, Serialize};

/// One part's health, with a stable code for what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Health {
    Ok,
    /// Something does not work; what runs goes on.
    Degraded {
        code: String,
        message: String,
    },
}

impl Health {
    pub fn degraded(code: &str, message: impl Into<String>) -> Self {
        Self::Degraded {
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}
