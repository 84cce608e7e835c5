//! A key as requests see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::domain::key::Key;
use crate::routing::Table;

/// Requests read it and say that it was used; `control` writes that down now and then.
#[derive(Debug)]
pub struct LiveKey {
    pub key: Key,
    /// Participants of its group, for limits that grow with them.
    pub members: u32,
    /// Seconds since 1970; 0 is never. The same for as long as the key lives.
    last_used_s: Arc<AtomicI64>,
    /// Cancelled when the key ends: its requests end then.
    pub revoked: CancellationToken,
}

impl LiveKey {
    pub fn new(key: Key, members: u32) -> Arc<Self> {
        let last_used_s = key.last_used_at.map_or(0, Timestamp::as_second);
        Arc::new(Self {
            key,
            members,
            last_used_s: Arc::new(AtomicI64::new(last_used_s)),
            revoked: CancellationToken::new(),
        })
    }

    /// What it is now, with what only memory knows of it. Requests go on, unless this ends them.
    pub(super) fn succeeded_by(self: &Arc<Self>, key: Key, members: u32) -> Arc<Self> {
        if self.key == key && self.members == members {
            return Arc::clone(self);
        }
        let revoked = if self.ends_with(&key) {
            CancellationToken::new()
        } else {
            self.revoked.clone()
        };
        Arc::new(Self {
            key,
            members,
            last_used_s: Arc::clone(&self.last_used_s),
            revoked,
        })
    }

    /// Is this the end of requests that were let in by what it was before? It is when it was disabled,
    /// belongs to somebody else, or the secret of before is worth nothing any more.
    fn ends_with(&self, next: &Key) -> bool {
        let was = &self.key;
        let secret_is_gone = was.secrets.iter().any(|old| {
            let stays = next.secrets.iter().any(|new| new.hash == old.hash);
            old.until.is_none() && !stays
        });
        next.disabled || next.owner != was.owner || next.holder != was.holder || secret_is_gone
    }

    pub fn touch(&self, now: Timestamp) {
        self.last_used_s
            .fetch_max(now.as_second(), Ordering::Relaxed);
    }

    pub fn last_used_at(&self) -> Option<Timestamp> {
        match self.last_used_s.load(Ordering::Relaxed) {
            0 => None,
            seconds => Timestamp::from_second(seconds).ok(),
        }
    }
}

/// Ends the requests of keys that `next` no longer has as they were.
pub(super) fn cut(previous: &Table, next: &Table) {
    if Arc::ptr_eq(previous.keys(), next.keys()) {
        return;
    }
    for (id, old) in previous.keys().iter() {
        let goes_on = next
            .key(id)
            .is_some_and(|new| Arc::ptr_eq(old, new) || !old.ends_with(&new.key));
        if !goes_on {
            old.revoked.cancel();
        }
    }
}
