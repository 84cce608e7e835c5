//! A session as requests see it.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::domain::id::{SessionId, UserRef};
use crate::domain::session::IDLE_MAX;

/// Requests move `last_seen`; `control` writes it to the store once a minute.
#[derive(Debug)]
pub struct LiveSession {
    pub id: SessionId,
    pub user: UserRef,
    /// Milliseconds since 1970.
    last_seen_ms: AtomicI64,
    /// Cancelled when the session is revoked: its open sockets end then.
    pub revoked: CancellationToken,
}

impl LiveSession {
    pub fn new(id: SessionId, user: UserRef, last_seen: Timestamp) -> Self {
        Self {
            id,
            user,
            last_seen_ms: AtomicI64::new(last_seen.as_millisecond()),
            revoked: CancellationToken::new(),
        }
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        let idle_ms = now
            .as_millisecond()
            .saturating_sub(self.last_seen_ms.load(Ordering::Relaxed));
        u128::try_from(idle_ms).is_ok_and(|ms| ms > IDLE_MAX.as_millis().unsigned_abs())
            || self.revoked.is_cancelled()
    }

    /// The browser was here. A clock that was set back never shortens a session.
    pub fn touch(&self, now: Timestamp) {
        self.last_seen_ms
            .fetch_max(now.as_millisecond(), Ordering::Relaxed);
    }

    pub fn last_seen(&self) -> Timestamp {
        Timestamp::from_millisecond(self.last_seen_ms.load(Ordering::Relaxed))
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
