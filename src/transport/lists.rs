//! Lists of names, shared by streams: a map from fingerprints to lists. A list without a stream is dropped.

use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::{DashMap, Entry};

use crate::protocol::{Lists, Names, NamesFingerprint, WeakNames};

/// Known lists before the first sweep of unused ones.
const SWEEP_FROM: usize = 256;

/// The lists of all streams.
#[derive(Debug)]
pub(super) struct SharedLists {
    lists: DashMap<NamesFingerprint, WeakNames>,
    /// The number of known lists at which the next sweep runs.
    sweep_at: AtomicUsize,
}

// === impl SharedLists ===

impl SharedLists {
    /// Forgets unused lists, each time that the number of lists has doubled.
    fn sweep(&self) {
        let sweep_at = self.sweep_at.load(Ordering::Relaxed);
        if self.lists.len() < sweep_at {
            return;
        }
        // Only one thread sweeps.
        let next = self
            .sweep_at
            .compare_exchange(sweep_at, usize::MAX, Ordering::AcqRel, Ordering::Relaxed);
        if next.is_ok() {
            self.lists.retain(|_, names| !names.is_gone());
            self.lists.shrink_to_fit();
            self.sweep_at
                .store(SWEEP_FROM.max(2 * self.lists.len()), Ordering::Release);
        }
    }
}

impl Default for SharedLists {
    fn default() -> Self {
        Self {
            lists: DashMap::new(),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
        }
    }
}

impl Lists for SharedLists {
    fn find(&self, fingerprint: NamesFingerprint) -> Option<Names> {
        self.lists.get(&fingerprint)?.upgrade()
    }

    fn share(&self, names: Names) -> Names {
        let Some(fingerprint) = names.fingerprint() else {
            return names;
        };
        self.sweep();
        match self.lists.entry(fingerprint) {
            Entry::Vacant(entry) => {
                entry.insert(names.downgrade());
                names
            }
            Entry::Occupied(mut entry) => entry.get().upgrade().unwrap_or_else(|| {
                entry.insert(names.downgrade());
                names
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: usize) -> Names {
        vec![name.to_string().into()].into()
    }

    #[test]
    fn equal_lists_become_one() {
        let lists = SharedLists::default();
        let one = lists.share(names(1));
        assert!(lists.share(names(1)).is_same(&one));
        let fingerprint = one.fingerprint().unwrap();
        assert!(lists.find(fingerprint).is_some_and(|found| found.is_same(&one)));
        assert!(!lists.share(names(2)).is_same(&one));
        drop(one);
        assert!(lists.find(fingerprint).is_none());
    }

    #[test]
    fn lists_that_nobody_asks_for_are_forgotten() {
        let lists = SharedLists::default();
        let kept = lists.share(names(0));
        for number in 1..10 * SWEEP_FROM {
            lists.share(names(number));
        }
        let left = lists.lists.len();
        assert!(left <= SWEEP_FROM, "{left} of unused lists are left");
        assert!(lists.share(names(0)).is_same(&kept));
    }
}
