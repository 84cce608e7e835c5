//! Slot time that counts half after a half-life: the morning is forgotten by noon.

use std::time::Duration;

/// A shorter half-life would forget a request while it runs.
const HALF_LIFE_MIN: Duration = Duration::from_secs(1);

/// Half-lives after which amounts are brought back to a scale near one.
const RENEWAL: f64 = 64.0;

/// What was spent so long before the next look is not told apart; beyond it there are no numbers.
const HALF_LIVES_MAX: f64 = 500.0;

/// Instead of shrinking all old amounts all the time, new ones are written larger: an amount is worth
/// `amount / scale(now)`. So the order of two accounts is that of their amounts, whatever the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    half_life_ms: f64,
    since_ms: f64,
}

impl Decay {
    pub(super) fn new(half_life: Duration, now: Duration) -> Self {
        Self {
            half_life_ms: ms(half_life.max(HALF_LIFE_MIN)),
            since_ms: ms(now),
        }
    }

    fn half_lives(self, now: Duration) -> f64 {
        let past = (ms(now) - self.since_ms) / self.half_life_ms;
        past.min(HALF_LIVES_MAX)
    }

    /// How large a millisecond is written that is spent now.
    pub(super) fn scale(self, now: Duration) -> f64 {
        self.half_lives(now).exp2()
    }

    /// One slot's time between two moments, as it is written.
    pub(super) fn spent(self, from: Duration, to: Duration) -> f64 {
        self.half_life_ms / std::f64::consts::LN_2 * (self.scale(to) - self.scale(from)).max(0.0)
    }

    pub(super) fn is_due(self, now: Duration) -> bool {
        self.half_lives(now) > RENEWAL
    }
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Times that are too long to be written are the longest.
pub(super) fn from_ms(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms.max(0.0) / 1_000.0).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_spent_counts_half_after_a_half_life() {
        let decay = Decay::new(s(300), s(1_000));
        let written = decay.spent(s(2_000), s(2_001));
        let worth = |now| written / decay.scale(now);
        assert!((worth(s(2_001)) - 1_000.0).abs() < 2.0);
        assert!((worth(s(2_301)) - 500.0).abs() < 1.0);
        assert!((worth(s(2_601)) - 250.0).abs() < 1.0);
    }

    #[test]
    fn after_any_time_amounts_are_numbers() {
        let decay = Decay::new(s(1), s(0));
        let written = decay.spent(s(0), Duration::MAX);
        assert!(written.is_finite() && decay.is_due(Duration::MAX));
        assert!((written * decay.scale(Duration::MAX).recip()).is_finite());
    }

    #[test]
    fn time_that_runs_backwards_spends_nothing() {
        let decay = Decay::new(s(0), s(10));
        assert!(decay.spent(s(20), s(10)) == 0.0);
    }
}
