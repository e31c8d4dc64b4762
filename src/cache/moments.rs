//! When the last publishes began: written by the publisher, read by every stream that was given one, without a lock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::snapshot::Revision;

/// Publishes remembered: some seconds of the busiest publisher. Of earlier ones nothing is said.
const KEPT: usize = 4096;

/// The moments of the last publishes.
#[derive(Debug)]
pub(super) struct Moments {
    /// What moments are told from: the first that was noted.
    origin: OnceLock<Instant>,
    slots: Box<[Slot]>,
}

/// The publish whose revision is here modulo [`KEPT`].
#[derive(Debug, Default)]
struct Slot {
    /// 0 while the moment is written.
    revision: AtomicU64,
    nanos: AtomicU64,
}

// === impl Moments ===

impl Moments {
    /// A publish began at this moment. To be called by one after the other, and before anybody is given its revision.
    pub(super) fn note(&self, revision: Revision, at: Instant) {
        let origin = *self.origin.get_or_init(|| at);
        let nanos = u64::try_from(at.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX);
        let slot = self.slot(revision);
        slot.revision.store(0, Ordering::Release);
        slot.nanos.store(nanos, Ordering::Release);
        slot.revision.store(revision.0, Ordering::Release);
    }

    /// When a publish began; `None` where it is too long ago, or was before the start.
    pub(super) fn of(&self, revision: Revision) -> Option<Instant> {
        let origin = self.origin.get()?;
        let slot = self.slot(revision);
        let before = slot.revision.load(Ordering::Acquire);
        let nanos = slot.nanos.load(Ordering::Acquire);
        // Read twice: a moment that was overwritten meanwhile is another publish's.
        let after = slot.revision.load(Ordering::Acquire);
        let whole = before == revision.0 && after == revision.0;
        whole.then(|| *origin + Duration::from_nanos(nanos))
    }

    fn slot(&self, revision: Revision) -> &Slot {
        let slots = self.slots.len() as u64;
        &self.slots[(revision.0 % slots) as usize]
    }
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            origin: OnceLock::new(),
            slots: (0..KEPT).map(|_| Slot::default()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_publishes_are_remembered_each_at_its_moment() {
        let (moments, start) = (Moments::default(), Instant::now());
        assert_eq!(moments.of(Revision(1)), None);
        let all = KEPT as u64 + 2;
        for revision in 1..=all {
            moments.note(Revision(revision), start + Duration::from_millis(revision));
        }
        assert_eq!(moments.of(Revision(2)), None, "another has its slot");
        for kept in [3, all] {
            assert_eq!(moments.of(Revision(kept)), Some(start + Duration::from_millis(kept)));
        }
        assert_eq!(moments.of(Revision(all + 1)), None);
    }
}
