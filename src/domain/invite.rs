//! Invites: how a participant gets in the first time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{InviteId, UserRef};

/// A link for one participant. Its code is known by its hash only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    pub id: InviteId,
    pub user: UserRef,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// Browsers that one link may have signed in at the same time; the oldest makes room.
pub const SESSIONS_PER_INVITE_MAX: usize = 5;
