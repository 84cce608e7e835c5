//! What is known of the traffic to one instance: when it was last used and what is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use jiff::Timestamp;

/// Written by requests, read by whoever asks how an instance is doing.
#[derive(Debug, Default)]
pub struct Activity {
    last_used_ms: AtomicI64,
    open_sockets: AtomicU32,
}

impl Activity {
    pub fn touch(&self, now: Timestamp) {
        self.last_used_ms
            .fetch_max(now.as_millisecond(), Ordering::Relaxed);
    }

    /// Counts an open WebSocket for as long as the guard lives.
    pub fn open(self: &Arc<Self>) -> OpenSocket {
        self.open_sockets.fetch_add(1, Ordering::Relaxed);
        OpenSocket(Arc::clone(self))
    }

    pub fn open_sockets(&self) -> u32 {
        self.open_sockets.load(Ordering::Relaxed)
    }

    pub fn last_used(&self) -> Option<Timestamp> {
        let ms = self.last_used_ms.load(Ordering::Relaxed);
        (ms > 0)
            .then(|| Timestamp::from_millisecond(ms).ok())
            .flatten()
    }
}

/// One open WebSocket.
#[derive(Debug)]
pub struct OpenSocket(Arc<Activity>);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.open_sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_counted_until_its_guard_goes() {
        let activity = Arc::new(Activity::default());
        let first = activity.open();
        let second = activity.open();
        assert_eq!(activity.open_sockets(), 2);
        drop(first);
        drop(second);
        assert_eq!(activity.open_sockets(), 0);
    }
}
