//! Numbers that look random and are the same in every run.

/// xorshift64*, Vigna 2016.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// At least 0, below 1.
    pub(super) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.part()
    }

    /// With a mean of one.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.part()).ln()
    }

    pub(super) fn below(&mut self, most: u32) -> u32 {
        (self.part() * f64::from(most)) as u32
    }
}
