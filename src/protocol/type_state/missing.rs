//! Names that are asked for one by one and do not exist: reported to the client as errors where it is answered (E-1), and to
//! operators in any case, since clients hide it (E-7). Kept by what is looked up, never computed over all names.

use std::collections::BTreeSet;

use crate::{
    protocol::subscription::Names,
    resource::{Resource, ResourceName, ResourceType},
    snapshot::Snapshot,
};

/// Missing names that are named to operators.
const SAMPLE: usize = 16;

/// The names of one type that a client asks for and that do not exist; most clients have none.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Missing(Option<Box<Record>>);

#[derive(Debug, Default)]
struct Record {
    names: BTreeSet<ResourceName>,
    /// Something changed since it was last reported.
    unreported: bool,
}

// === impl Missing ===

impl Missing {
    /// Enters names that were looked up and not found, as far as they are asked for one by one.
    pub(in crate::protocol) fn note<'a>(&mut self, names: impl Iterator<Item = &'a ResourceName>, asked: &Names) {
        for name in names.filter(|name| asked.contains(name)) {
            let record = self.0.get_or_insert_default();
            record.unreported |= record.names.insert(name.clone());
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
        let is_gone = |name: &&ResourceName| goal.resource(kind, name.as_str()).is_none();
        let sample: Vec<_> = record.names.iter().filter(is_gone).take(SAMPLE).cloned().collect();
        let names = record.names.iter().filter(is_gone).count();
        if record.names.is_empty() {
            self.0 = None;
        }
        Some((names, sample))
    }
}

// === impl Record ===

impl Record {
    fn forget(&mut self, name: &ResourceName) {
        self.unreported |= self.names.remove(name.as_str());
    }
}
