//! Warns of references of a group to resources that do not exist.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    layered::LayeredSet,
    step::{Step, Told},
};
use crate::{
    admission::{Severity, is_missed, reference},
    resource::{Reference, Resource, ResourceName, ResourceType},
    snapshot::{Types, differences},
};

/// The type and the name of a resource that refers to others.
type Referrer = (ResourceType, ResourceName);

/// The references of one state of a group, over one state of the shared group.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    /// The resources that make each reference, by the reference; only types that can be missed.
    referrers: LayeredSet<(Reference, Referrer)>,
    /// References to missing resources, in the order of their warnings.
    dangling: LayeredSet<(Referrer, Reference)>,
}

// === impl References ===

impl References {
    /// Advances to the next state and warns of its dangling references.
    pub(super) fn advance(&mut self, step: &Step<'_>, told: &mut Told<'_>) {
        let mut turned = names_that_came_or_went(step.shared_before, step.shared);
        turned.extend(names_that_came_or_went(step.own_before, step.own));
        let was_there =
            |reference: &Reference| is_there(step.own_before, reference) || is_there(step.shared_before, reference);
        turned.retain(|reference| was_there(reference) != step.is_there(reference));

        for (resource_type, old, new) in differences(step.own_before, step.own) {
            for (referrer, reference) in pairs(resource_type, old) {
                self.dangling.remove(&(referrer.clone(), reference.clone()));
                self.referrers.remove(&(reference, referrer));
            }
            for (referrer, reference) in pairs(resource_type, new) {
                if !step.is_there(&reference) {
                    self.dangling.insert((referrer.clone(), reference.clone()), ());
                }
                self.referrers.insert((reference, referrer), ());
            }
        }
        for reference in &turned {
            self.turn(step, reference);
        }
        for (((resource_type, name), reference), ()) in self.dangling.iter() {
            if told.is_full(Severity::Warning) {
                told.findings.leave_out(Severity::Warning);
            } else if let Some(mut finding) = reference::dangling(resource_type, name, reference) {
                told.places.locate(resource_type, name, reference, &mut finding);
                told.findings.push(finding);
            }
        }
    }

    pub(super) fn settle(&mut self) {
        self.referrers.settle();
        self.dangling.settle();
    }

    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.referrers.is_settled() && self.dangling.is_settled()
    }

    /// Updates `dangling` for a reference whose target appeared or vanished.
    fn turn(&mut self, step: &Step<'_>, reference: &Reference) {
        let is_there = step.is_there(reference);
        let first = (ResourceType::Cluster, ResourceName::from(""));
        let first = (reference.clone(), first);
        let all = self.referrers.iter_from(&first).map(|(pair, ())| pair);
        for (_, referrer) in all.take_while(|(referred, _)| referred == reference) {
            let dangling = (referrer.clone(), reference.clone());
            if is_there {
                self.dangling.remove(&dangling);
            } else {
                self.dangling.insert(dangling, ());
            }
        }
    }
}

// === impl Step ===

impl Step<'_> {
    fn is_there(&self, reference: &Reference) -> bool {
        is_there(self.own, reference) || is_there(self.shared, reference)
    }
}

fn is_there(types: &Types, reference: &Reference) -> bool {
    let resources = types.get(&reference.resource_type);
    resources.is_some_and(|resources| resources.get(reference.name.as_str()).is_some())
}

/// The references of a resource to types that can be missed.
fn pairs<'a>(
    resource_type: &'a ResourceType,
    resource: Option<&'a Arc<Resource>>,
) -> impl Iterator<Item = (Referrer, Reference)> + 'a {
    resource.into_iter().flat_map(move |resource| {
        let told = resource
            .references
            .iter()
            .filter(|reference| is_missed(&reference.resource_type));
        told.map(|reference| ((resource_type.clone(), resource.name.clone()), reference.clone()))
    })
}

/// Names and aliases that a resource gained or lost, for types that can be missed.
fn names_that_came_or_went(from: &Types, to: &Types) -> BTreeSet<Reference> {
    let differences = differences(from, to).filter(|(resource_type, ..)| is_missed(resource_type));
    let names = differences.flat_map(|(resource_type, old, new)| {
        let came_or_went = only_of(old, new).chain(only_of(new, old));
        came_or_went.map(|name| Reference {
            resource_type: resource_type.clone(),
            name: name.clone(),
        })
    });
    names.collect()
}

/// The names and aliases that `one` has and `other` has not.
fn only_of<'a>(
    one: Option<&'a Arc<Resource>>,
    other: Option<&'a Arc<Resource>>,
) -> impl Iterator<Item = &'a ResourceName> {
    let known_as = one.into_iter().flat_map(|resource| resource.known_as());
    known_as.filter(move |name| other.is_none_or(|other| other.known_as().all(|other| other != *name)))
}
