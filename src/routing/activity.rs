//! What is known of the traffic to one instance: when it was last used and what is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use jiff::Timestamp;

/// Written by requests, read by whoever asks how an instance is doing.
#[derive(Debug, Default)]
pub struct Activity {
    last_used_ms: AtomicI64,
    open_sockets: AtomicU32,
    places_taken: AtomicU32,
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

    /// A place among at most `max`, WebSockets included; `None` when all are taken.
    pub fn enter(self: &Arc<Self>, max: u32) -> Option<Place> {
        let taken = self.places_taken.fetch_add(1, Ordering::Relaxed);
        // Given back at once when there is none.
        let place = Place(Arc::clone(self));
        (taken < max).then_some(place)
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

/// One request's place.
#[derive(Debug)]
pub struct Place(Arc<Activity>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places_taken.fetch_sub(1, Ordering::Relaxed);
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
    fn places_are_bounded_and_given_back() {
        let activity = Arc::new(Activity::default());
        let first = activity.enter(2).unwrap();
        let _second = activity.enter(2).unwrap();
        assert!(activity.enter(2).is_none());
        assert!(activity.enter(2).is_none());
        drop(first);
        assert!(activity.enter(2).is_some());
    }

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
