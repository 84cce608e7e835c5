//! A session as requests see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

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
    open_sockets: AtomicU32,
    /// Cancelled when the session is revoked: its open sockets end then.
    pub revoked: CancellationToken,
}

impl LiveSession {
    pub fn new(id: SessionId, user: UserRef, last_seen: Timestamp) -> Self {
        Self {
            id,
            user,
            last_seen_ms: AtomicI64::new(last_seen.as_millisecond()),
            open_sockets: AtomicU32::new(0),
            revoked: CancellationToken::new(),
        }
    }

    /// In use for as long as the guard lives: an editor that is open for a day sends no request that
    /// would say so.
    pub fn open(self: &Arc<Self>) -> SessionInUse {
        self.open_sockets.fetch_add(1, Ordering::Relaxed);
        SessionInUse(Arc::clone(self))
    }

    pub fn is_in_use(&self) -> bool {
        self.open_sockets.load(Ordering::Relaxed) > 0
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.revoked.is_cancelled() || (!self.is_in_use() && self.idled_out(now))
    }

    fn idled_out(&self, now: Timestamp) -> bool {
        let idle_ms = now
            .as_millisecond()
            .saturating_sub(self.last_seen_ms.load(Ordering::Relaxed));
        u128::try_from(idle_ms).is_ok_and(|ms| ms > IDLE_MAX.as_millis().unsigned_abs())
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

/// A WebSocket that was opened with a session.
#[derive(Debug)]
pub struct SessionInUse(Arc<LiveSession>);

impl Drop for SessionInUse {
    fn drop(&mut self) {
        self.0.open_sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_with_an_open_editor_does_not_idle_out_but_can_be_revoked() {
        let start = Timestamp::UNIX_EPOCH;
        let id = "0123456789abcdef".parse().unwrap();
        let session = Arc::new(LiveSession::new(id, "red/alice".parse().unwrap(), start));
        let later = start + IDLE_MAX + IDLE_MAX;
        let editor = session.open();
        assert!(!session.has_ended(later));
        drop(editor);
        assert!(session.has_ended(later));
        let editor = session.open();
        session.revoked.cancel();
        assert!(session.has_ended(start));
        drop(editor);
    }
}
