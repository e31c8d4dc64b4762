//! The start times of the last publishes: the publisher writes them, every stream reads them, without a lock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::snapshot::Revision;

/// The number of publishes kept: some seconds of the busiest publisher.
const KEPT: usize = 4096;

/// The start times of the last publishes.
#[derive(Debug)]
pub(super) struct Moments {
    /// The first recorded time; all others are stored relative to it.
    origin: OnceLock<Instant>,
    slots: Box<[Slot]>,
}

/// The time of a publish whose revision modulo [`KEPT`] is the index of the slot.
#[derive(Debug, Default)]
struct Slot {
    /// 0 while `nanos` is written.
    revision: AtomicU64,
    nanos: AtomicU64,
}

// === impl Moments ===

impl Moments {
    /// Records the start of a publish. Calls are sequential, and each comes before any stream is given the revision.
    pub(super) fn note(&self, revision: Revision, at: Instant) {
        let origin = *self.origin.get_or_init(|| at);
        let nanos = u64::try_from(at.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX);
        let slot = self.slot(revision);
        slot.revision.store(0, Ordering::Release);
        slot.nanos.store(nanos, Ordering::Release);
        slot.revision.store(revision.0, Ordering::Release);
    }

    /// The start of a publish; `None` if the publish is too long ago or was before the start of the process.
    pub(super) fn of(&self, revision: Revision) -> Option<Instant> {
        let origin = self.origin.get()?;
        let slot = self.slot(revision);
        let before = slot.revision.load(Ordering::Acquire);
        let nanos = slot.nanos.load(Ordering::Acquire);
        // The second read detects that the slot was overwritten in between.
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
