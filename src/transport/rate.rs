//! Token buckets: limits on new streams per second and on the requests of a stream (Z-1, Z-2).

use std::time::{Duration, Instant};

/// A limit on the frequency of an event. Short bursts may exceed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events per second in the long run; 0 for no limit.
    pub per_second: u32,
}

/// The state of a [`Rate`].
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// The time at which the bucket is full again: the later, the emptier the bucket is now.
    full_at: Instant,
}

// === impl Rate ===

impl Rate {
    /// The capacity of a bucket, in seconds of its rate: a burst after a quiet time passes.
    const BURST: u32 = 10;

    /// The time after which a token returns; `None` without a limit.
    fn token(self) -> Option<Duration> {
        Duration::from_secs(1).checked_div(self.per_second)
    }
}

impl From<u32> for Rate {
    fn from(per_second: u32) -> Self {
        Self { per_second }
    }
}

// === impl Bucket ===

impl Bucket {
    /// A full bucket.
    pub(super) const fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Returns true if no token is missing.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// The time until there is a token; nothing is taken.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(token) = self.rate.token() else {
            return Ok(());
        };
        let burst = token * self.rate.per_second * Rate::BURST;
        let taken = self.full_at.max(now) + token;
        match taken.saturating_duration_since(now).checked_sub(burst) {
            Some(excess) if !excess.is_zero() => Err(excess),
            Some(_) | None => {
                self.full_at = taken;
                Ok(())
            }
        }
    }

    /// Takes a token for an event that has happened, and returns the time to wait before the next one.
    pub(super) fn spend(&mut self, now: Instant) -> Duration {
        let Some(token) = self.rate.token() else {
            return Duration::ZERO;
        };
        self.full_at = self.full_at.max(now) + token;
        let burst = token * self.rate.per_second * Rate::BURST;
        self.full_at.saturating_duration_since(now).saturating_sub(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 4 };

    #[test]
    fn a_full_bucket_lets_a_burst_through_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        let burst = (0..1000).take_while(|_| bucket.take(start).is_ok()).count();
        assert_eq!(burst, 40);
        assert_eq!(bucket.take(start), Err(Duration::from_millis(250)));
        let later = start + Duration::from_millis(1100);
        let regained = (0..1000).take_while(|_| bucket.take(later).is_ok()).count();
        assert_eq!(regained, 4);
        assert_eq!(bucket.take(later), Err(Duration::from_millis(150)));
    }

    #[test]
    fn what_is_spent_beyond_the_burst_is_waited_for() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        assert!((0..40).all(|_| bucket.spend(start).is_zero()));
        let wait = bucket.spend(start);
        assert_eq!(wait, Duration::from_millis(250));
        assert_eq!(bucket.spend(start + wait), Duration::from_millis(250));
    }

    #[test]
    fn no_more_is_saved_up_than_a_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        assert_eq!(bucket.take(start), Ok(()));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..1000).take_while(|_| bucket.take(later).is_ok()).count(), 40);
    }

    #[test]
    fn zero_is_no_limit() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 0 }, start);
        assert!((0..100_000).all(|_| bucket.take(start).is_ok()));
    }
}
