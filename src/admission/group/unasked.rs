//! Warns of resources of a group that no other resource refers to, so that no node will request them.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    layered::{Layered, LayeredSet},
    step::{Step, Told},
};
use crate::{
    admission::{Severity, codes},
    resource::{Reference, Resource, ResourceName, ResourceType},
    snapshot::{differences, of_type},
};

/// The references of a group, counted, and the resources that none of them names.
#[derive(Clone, Debug, Default)]
pub(super) struct Unasked {
    /// The number of resources, of the group and the shared group, that make each reference.
    asked: Layered<Reference, usize>,
    unasked: LayeredSet<(ResourceType, ResourceName)>,
}

/// The types whose resources name a type; empty if nodes request it on their own, or by names that no resource has.
const fn asked_by(resource_type: &ResourceType) -> &'static [ResourceType] {
    match resource_type {
        ResourceType::Endpoint => &[ResourceType::Cluster],
        ResourceType::Route => &[ResourceType::Listener],
        ResourceType::Secret | ResourceType::ExtensionConfig => &[ResourceType::Listener, ResourceType::Cluster],
        ResourceType::Cluster
        | ResourceType::Listener
        | ResourceType::LbEndpoint
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::Runtime
        | ResourceType::Other(_) => &[],
    }
}

// === impl Unasked ===

impl Unasked {
    pub(super) fn advance(&mut self, step: &Step<'_>, told: &mut Told<'_>) {
        let own = differences(step.own_before, step.own);
        let shared = differences(step.shared_before, step.shared);
        let mut turned = BTreeSet::new();
        for (_, old, new) in own.chain(shared) {
            for reference in references(new) {
                let count = self.asked.get(reference).copied().unwrap_or_default();
                self.asked.insert(reference.clone(), count + 1);
                turned.insert(reference.clone());
            }
            for reference in references(old) {
                self.drop(reference);
                turned.insert(reference.clone());
            }
        }
        for (resource_type, old, new) in differences(step.own_before, step.own) {
            if asked_by(resource_type).is_empty() {
                continue;
            }
            if let Some(old) = old {
                self.unasked.remove(&(resource_type.clone(), old.name.clone()));
            }
            if let Some(new) = new {
                self.judge(resource_type, new);
            }
        }
        for reference in &turned {
            if let Some(named) = of_type(step.own, &reference.resource_type).get(reference.name.as_str()) {
                self.judge(&reference.resource_type, named);
            }
        }
        self.tell(step, told);
    }

    pub(super) fn settle(&mut self) {
        self.asked.settle();
        self.unasked.settle();
    }

    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_settled() && self.unasked.is_settled()
    }

    fn drop(&mut self, reference: &Reference) {
        match self.asked.get(reference).copied() {
            Some(count) if count > 1 => self.asked.insert(reference.clone(), count - 1),
            Some(_) => drop(self.asked.remove(reference)),
            None => {}
        }
    }

    fn judge(&mut self, resource_type: &ResourceType, resource: &Resource) {
        let is_asked = resource.known_as().any(|name| {
            self.asked.contains(&Reference {
                resource_type: resource_type.clone(),
                name: name.clone(),
            })
        });
        let key = (resource_type.clone(), resource.name.clone());
        if is_asked {
            self.unasked.remove(&key);
        } else {
            self.unasked.insert(key, ());
        }
    }

    /// Warns of unreferenced resources, unless the group has none that could refer to them: then the bootstrap does.
    fn tell(&self, step: &Step<'_>, told: &mut Told<'_>) {
        for ((resource_type, name), ()) in self.unasked.iter() {
            let mut could_ask = asked_by(resource_type)
                .iter()
                .filter(|kind| !of_type(step.own, kind).is_empty());
            let Some(kind) = could_ask.next_back() else {
                continue;
            };
            if told.is_full(Severity::Warning) {
                told.findings.leave_out(Severity::Warning);
                continue;
            }
            let message = format!(
                "no {kind} of the group asks for it: it is sent only to nodes whose bootstrap does, or to nobody"
            );
            let about = (resource_type, Some(name));
            told.add(Severity::Warning, codes::UNASKED, about, None, message);
        }
    }
}

/// The references of a resource to types that are requested by name.
fn references(resource: Option<&Arc<Resource>>) -> impl Iterator<Item = &Reference> {
    let references = resource.into_iter().flat_map(|resource| resource.references.iter());
    references.filter(|reference| !asked_by(&reference.resource_type).is_empty())
}
