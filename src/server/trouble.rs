//! What is wrong, by its code: one sentence, and what to do about it.

use serde::Serialize;

/// Ends a start; `thon doctor` finds the same by looking.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message} ({})", entry.code)]
pub struct Trouble {
    pub(super) entry: &'static Entry,
    pub(super) message: String,
    hint: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// The event goes on; somebody should look.
    Warning,
    /// Something that people rely on does not work, or will not after the next start.
    Error,
}

/// A row of the catalogue, which is also the table in `docs/operating.md`.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub code: &'static str,
    pub severity: Severity,
    /// What it means, whatever the case.
    pub meaning: &'static str,
    /// What to do about it, unless the case knows better.
    pub hint: &'static str,
}

impl Trouble {
    pub fn hint(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.entry.hint)
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Entry {
    /// The case at hand, in words.
    pub(super) fn says(&'static self, message: impl Into<String>) -> Trouble {
        Trouble {
            entry: self,
            message: message.into(),
            hint: None,
        }
    }
}
