//! How a use case fails, in product words.

use crate::domain::id::UserRef;
use crate::runtime::RuntimeError;
use crate::store::StoreError;

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

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Failed(words) => Self::Unavailable(format!(
                "the records cannot be read or written ({words}): is the disk full? Nothing was lost"
            )),
            StoreError::Unreadable { .. } => Self::Conflict(error.to_string()),
            StoreError::Refused(_) | StoreError::InUse(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<RuntimeError> for Error {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Missing => Self::Missing {
                what: "container",
                name: "for this instance".to_owned(),
            },
            RuntimeError::Refused(words) => Self::Conflict(words),
            RuntimeError::Unavailable(_) => Self::Unavailable(error.to_string()),
        }
    }
}
