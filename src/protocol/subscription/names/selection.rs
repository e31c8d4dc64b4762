//! The resources that a list of names selects from a set, computed once for all streams that ask for the list.
//!
//! This is the only lock in `protocol`. Streams share the list; without the lock each stream would make the same
//! selection at the same moment, a thousand times after every publish. The lock is held while one selection is made,
//! and nothing else is locked or awaited meanwhile.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::{
    resource::{Resource, ResourceName},
    snapshot::HeldFingerprint,
};

/// Selections kept per list: streams are at few different sets of resources, and take few different ways between them.
const KEPT: usize = 4;

/// The resources of a set that a list of names selects.
#[derive(Debug, Default)]
pub struct Selection {
    /// The resources, sorted by name, each once.
    pub resources: Vec<Arc<Resource>>,
    /// Names without a resource.
    pub missing: Vec<ResourceName>,
    /// The fingerprint of the resources; `None` where a name is an alias or has no resource.
    pub(super) fingerprint: OnceLock<Option<HeldFingerprint>>,
}

/// The last selections of one list.
#[derive(Debug, Default)]
pub(super) struct Selections(Mutex<Vec<Kept>>);

/// A selection made before: of a whole set (`from` is `None`), or of the changes between two sets.
#[derive(Debug)]
struct Kept {
    from: Option<u64>,
    to: u64,
    selection: Arc<Selection>,
}

// === impl Selections ===

impl Selections {
    /// The selection between two sets, given by their ids. Makes it if it is not kept.
    pub(super) fn get(&self, from: Option<u64>, to: u64, make: impl FnOnce() -> Selection) -> Arc<Selection> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.iter().find(|kept| kept.from == from && kept.to == to) {
            return Arc::clone(&kept.selection);
        }
        let mut selection = make();
        // Two names may select one resource, by its aliases.
        selection.resources.sort_by(|a, b| a.name.cmp(&b.name));
        selection.resources.dedup_by(|a, b| a.name == b.name);
        selection.resources.shrink_to_fit();
        let selection = Arc::new(selection);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Kept {
            from,
            to,
            selection: Arc::clone(&selection),
        });
        selection
    }
}
