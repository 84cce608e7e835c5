//! Keys for the language model: who has which, and new ones.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, KeyId, UserName};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    pub id: KeyId,
    pub group: GroupName,
    /// None: the group's own.
    pub user: Option<UserName>,
    pub holder: KeyHolder,
    /// The only address that a container's key is good from.
    pub address: Option<IpAddr>,
    pub state: KeyState,
    /// None: every model.
    pub models: Vec<String>,
    pub note: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    /// Until when the secret from before the last rotation is good, if it still is.
    pub old_secret_until: Option<Timestamp>,
}

impl KeyView {
    /// `group/user`, or the group.
    pub fn owner(&self) -> String {
        match &self.user {
            Some(user) => format!("{}/{user}", self.group),
            None => self.group.to_string(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyHolder {
    /// Whoever it was shown to.
    Person,
    /// The owner's container.
    Instance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    Active,
    Disabled,
    Expired,
    /// Its owner takes no part, its container is no more, or the settings have no use for keys like it.
    Idle,
}

/// No `Debug`: `key` is a secret, shown in this answer and never again.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewKeyView {
    /// In full, as a program sends it.
    pub key: String,
    #[serde(flatten)]
    pub view: KeyView,
}

/// One page, ordered by owner and age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    pub keys: Vec<KeyView>,
    pub total: usize,
    pub page: usize,
    pub page_size: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreateKeyRequest {
    /// Must be there.
    pub group: Option<GroupName>,
    /// None: for the group, which `gateway.mode` must allow.
    pub user: Option<UserName>,
    /// None: every model.
    pub models: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub note: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RotateKeyRequest {
    /// Seconds for which the secret from before is good: an hour unless told, 0 for none at all.
    pub grace_s: Option<u32>,
}
