//! A balance that fills continuously and may be overdrawn: integers only, and the time is an argument.

use std::num::NonZeroU32;

/// Thousandths of a token. More of them are as many as this: 4.5·10¹² tokens, and the greatest power
/// of two that a sum of two of them leaves exact in the numbers of Redis.
pub const AMOUNT_MAX: u64 = 1 << 52;

const SECOND_US: u64 = 1_000_000;

/// Holds `capacity` thousandths and is filled from nothing in `window_us`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    capacity: u64,
    window_us: u64,
}

impl Pace {
    pub fn new(capacity: u64, window_s: NonZeroU32) -> Self {
        Self {
            capacity: capacity.min(AMOUNT_MAX),
            window_us: u64::from(window_s.get()) * SECOND_US,
        }
    }

    pub fn capacity(self) -> u64 {
        self.capacity
    }

    pub fn window_us(self) -> u64 {
        self.window_us
    }

    pub fn window_s(self) -> NonZeroU32 {
        u32::try_from(self.window_us / SECOND_US)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN)
    }

    fn grains(self, amount: u64) -> i128 {
        i128::from(amount.min(AMOUNT_MAX)) * i128::from(self.window_us)
    }
}

/// It counts in grains: a thousandth is `window_us` of them, so that a microsecond brings `capacity`
/// grains and nothing is ever rounded, however often it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pace: Pace,
    /// What is left; less than nothing is a debt.
    grains: i128,
    at_us: u64,
}

impl Bucket {
    pub fn full(pace: Pace, now_us: u64) -> Self {
        Self {
            pace,
            grains: pace.grains(pace.capacity),
            at_us: now_us,
        }
    }

    /// One that had `left` thousandths.
    pub fn with(pace: Pace, left: i64, now_us: u64) -> Self {
        let mut bucket = Self::full(pace, now_us);
        let grains = i128::from(left) * i128::from(pace.window_us);
        bucket.grains = bucket.grains.min(grains);
        bucket
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Brings it to the present. A moment that has passed already changes nothing.
    pub fn fill(&mut self, now_us: u64) {
        let passed = now_us.saturating_sub(self.at_us);
        self.at_us = self.at_us.max(now_us);
        let gained = i128::from(passed).saturating_mul(i128::from(self.pace.capacity));
        let full = self.pace.grains(self.pace.capacity);
        self.grains = full.min(self.grains.saturating_add(gained));
    }

    /// Holds another amount from now on. Of a greater one the difference is there at once, as if it had
    /// always been so great; of a smaller one what is left stays as far as there is room.
    pub fn hold(&mut self, pace: Pace, now_us: u64) {
        self.fill(now_us);
        if pace.window_us != self.pace.window_us {
            self.grains = i128::from(self.left()) * i128::from(pace.window_us);
        }
        let more = pace.capacity.saturating_sub(self.pace.capacity);
        self.pace = pace;
        self.give(more);
    }

    /// Takes it away, into debt if need be.
    pub fn take(&mut self, amount: u64) {
        self.grains = self.grains.saturating_sub(self.pace.grains(amount));
    }

    /// Gives back; never more than there is room for.
    pub fn give(&mut self, amount: u64) {
        let full = self.pace.grains(self.pace.capacity);
        let more = self.grains.saturating_add(self.pace.grains(amount));
        self.grains = full.min(more);
    }

    /// So many thousandths are used, and no others.
    pub fn use_only(&mut self, used: i64) {
        let full = self.pace.grains(self.pace.capacity);
        let used = i128::from(used.max(0)) * i128::from(self.pace.window_us);
        self.grains = full.saturating_sub(used);
    }

    pub fn has(&self, amount: u64) -> bool {
        self.grains >= self.pace.grains(amount)
    }

    pub fn is_full(&self) -> bool {
        self.has(self.pace.capacity)
    }

    /// Thousandths, rounded down.
    pub fn left(&self) -> i64 {
        let left = self.grains.div_euclid(i128::from(self.pace.window_us));
        i64::try_from(left).unwrap_or(if left < 0 { i64::MIN } else { i64::MAX })
    }

    /// Microseconds until it has this much, to the last one; `None` if it never will.
    pub fn wait_us(&self, amount: u64) -> Option<u64> {
        let missing = self.pace.grains(amount).saturating_sub(self.grains);
        if missing <= 0 {
            return Some(0);
        }
        if amount > self.pace.capacity || self.pace.capacity == 0 {
            return None;
        }
        let capacity = i128::from(self.pace.capacity);
        let wait = (missing - 1) / capacity + 1;
        Some(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    pub fn full_after_us(&self) -> u64 {
        self.wait_us(self.pace.capacity).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();
    const MINUTE_US: u64 = 60 * SECOND_US;

    fn bucket(capacity: u64) -> Bucket {
        Bucket::full(Pace::new(capacity, MINUTE), 0)
    }

    #[test]
    fn it_fills_by_its_capacity_in_each_window() {
        let mut bucket = bucket(30_000);
        bucket.take(30_000);
        bucket.fill(MINUTE_US / 2);
        assert_eq!(bucket.left(), 15_000);
        bucket.fill(MINUTE_US - 1);
        assert!(!bucket.is_full());
        bucket.fill(MINUTE_US);
        assert!(bucket.is_full());
        bucket.fill(10 * MINUTE_US);
        assert_eq!(bucket.left(), 30_000);
    }

    #[test]
    fn a_debt_is_paid_before_anything_is_left() {
        let mut bucket = bucket(30_000);
        bucket.take(90_000);
        assert_eq!(bucket.left(), -60_000);
        assert_eq!(bucket.wait_us(1_000), Some(2 * MINUTE_US + 2 * SECOND_US));
        assert_eq!(bucket.full_after_us(), 3 * MINUTE_US);
        bucket.fill(2 * MINUTE_US);
        assert_eq!(bucket.left(), 0);
    }

    #[test]
    fn asking_a_million_times_loses_no_thousandth() {
        // 7 million tokens in a minute are no whole number of nanoseconds each.
        let mut bucket = bucket(7_000_000_000);
        bucket.take(7_000_000_000);
        for step in 1..=1_000_000 {
            bucket.fill(step * 59 + step % 7);
        }
        assert_eq!(bucket.at_us, 59_000_001);
        assert_eq!(bucket.left(), 59_000_001 * 7_000_000_000 / 60_000_000);
    }

    #[test]
    fn time_that_runs_backwards_gives_and_takes_nothing() {
        let mut bucket = bucket(60_000);
        bucket.take(60_000);
        bucket.fill(30 * SECOND_US);
        let before = bucket;
        bucket.fill(0);
        assert_eq!(bucket, before);
        bucket.fill(31 * SECOND_US);
        assert_eq!(bucket.left(), 31_000);
    }

    #[test]
    fn a_new_capacity_keeps_what_was_used_or_what_is_left() {
        let mut bucket = bucket(60_000);
        bucket.take(20_000);
        bucket.hold(Pace::new(90_000, MINUTE), 0);
        assert_eq!(bucket.left(), 70_000);
        bucket.hold(Pace::new(75_000, MINUTE), 0);
        assert_eq!(bucket.left(), 70_000);
        bucket.hold(Pace::new(10_000, MINUTE), 0);
        assert_eq!(bucket.left(), 10_000);
        bucket.take(35_000);
        bucket.hold(Pace::new(20_000, MINUTE), 0);
        assert_eq!(bucket.left(), -15_000);
    }

    #[test]
    fn a_full_one_is_full_whatever_it_holds() {
        let mut bucket = bucket(60_000);
        bucket.hold(Pace::new(90_000, MINUTE), 0);
        assert!(bucket.is_full());
        bucket.hold(Pace::new(10_000, MINUTE), 0);
        assert!(bucket.is_full());
    }

    #[test]
    fn a_bucket_of_nothing_has_nothing_and_never_will() {
        let bucket = bucket(0);
        assert_eq!(bucket.wait_us(1), None);
        assert_eq!(bucket.wait_us(0), Some(0));
        assert_eq!(bucket.full_after_us(), 0);
    }

    proptest! {
        #[test]
        fn no_number_is_too_great_for_it(
            capacity: u64, window in 1u32.., takes in proptest::collection::vec(any::<(u64, u64, bool)>(), 0..50)
        ) {
            let window = NonZeroU32::new(window).unwrap();
            let mut bucket = Bucket::full(Pace::new(capacity, window), 0);
            for (amount, now, gives) in takes {
                bucket.fill(now);
                if gives { bucket.give(amount) } else { bucket.take(amount) }
                prop_assert!(bucket.left() <= i64::try_from(AMOUNT_MAX).unwrap());
                if let Some(wait) = bucket.wait_us(amount).filter(|_| now < u64::MAX / 4) {
                    let mut later = bucket;
                    later.fill(later.at_us.saturating_add(wait));
                    prop_assert!(later.has(amount) || later.at_us == u64::MAX);
                }
            }
        }

        #[test]
        fn the_wait_is_exact_to_the_microsecond(
            capacity in 1u64..1_000_000_000, window in 1u32..604_800, taken in 0u64..2_000_000_000, part in 0u64..=1_000
        ) {
            let window = NonZeroU32::new(window).unwrap();
            let mut bucket = Bucket::full(Pace::new(capacity, window), 0);
            bucket.take(taken);
            let amount = capacity * part / 1_000;
            let wait = bucket.wait_us(amount).unwrap();
            let mut early = bucket;
            early.fill(wait.saturating_sub(1));
            bucket.fill(wait);
            prop_assert!(bucket.has(amount));
            prop_assert!(wait == 0 || !early.has(amount));
        }

        #[test]
        fn many_steps_are_one_step(
            capacity in 0u64..1_000_000_000, taken in 0u64..3_000_000_000, steps in proptest::collection::vec(0u64..100_000, 0..100)
        ) {
            let mut stepped = bucket(capacity);
            stepped.take(taken);
            let mut at_once = stepped;
            let mut now = 0;
            for step in steps {
                now += step;
                stepped.fill(now);
            }
            at_once.fill(now);
            prop_assert_eq!(stepped, at_once);
        }
    }
}
