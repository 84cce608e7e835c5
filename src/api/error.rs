//! How every refusal of the admin API looks.

use serde::{Deserialize, Serialize};

/// `error` for programs and people; `detail` repeats its message where older clients look for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEnvelope {
    pub error: ErrorBody,
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A stable word: `not_found`, `conflict`, `invalid`, `unavailable`, …
    pub code: String,
    pub message: String,
    /// The field of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl ErrorEnvelope {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            detail: message.clone(),
            error: ErrorBody {
                code: code.to_owned(),
                message,
                field: None,
            },
        }
    }

    #[must_use]
    pub fn field(mut self, name: &str) -> Self {
        self.error.field = Some(name.to_owned());
        self
    }
}
