//! Now, by two clocks: one that only runs forward, and the wall's for what outlives the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use tokio::time::Instant;

/// When something began, and how long that is ago.
#[derive(Clone, Debug)]
pub struct Moment {
    pub wall: Timestamp,
    clock: Clock,
}

#[derive(Clone, Debug)]
enum Clock {
    Runs(Instant),
    Held(Arc<AtomicU64>),
}

impl Moment {
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            clock: Clock::Runs(Instant::now()),
        }
    }

    /// For simulations: so many microseconds have passed as the hand says, which somebody else moves.
    pub fn held(wall: Timestamp, hand_us: Arc<AtomicU64>) -> Self {
        Self {
            wall,
            clock: Clock::Held(hand_us),
        }
    }

    pub fn passed_us(&self) -> u64 {
        match &self.clock {
            Clock::Runs(begun) => u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            Clock::Held(hand) => hand.load(Ordering::Relaxed),
        }
    }
}
