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

    fn bits(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap()
    }

    /// At least 0, below 1.
    pub(super) fn part(&mut self) -> f64 {
        f64::from(self.bits()) / 2_f64.powi(32)
    }

    pub(super) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.part()
    }

    /// With a mean of one.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.part()).ln()
    }

    pub(super) fn below(&mut self, most: u32) -> u32 {
        let scaled = u64::from(self.bits()) * u64::from(most);
        u32::try_from(scaled >> 32).unwrap()
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.bits()).unwrap() % length
    }
}
