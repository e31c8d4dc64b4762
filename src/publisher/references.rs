//! Which references of a group lead nowhere, kept from publish to publish, so that to know them costs what changed.

use std::{collections::BTreeSet, sync::Arc};

use super::change::differences;
use crate::{
    admission::{Finding, dangling_references, is_missed},
    resource::{Reference, Resource, ResourceName, ResourceType},
    revision::Types,
};

/// The type and the name of a resource that refers to others.
type Referrer = (ResourceType, ResourceName);

/// The references of one state of a group over one state of the shared group.
#[derive(Debug, Default)]
pub(super) struct References {
    own: Types,
    shared: Types,
    /// Who makes each reference whose absence is told.
    referrers: BTreeSet<(Reference, Referrer)>,
    /// Those that lead to nothing, in the order in which they are told.
    dangling: BTreeSet<(Referrer, Reference)>,
}

// === impl References ===

impl References {
    /// Comes from the state it knows to another, and gives the warnings of that. Costs what the two do not share.
    pub(super) fn advance(&mut self, own: &Types, shared: Option<&Types>) -> Vec<Finding> {
        let own_before = std::mem::replace(&mut self.own, own.clone());
        let shared_before = std::mem::replace(&mut self.shared, shared.cloned().unwrap_or_default());
        let mut turned = names_of_differences(&shared_before, &self.shared);
        turned.extend(names_of_differences(&own_before, &self.own));
        let was_there = |reference: &Reference| is_there(&own_before, reference) || is_there(&shared_before, reference);
        turned.retain(|reference| was_there(reference) != self.is_there(reference));

        for (resource_type, old, new) in differences(&own_before, own) {
            for (referrer, reference) in pairs(resource_type, old) {
                self.dangling.remove(&(referrer.clone(), reference.clone()));
                self.referrers.remove(&(reference, referrer));
            }
            for (referrer, reference) in pairs(resource_type, new) {
                if !self.is_there(&reference) {
                    self.dangling.insert((referrer.clone(), reference.clone()));
                }
                self.referrers.insert((reference, referrer));
            }
        }
        for reference in &turned {
            self.turn(reference);
        }
        let dangling = self.dangling.iter();
        dangling_references(dangling.map(|((resource_type, name), reference)| (resource_type, name, reference)))
    }

    /// What is referred to came or went.
    fn turn(&mut self, reference: &Reference) {
        let is_there = self.is_there(reference);
        let first = (ResourceType::Cluster, ResourceName::from(""));
        let all = self.referrers.range((reference.clone(), first)..);
        for (_, referrer) in all.take_while(|(referred, _)| referred == reference) {
            let dangling = (referrer.clone(), reference.clone());
            if is_there {
                self.dangling.remove(&dangling);
            } else {
                self.dangling.insert(dangling);
            }
        }
    }

    fn is_there(&self, reference: &Reference) -> bool {
        is_there(&self.own, reference) || is_there(&self.shared, reference)
    }
}

fn is_there(types: &Types, reference: &Reference) -> bool {
    let resources = types.get(&reference.resource_type);
    resources.is_some_and(|resources| resources.get(reference.name.as_str()).is_some())
}

/// The references of a resource whose absence is told.
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

/// Everything that what differs answers to, or did, as far as somebody could miss it.
fn names_of_differences(from: &Types, to: &Types) -> BTreeSet<Reference> {
    let differences = differences(from, to).filter(|(resource_type, ..)| is_missed(resource_type));
    let names = differences.flat_map(|(resource_type, old, new)| {
        let known_as = [old, new]
            .into_iter()
            .flatten()
            .flat_map(|resource| resource.known_as());
        known_as.map(|name| Reference {
            resource_type: resource_type.clone(),
            name: name.clone(),
        })
    });
    names.collect()
}
