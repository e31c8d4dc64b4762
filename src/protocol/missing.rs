//! Names that are asked for one by one and do not exist: told to the client as errors where it is answered (E-1), and to
//! operators in any case, since clients hide it (E-7).

use std::collections::BTreeSet;

use super::{Outcome, Session, type_state::TypeState};
use crate::{
    resource::{Resource, ResourceName},
    snapshot::Snapshot,
};

/// Missing names that are named to operators.
const SAMPLE: usize = 16;

/// The names of one type that a client asks for in vain. Kept by what is said, never computed over all names.
#[derive(Debug, Default)]
pub(super) struct Missing {
    names: BTreeSet<ResourceName>,
    /// Something changed since it was last told.
    untold: bool,
}

// === impl Missing ===

impl Missing {
    fn forget(&mut self, name: &str) {
        self.untold |= self.names.remove(name);
    }
}

impl TypeState {
    /// Enters names that were looked for and not found, as far as they are asked for by name.
    pub(super) fn note_missing<'a>(&mut self, names: impl Iterator<Item = &'a ResourceName>) {
        for name in names.filter(|name| self.subscription.names().contains(name)) {
            let missing = self.missing.get_or_insert_default();
            missing.untold |= missing.names.insert(name.clone());
        }
    }

    /// Takes out what the client is sent.
    pub(super) fn note_found<'a>(&mut self, resources: impl Iterator<Item = &'a Resource>) {
        let Some(missing) = self.missing.as_deref_mut().filter(|missing| !missing.names.is_empty()) else {
            return;
        };
        for resource in resources {
            missing.forget(resource.name.as_str());
            resource.aliases.iter().for_each(|alias| missing.forget(alias.as_str()));
        }
    }

    /// Takes out what the client no longer asks for.
    pub(super) fn note_dropped(&mut self, names: &[ResourceName]) {
        if let Some(missing) = &mut self.missing {
            names.iter().for_each(|name| missing.forget(name.as_str()));
        }
    }

    /// What is asked for in vain, where that changed. What the goal has is only late.
    fn tell_missing(&mut self, goal: &Snapshot) -> Option<Outcome> {
        let missing = self.missing.as_mut()?;
        if !std::mem::take(&mut missing.untold) {
            return None;
        }
        let is_gone = |name: &&ResourceName| goal.resource(&self.kind, name.as_str()).is_none();
        let sample: Vec<_> = missing.names.iter().filter(is_gone).take(SAMPLE).cloned().collect();
        let names = missing.names.iter().filter(is_gone).count();
        if missing.names.is_empty() {
            self.missing = None;
        }
        Some(Outcome::Missing {
            resource_type: self.kind.clone(),
            names,
            sample,
        })
    }
}

impl Session {
    /// Tells operators what changed of the names that are asked for in vain.
    pub(super) fn tell_missing(&mut self, goal: &Snapshot) {
        for state in &mut self.types {
            self.outcomes.extend(state.tell_missing(goal));
        }
    }
}
