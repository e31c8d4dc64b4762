//! Requested names that do not exist. The client is sent them as errors with its answers (E-1); operators see them in
//! any case, since clients hide such errors (E-7). Each lookup updates the record; nothing is computed over all names.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    protocol::subscription::Names,
    resource::{Resource, ResourceName, ResourceType},
    snapshot::{Snapshot, TypeResources},
};

/// The most missing names that operators are shown.
const SAMPLE: usize = 16;
/// The most names that are looked at to find them.
const LOOKED_AT: usize = 1024;

/// The names of one type that a client asks for and that do not exist; most clients have none.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Missing(Option<Box<Record>>);

#[derive(Debug, Default)]
struct Record {
    names: BTreeSet<ResourceName>,
    /// The number of `names` that the goal lacks.
    counted: Counted,
    /// Something has changed since the last report.
    unreported: bool,
}

/// The number of names that a set of resources lacks. Each change of the names updates it, so a client that edits a
/// list of hundreds of thousands of names one by one costs one lookup per edit.
#[derive(Debug, Default)]
struct Counted {
    set: Option<Arc<TypeResources>>,
    gone: usize,
}

// === impl Missing ===

impl Missing {
    /// Adds names that were looked up and not found, if they are subscribed one by one.
    pub(in crate::protocol) fn note<'a>(&mut self, names: impl Iterator<Item = &'a ResourceName>, asked: &Names) {
        for name in names.filter(|name| asked.contains(name)) {
            let record = self.0.get_or_insert_default();
            if record.names.insert(name.clone()) {
                record.counted.gone += usize::from(record.counted.is_gone(name));
                record.unreported = true;
            }
        }
    }

    /// Removes the names of resources that the client is sent.
    pub(in crate::protocol) fn note_found<'a>(&mut self, resources: impl Iterator<Item = &'a Resource>) {
        let Some(record) = self.0.as_deref_mut().filter(|record| !record.names.is_empty()) else {
            return;
        };
        for resource in resources {
            resource.known_as().for_each(|name| record.forget(name));
        }
    }

    /// Removes names that the client no longer asks for.
    pub(in crate::protocol) fn note_dropped(&mut self, names: &[ResourceName]) {
        if let Some(record) = &mut self.0 {
            names.iter().for_each(|name| record.forget(name));
        }
    }

    /// The number of missing names and some of them, if changed. Names that the goal has are only late.
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

    /// The number of names that the set lacks; all of them if there is no set.
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
