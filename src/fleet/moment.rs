//! Moments, by both clocks: one is set by people and servers of time and may jump, the other only goes on.

use std::time::{Instant, SystemTime};

/// One moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For people. A clock that is set an hour on must neither forget a node nor call it late.
    pub wall: SystemTime,
    /// For the length of time since.
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
