//! Groups and their participants.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, UserRef};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub name: GroupName,
    pub title: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: UserRef,
    pub email: Option<String>,
    #[serde(default)]
    pub source: Source,
    pub created_at: Timestamp,
}

/// Who named a participant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A command: takes part until a command says otherwise.
    Command,
    /// The settings file: takes part as long as the file names them.
    #[default]
    File,
}
