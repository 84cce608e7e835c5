//! Instances: how they are, and launching them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, InstanceId, UserName, UserRef};
use crate::domain::instance::{Access, Desired, Phase};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    pub id: InstanceId,
    pub group: GroupName,
    pub user: UserName,
    /// What it was last seen doing.
    pub state: Phase,
    /// What it is meant to do.
    pub desired: Desired,
    /// Words, when something is wrong.
    pub reason: Option<String>,
    /// Where its owner opens it.
    pub url: String,
    pub access: Access,
    pub image: String,
    pub generation: u64,
    pub open_sockets: u32,
    pub last_used_at: Option<Timestamp>,
    /// When `state` began.
    pub since: Timestamp,
    pub created_at: Timestamp,
}

impl InstanceView {
    pub fn owner(&self) -> UserRef {
        UserRef::new(self.group.clone(), self.user.clone())
    }
}

/// One page, ordered by group and user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceList {
    pub instances: Vec<InstanceView>,
    pub total: usize,
    pub page: usize,
    pub page_size: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaunchRequest {
    /// Only this group; everybody otherwise.
    pub group: Option<GroupName>,
    /// With nobody configured, a group to try things with.
    pub demo: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchResponse {
    pub started: Vec<UserRef>,
    /// They were meant to run already.
    pub unchanged: Vec<UserRef>,
    /// They could not be launched, and kept nobody else from it.
    #[serde(default)]
    pub left: Vec<LeftView>,
}

/// Somebody who was not launched, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftView {
    pub user: UserRef,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsView {
    pub lines: Vec<String>,
}

/// The password of an instance's editor.
#[derive(Serialize, Deserialize)]
pub struct PasswordView {
    pub password: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupResponse {
    /// Whose instances are removed; their workspaces stay.
    pub removed: Vec<UserRef>,
}
