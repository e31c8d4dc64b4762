//! Detects clients that do not read their response: the response notes what it hands out, and one sweep looks at all
//! open responses. Neither reads a clock: the sweep sets the time, with the precision of its interval.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// The time that the last sweep set: milliseconds since 1970, never 0.
#[derive(Clone, Debug)]
pub struct CoarseClock(Arc<AtomicU64>);

/// The reading pace of one response's client.
#[derive(Debug)]
pub struct Pace {
    clock: CoarseClock,
    /// Time of the last part that was handed out and not yet read; 0 if the client has read everything.
    given: AtomicU64,
}

// === impl CoarseClock ===

impl CoarseClock {
    /// A clock whose time was never set.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// Sets the time.
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
    /// The pace of a response that has handed out nothing.
    #[must_use]
    pub const fn new(clock: CoarseClock) -> Self {
        Self {
            clock,
            given: AtomicU64::new(0),
        }
    }

    /// Notes that a part was handed out.
    pub fn note_given(&self) {
        self.given.store(self.clock.get(), Ordering::Relaxed);
    }

    /// Notes that the client has read everything: the connection asks for more.
    pub fn note_taken(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    /// The time since which the client has not read what it was given; `None` if it has read everything.
    #[must_use]
    pub fn unread_since(&self) -> Option<SystemTime> {
        let given = self.given.load(Ordering::Relaxed);
        (given > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(given))
    }

    /// The duration since [`Pace::unread_since`], by the clock of the sweep; `None` if the client has read everything.
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
