//! Names that are asked for one by one and do not exist: reported to the client as errors where it is answered (E-1), and to
//! operators in any case, since clients hide it (E-7). Kept by what is looked up, never computed over all names.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    protocol::subscription::Names,
    resource::{Resource, ResourceName, ResourceType},
    snapshot::{Snapshot, TypeResources},
};

/// Missing names that are named to operators.
const SAMPLE: usize = 16;
/// Names that are looked at for them.
const LOOKED_AT: usize = 1024;

/// The names of one type that a client asks for and that do not exist; most clients have none.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Missing(Option<Box<Record>>);

#[derive(Debug, Default)]
struct Record {
    names: BTreeSet<ResourceName>,
    /// How many of them are gone.
    counted: Counted,
    /// Something changed since it was last reported.
    unreported: bool,
}

/// How many names a set of resources does not have. Kept up with every change of the names: a client that edits a list of
/// hundreds of thousands one by one costs one look-up an edit.
#[derive(Debug, Default)]
struct Counted {
    set: Option<Arc<TypeResources>>,
    gone: usize,
}

// === impl Missing ===

impl Missing {
    /// Enters names that were looked up and not found, as far as they are asked for one by one.
    pub(in crate::protocol) fn note<'a>(&mut self, names: impl Iterator<Item = &'a ResourceName>, asked: &Names) {
        for name in names.filter(|name| asked.contains(name)) {
            let record = self.0.get_or_insert_default();
            if record.names.insert(name.clone()) {
                record.counted.gone += usize::from(record.counted.is_gone(name));
                record.unreported = true;
            }
        }
    }

    /// Takes out what the client is sent.
    pub(in crate::protocol) fn note_found<'a>(&mut self, resources: impl Iterator<Item = &'a Resource>) {
        let Some(record) = self.0.as_deref_mut().filter(|record| !record.names.is_empty()) else {
            return;
        };
        for resource in resources {
            resource.known_as().for_each(|name| record.forget(name));
        }
    }

    /// Takes out what the client no longer asks for.
    pub(in crate::protocol) fn note_dropped(&mut self, names: &[ResourceName]) {
        if let Some(record) = &mut self.0 {
            names.iter().for_each(|name| record.forget(name));
        }
    }

    /// How many are missing, and some of them, where that changed. What the goal has is only late.
    pub(in crate::protocol) fn report(
        &mut self,
        kind: &ResourceType,
        goal: &Snapshot,
    ) -> Option<(usize, Vec<ResourceName>)> {
        let record = self.0.as_mut()?;
        if !std::mem::take(&mut record.unreported) {
            return None;
        }
        let names = record.count(goal.get(kind));
        let candidates = record.names.iter().take(LOOKED_AT);
        let sample = candidates.filter(|name| record.counted.is_gone(name));
        let sample = sample.take(SAMPLE).cloned().collect();
        if record.names.is_empty() {
            self.0 = None;
        }
        Some((names, sample))
    }
}

// === impl Record ===

impl Record {
    fn forget(&mut self, name: &ResourceName) {
        if !self.names.remove(name.as_str()) {
            return;
        }
        self.unreported = true;
        self.counted.gone -= usize::from(self.counted.is_gone(name));
    }

    /// How many names are gone from the set; all of them where there is none.
    fn count(&mut self, set: Option<&Arc<TypeResources>>) -> usize {
        let id = |set: &Arc<TypeResources>| set.id();
        if self.counted.set.as_ref().map(id) != set.map(id) {
            self.counted.set = set.cloned();
            self.counted.gone = self.names.iter().filter(|name| self.counted.is_gone(name)).count();
        }
        self.counted.gone
    }
}

// === impl Counted ===

impl Counted {
    fn is_gone(&self, name: &ResourceName) -> bool {
        self.set.as_ref().is_none_or(|set| set.get(name.as_str()).is_none())
    }
}
