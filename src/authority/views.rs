//! Snapshots without the secrets that a node may not have. Nodes of a group with the same secrets share one view, and
//! each view is derived from the one before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{access::SecretReach, node::NodeGroup, resource::ResourceType, snapshot::Snapshot};

/// The number of views kept: one for each group and set of rules over its secrets.
const KEPT: usize = 10_000;

type Key = (NodeGroup, SecretReach);

#[derive(Default)]
pub(super) struct Views {
    kept: Mutex<HashMap<Key, View>>,
}

#[derive(Clone)]
struct View {
    of: Arc<Snapshot>,
    seen: Arc<Snapshot>,
}

// === impl Views ===

impl Views {
    /// The view of a snapshot; a lookup where another stream of the same group and secrets made it already.
    pub(super) fn of(&self, snapshot: Arc<Snapshot>, group: &NodeGroup, secrets: &SecretReach) -> Arc<Snapshot> {
        let key = (group.clone(), secrets.clone());
        let before = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(before) = &before
            && Arc::ptr_eq(&before.of, &snapshot)
        {
            return Arc::clone(&before.seen);
        }
        let previous = before.as_ref().map(|before| (&*before.of, &*before.seen));
        let keep = |name: &str| secrets.contains(name);
        let seen = Arc::new(snapshot.restricted(&ResourceType::Secret, keep, previous));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = kept.get(&key).filter(|other| Arc::ptr_eq(&other.of, &snapshot)) {
            // Another stream made the view meanwhile.
            return Arc::clone(&other.seen);
        }
        if kept.len() >= KEPT && !kept.contains_key(&key) {
            kept.clear();
        }
        let view = View {
            of: snapshot,
            seen: Arc::clone(&seen),
        };
        kept.insert(key, view);
        seen
    }

    pub(super) fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
