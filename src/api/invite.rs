//! Invites: who has one, and the links of new ones.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupName, InviteId, UserName, UserRef};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteView {
    pub id: InviteId,
    pub group: GroupName,
    pub user: UserName,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// No `Debug`: `code` and `url` are secrets, shown in this answer and never again.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewInviteView {
    pub id: InviteId,
    pub group: GroupName,
    pub user: UserName,
    pub created_at: Timestamp,
    pub code: String,
    /// What its owner opens.
    pub url: String,
}

impl NewInviteView {
    pub fn owner(&self) -> UserRef {
        UserRef::new(self.group.clone(), self.user.clone())
    }
}

/// One page, ordered by group and user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteList {
    pub invites: Vec<InviteView>,
    pub total: usize,
    pub page: usize,
    pub page_size: usize,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct NewInviteList {
    pub invites: Vec<NewInviteView>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreateInvitesRequest {
    /// Only this group; everybody otherwise.
    pub group: Option<GroupName>,
}
