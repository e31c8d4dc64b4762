//! Moments by two clocks: the wall clock may be set and jump, the steady clock only advances.

use std::time::{Instant, SystemTime};

/// One moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall clock, for people. It must not decide about time-outs, since it may be set.
    pub wall: SystemTime,
    /// The steady clock, for durations.
    pub steady: Instant,
}

// === impl Moment ===

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }
}
