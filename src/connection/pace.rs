//! Whether the client of a response takes it in: noted where the response is handed out, looked at by one sweep over all that are
//! open. Neither reads a clock: the sweep tells the time, as coarse as it looks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// The time as the last sweep told it: milliseconds since 1970, never 0.
#[derive(Clone, Debug)]
pub struct CoarseClock(Arc<AtomicU64>);

/// One response whose client may or may not make room for it.
#[derive(Debug)]
pub struct Pace {
    clock: CoarseClock,
    /// When something was handed out that the client has not made room for yet; 0 where it has for everything.
    given: AtomicU64,
}

// === impl CoarseClock ===

impl CoarseClock {
    /// A clock that was never told the time.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// Tells the time.
    pub fn set(&self, now: SystemTime) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis.max(1), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for CoarseClock {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Pace ===

impl Pace {
    /// A response of which nothing was handed out.
    #[must_use]
    pub const fn new(clock: CoarseClock) -> Self {
        Self {
            clock,
            given: AtomicU64::new(0),
        }
    }

    /// Something was handed out.
    pub fn note_given(&self) {
        self.given.store(self.clock.get(), Ordering::Relaxed);
    }

    /// The client made room for all of it: more is asked for.
    pub fn note_taken(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    /// Since when the client has not made room for what it was given; `None` where it has.
    #[must_use]
    pub fn unread_since(&self) -> Option<SystemTime> {
        let given = self.given.load(Ordering::Relaxed);
        (given > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(given))
    }

    /// For how long that is, by the clock of the sweep.
    #[must_use]
    pub fn unread_for(&self) -> Option<Duration> {
        let given = self.given.load(Ordering::Relaxed);
        (given > 0).then(|| Duration::from_millis(self.clock.get().saturating_sub(given)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_counts_as_unread_until_it_is_taken() {
        let clock = CoarseClock::new();
        let at = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        clock.set(at(100));
        let pace = Pace::new(clock.clone());
        assert_eq!((pace.unread_since(), pace.unread_for()), (None, None));
        pace.note_given();
        clock.set(at(130));
        assert_eq!(
            (pace.unread_since(), pace.unread_for()),
            (Some(at(100)), Some(Duration::from_secs(30)))
        );
        pace.note_taken();
        assert_eq!(pace.unread_for(), None);
    }
}
