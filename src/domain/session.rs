//! Sessions: a signed-in browser.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::id::{InviteId, SessionId, UserRef};

/// A session ends this long after it was last used.
pub const IDLE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// SHA-256 of a token: what is stored and looked up instead of the token.
pub type TokenHash = [u8; 32];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub user: UserRef,
    pub invite: InviteId,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// What the browser said it is, shortened: helps its owner to tell two of them apart.
    pub agent: String,
}
