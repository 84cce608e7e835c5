//! Keys: who may use the language model. A key is `sk-thon-{id}-{secret}`; the secret is known by its
//! hash only.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, InstanceId, KeyId, UserRef};
use crate::domain::model::ModelName;
use crate::domain::session::TokenHash;

/// What every key begins with.
pub const PREFIX: &str = "sk-thon-";

/// Secrets that are good at the same time: the one from before has a grace period.
pub const SECRETS_MAX: usize = 2;

/// Whose requests they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    User(UserRef),
    /// Everybody in the group together.
    Group(GroupName),
}

impl Owner {
    pub fn group(&self) -> &GroupName {
        match self {
            Self::User(user) => &user.group,
            Self::Group(group) => group,
        }
    }

    pub fn user(&self) -> Option<&UserRef> {
        match self {
            Self::User(user) => Some(user),
            Self::Group(_) => None,
        }
    }
}

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// Whoever it was shown to.
    Person,
    /// One container: good from its address only, and gone with it.
    Instance {
        instance: InstanceId,
        generation: u64,
        address: IpAddr,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySecret {
    pub hash: TokenHash,
    /// When it ends; `None` for the present one.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub id: KeyId,
    pub owner: Owner,
    pub holder: Holder,
    /// The present one first, at most [`SECRETS_MAX`].
    pub secrets: Vec<KeySecret>,
    /// Empty: every model.
    pub models: Vec<ModelName>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub disabled: bool,
    pub last_used_at: Option<Timestamp>,
    /// What its maker calls it.
    pub note: String,
}
