//! How a use case fails, in product words.

use crate::domain::id::UserRef;

/// Named by what the caller does next; each door maps it to an answer once.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Conflict(String),
    /// The words are for the log only.
    #[error("{0}")]
    Internal(String),
    #[error("{0}")]
    Invalid(String),
    /// Nothing of that name.
    #[error("there is no {what} {name}")]
    Missing { what: &'static str, name: String },
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
}

impl Error {
    pub fn no_instance(user: &UserRef) -> Self {
        Self::Missing {
            what: "instance of",
            name: user.to_string(),
        }
    }
}
