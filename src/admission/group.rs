//! Checks over all resources of a group: dangling references, resources that no other one refers to, listeners on one
//! address, aggregate clusters in a circle, types too large for one response.
//!
//! [`GroupChecks`] is kept between publishes and advanced to the next state, so that a publish costs only its changes.
//! A full check advances from the empty state.

mod addresses;
mod aggregates;
mod layered;
mod references;
mod size;
mod step;
mod unasked;

use std::{collections::BTreeMap, sync::Arc};

use self::{
    addresses::Addresses,
    aggregates::Aggregates,
    references::References,
    step::{Step, Told},
    unasked::Unasked,
};
use super::{Finding, Limits, Places, finding::Findings};
use crate::{
    resource::{Resource, ResourceType},
    snapshot::{TypeResources, Types},
};

/// The checks of one state of a group, over one state of the shared group.
#[derive(Clone, Debug, Default)]
pub struct GroupChecks {
    own: Types,
    shared: Types,
    references: References,
    unasked: Unasked,
    addresses: Addresses,
    aggregates: Aggregates,
}

// === impl GroupChecks ===

impl GroupChecks {
    /// The checks of another state, and all its findings, errors and warnings. The cost is that of the difference
    /// between the two states. `places` gives the places of resources that were just admitted.
    #[must_use]
    pub fn next(&self, own: &Types, shared: Option<&Types>, places: &Places) -> (Self, Vec<Finding>) {
        let mut next = Self {
            own: own.clone(),
            shared: shared.cloned().unwrap_or_default(),
            ..self.clone()
        };
        let step = Step {
            own_before: &self.own,
            own: &next.own,
            shared_before: &self.shared,
            shared: &next.shared,
        };
        let mut told = Told {
            findings: Findings::new(Limits::default().findings),
            places,
        };
        next.addresses.advance(&step, &mut told);
        next.references.advance(&step, &mut told);
        next.unasked.advance(&step, &mut told);
        next.aggregates.advance(&step, &mut told);
        size::check(&step, &mut told);
        let findings = told.findings.finish().unwrap_or_else(|rejection| rejection.findings);
        (next, findings)
    }

    /// Returns true if these are the checks of these very sets, compared by pointer.
    #[must_use]
    pub fn is_of(&self, own: &Types, shared: Option<&Types>) -> bool {
        let is_shared = match shared {
            Some(shared) => are_one(&self.shared, shared),
            None => self.shared.is_empty(),
        };
        is_shared && are_one(&self.own, own)
    }

    /// Merges the edits into the shared base, once the state before is dropped. Without it each state would keep all
    /// its differences from the first one.
    pub fn settle(&mut self) {
        self.addresses.settle();
        self.references.settle();
        self.unasked.settle();
        self.aggregates.settle();
    }

    /// Nothing is left of the states before.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        self.addresses.is_settled()
            && self.references.is_settled()
            && self.unasked.is_settled()
            && self.aggregates.is_settled()
    }
}

/// Returns true if both hold the same sets, compared by pointer.
fn are_one(one: &Types, other: &Types) -> bool {
    let pairs = one.iter().zip(other);
    one.len() == other.len()
        && pairs
            .into_iter()
            .all(|(one, other)| one.0 == other.0 && Arc::ptr_eq(one.1, other.1))
}

/// The findings of a group, checked as a whole.
#[must_use]
pub fn check_group(
    resources: &BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    shared: Option<&Types>,
    places: &Places,
) -> Vec<Finding> {
    let types = resources.iter().filter_map(|(resource_type, resources)| {
        // Admission makes names unique.
        let set = TypeResources::new(resources.clone()).ok()?;
        Some((resource_type.clone(), Arc::new(set)))
    });
    GroupChecks::default().next(&types.collect(), shared, places).1
}
