//! Random moments for requests: at a fixed rate they would fall into step with the publishes and miss their effects.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// xorshift64*: simple, and good enough for arrivals.
pub(crate) struct Random(u64);

impl Random {
    /// A generator with another seed in each run.
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }

    /// A uniform number in (0, 1].
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        (f64::from(u32::try_from(bits).expect("32 bits are left")) + 1.0) / 4_294_967_296.0
    }

    /// The time to the next independent event, at `per_second` events on average.
    pub(crate) fn pause(&mut self, per_second: f64) -> Duration {
        Duration::from_secs_f64(-self.uniform().ln() / per_second)
    }
}
