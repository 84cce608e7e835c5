//! A key as requests see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::domain::key::Key;

/// Requests read it and say that it was used; `control` writes that down now and then.
#[derive(Debug)]
pub struct LiveKey {
    pub key: Key,
    /// Participants of its group, for limits that grow with them.
    pub members: u32,
    /// Seconds since 1970; 0 is never.
    last_used_s: AtomicI64,
    /// Cancelled when the key ends: its requests end then.
    pub revoked: CancellationToken,
}

impl LiveKey {
    pub fn new(key: Key, members: u32) -> Arc<Self> {
        let last_used_s = key.last_used_at.map_or(0, Timestamp::as_second);
        Arc::new(Self {
            key,
            members,
            last_used_s: AtomicI64::new(last_used_s),
            revoked: CancellationToken::new(),
        })
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
