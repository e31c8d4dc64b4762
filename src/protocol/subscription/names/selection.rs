//! What a list of names stands for in a set of resources, found out once for all streams that ask for the list.
//!
//! The lock is the only one of the protocol's core. It stays because the list is what the streams share: without it each
//! stream would make the same selection at the same moment, a thousand times after every publish. It is held while one
//! selection is made, and nothing else is locked or waited for meanwhile.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::{
    resource::{Resource, ResourceName},
    snapshot::HeldPrint,
};

/// Selections kept per list: streams are at few different sets of resources, and go few different ways between them.
const KEPT: usize = 4;

/// The resources that a list of names stands for in a set.
#[derive(Debug, Default)]
pub struct Selection {
    /// The resources, sorted by name, each once.
    pub resources: Vec<Arc<Resource>>,
    /// Names that no resource answers to.
    pub missing: Vec<ResourceName>,
    /// Of the resources, where these are what the names say, name by name.
    pub(super) print: OnceLock<Option<HeldPrint>>,
}

/// The last selections of one list.
#[derive(Debug, Default)]
pub(super) struct Selections(Mutex<Vec<Kept>>);

/// A selection made before: of everything in a set, or of what changed on the way to it.
#[derive(Debug)]
struct Kept {
    from: Option<u64>,
    to: u64,
    selection: Arc<Selection>,
}

// === impl Selections ===

impl Selections {
    /// The selection from one set to another, by their ids. It is made where it is not kept.
    pub(super) fn get(&self, from: Option<u64>, to: u64, make: impl FnOnce() -> Selection) -> Arc<Selection> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.iter().find(|kept| kept.from == from && kept.to == to) {
            return Arc::clone(&kept.selection);
        }
        let mut selection = make();
        // Two names may be one resource, by its aliases.
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
