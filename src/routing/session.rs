//! A session as requests see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::id::{SessionId, UserRef};
use crate::domain::session::IDLE_MAX;

/// Requests touch it; `control` writes down once a minute how long it has been idle.
///
/// Its age is measured by a clock that nobody can set: whoever sets the host's clock forward must not
/// sign everybody out, and a clock that is set back must not make a session last for ever.
#[derive(Debug)]
pub struct LiveSession {
    pub id: SessionId,
    pub user: UserRef,
    /// When this process met it.
    met: Instant,
    /// Milliseconds after `met`; negative for what it was idle before.
    last_used_ms: AtomicI64,
    open_sockets: AtomicU32,
    /// Cancelled when the session is revoked: its open sockets end then.
    pub revoked: CancellationToken,
}

impl LiveSession {
    /// `idle` is how long nobody had used it when it was met.
    pub fn new(id: SessionId, user: UserRef, idle: Duration, now: Instant) -> Self {
        Self {
            id,
            user,
            met: now,
            last_used_ms: AtomicI64::new(-milliseconds(idle)),
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

    pub fn has_ended(&self, now: Instant) -> bool {
        self.revoked.is_cancelled() || self.has_idled_out(now)
    }

    pub fn has_idled_out(&self, now: Instant) -> bool {
        !self.is_in_use() && self.idle(now) > IDLE_MAX.unsigned_abs()
    }

    /// How long nobody has used it.
    pub fn idle(&self, now: Instant) -> Duration {
        let ms = self.since_met_ms(now) - self.last_used_ms.load(Ordering::Relaxed);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// The browser was here.
    pub fn touch(&self, now: Instant) {
        let ms = self.since_met_ms(now);
        // Most requests of a busy browser come in the same millisecond as another: a look disturbs
        // nobody, a change takes the memory away from the other processors.
        if self.last_used_ms.load(Ordering::Relaxed) < ms {
            self.last_used_ms.fetch_max(ms, Ordering::Relaxed);
        }
    }

    fn since_met_ms(&self, now: Instant) -> i64 {
        milliseconds(now.saturating_duration_since(self.met))
    }
}

/// At most a thousand years, so that sums of two fit.
fn milliseconds(duration: Duration) -> i64 {
    const MOST: i64 = 1_000 * 366 * 86_400 * 1_000;
    i64::try_from(duration.as_millis()).map_or(MOST, |ms| ms.min(MOST))
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

    const DAY: Duration = IDLE_MAX.unsigned_abs();

    fn session(idle: Duration, now: Instant) -> Arc<LiveSession> {
        let id = "0123456789abcdef".parse().unwrap();
        let user = "red/alice".parse().unwrap();
        Arc::new(LiveSession::new(id, user, idle, now))
    }

    #[test]
    fn a_session_with_an_open_editor_does_not_idle_out_but_can_be_revoked() {
        let start = Instant::now();
        let session = session(Duration::ZERO, start);
        let later = start + DAY + DAY;
        let editor = session.open();
        assert!(!session.has_ended(later));
        drop(editor);
        assert!(session.has_ended(later));
        let editor = session.open();
        session.revoked.cancel();
        assert!(session.has_ended(start));
        drop(editor);
    }

    #[test]
    fn what_it_was_idle_before_counts_until_it_is_used() {
        let start = Instant::now();
        let session = session(Duration::from_secs(86_399), start);
        assert!(!session.has_ended(start));
        assert!(session.has_ended(start + Duration::from_secs(2)));
        session.touch(start + Duration::from_secs(1));
        assert_eq!(
            session.idle(start + Duration::from_secs(3)),
            Duration::from_secs(2)
        );
    }
}
