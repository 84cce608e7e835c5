//! `Bodies`: room in memory for what clients send, shared by all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What is counted together.
const UNIT_BYTES: usize = 1 << 10;

/// How long a request may wait for room.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Bodies(Arc<Semaphore>);

/// Held as long as the body is.
#[derive(Debug)]
pub(super) struct Held(OwnedSemaphorePermit);

impl Bodies {
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(units(bytes_max))))
    }

    /// Room for so many bytes. `None`: there is none, and nobody left in time.
    pub(super) async fn room(&self, bytes: usize) -> Option<Held> {
        let units = u32::try_from(units(bytes)).ok()?;
        let room = Arc::clone(&self.0).acquire_many_owned(units);
        Some(Held(timeout(ROOM_TIMEOUT, room).await.ok()?.ok()?))
    }
}

impl Held {
    /// It became no larger than this: the rest is for others.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(units(bytes));
        drop(self.0.split(surplus));
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_of_all_clients_together_have_a_bound() {
        let bodies = Bodies::new(10 << 20);
        let mut first = bodies.room(8 << 20).await.unwrap();
        assert!(bodies.room(8 << 20).await.is_none());
        first.shrink(1 << 20);
        let second = bodies.room(8 << 20).await.unwrap();
        assert!(bodies.room(2 << 20).await.is_none());
        drop((first, second));
        assert!(bodies.room(10 << 20).await.is_some());
    }
}
