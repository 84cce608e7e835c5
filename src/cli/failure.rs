//! Why a command did not do what it was asked, and what its user can do.

use std::fmt;

use super::Exit;
use crate::config::Problems;
use crate::server::Trouble;

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// One complaint a line.
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self {
            exit: Exit::BadConfiguration,
            message: problems.to_string(),
            hint: Some(CORRECT.to_owned()),
        }
    }
}

const CORRECT: &str = "correct what is named; `thon config validate` checks the settings without starting anything. A file that cannot be read takes `sudo`, or another account's rights";

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::new(trouble.to_string()).hint(trouble.hint())
    }
}

/// A failure that went through `server` and came back keeps its exit code and hint.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        let error = match error.downcast::<Trouble>() {
            Ok(trouble) => return trouble.into(),
            Err(error) => error,
        };
        match error.downcast::<Problems>() {
            Ok(problems) => problems.into(),
            Err(error) => Self::new(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_way_through_the_server() {
        let failure = Failure::new("no").hint("yes");
        let back = Failure::from(anyhow::Error::from(failure).context("starting"));
        assert_eq!(back.hint.as_deref(), Some("yes"));
        let back = Failure::from(anyhow::Error::from(Problems::default()));
        assert_eq!(back.exit, Exit::BadConfiguration);
        let back = Failure::from(anyhow::anyhow!("disk full").context("opening the store"));
        assert_eq!(back.message, "opening the store: disk full");
    }
}
