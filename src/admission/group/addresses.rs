//! Reports listeners of a group that bind one address.

use super::{
    layered::{Layered, LayeredSet},
    step::{Step, Told},
};
use crate::{
    admission::{Severity, checks, checks::Bound, codes, inspect},
    resource::{Resource, ResourceName, ResourceType},
};

/// The listeners of a group by the addresses that they bind.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    bound: Layered<ResourceName, Vec<Bound>>,
    listeners: LayeredSet<(Bound, ResourceName)>,
    /// Addresses that more than one listener binds.
    clashes: LayeredSet<Bound>,
}

const LISTENER: ResourceType = ResourceType::Listener;

// === impl Addresses ===

impl Addresses {
    pub(super) fn advance(&mut self, step: &Step<'_>, told: &mut Told<'_>) {
        for (name, served) in step.turned(&LISTENER) {
            let bound = served.map(|listener| addresses_of(listener));
            self.set(name, bound.unwrap_or_default());
        }
        for (address, ()) in self.clashes.iter() {
            let listeners: Vec<_> = self.listeners_on(address).collect();
            tell(address, &listeners, step, told);
        }
    }

    pub(super) fn settle(&mut self) {
        self.bound.settle();
        self.listeners.settle();
        self.clashes.settle();
    }

    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.bound.is_settled() && self.listeners.is_settled() && self.clashes.is_settled()
    }

    fn set(&mut self, name: &ResourceName, bound: Vec<Bound>) {
        let before = self.bound.get(name).cloned().unwrap_or_default();
        for address in &before {
            self.listeners.remove(&(address.clone(), name.clone()));
            if !self.clash_on(address) {
                self.clashes.remove(address);
            }
        }
        for address in &bound {
            self.listeners.insert((address.clone(), name.clone()), ());
            if self.clash_on(address) {
                self.clashes.insert(address.clone(), ());
            }
        }
        if bound.is_empty() {
            self.bound.remove(name);
        } else {
            self.bound.insert(name.clone(), bound);
        }
    }

    fn clash_on(&self, address: &Bound) -> bool {
        self.listeners_on(address).nth(1).is_some()
    }

    /// The listeners on an address, sorted by name.
    fn listeners_on<'a>(&'a self, address: &'a Bound) -> impl Iterator<Item = &'a ResourceName> {
        let first = (address.clone(), ResourceName::from(""));
        let all = self.listeners.iter_from(&first).map(|(bound, ())| bound);
        all.take_while(move |(bound, _)| bound == address).map(|(_, name)| name)
    }
}

/// The addresses that a listener binds; none for an `xdstp` name, since two such listeners need not meet on a node.
fn addresses_of(listener: &Resource) -> Vec<Bound> {
    if listener.name.as_str().starts_with("xdstp:") {
        return Vec::new();
    }
    let any: Result<prost_types::Any, _> = prost::Message::decode(listener.body.clone());
    let decoded = any
        .ok()
        .and_then(|any| inspect::decode(&any.type_url, any.value.into()).ok());
    decoded
        .map(|listener| checks::addresses_of(&listener))
        .unwrap_or_default()
}

/// Reports an error within the group; a warning if the other listener is of the shared group, and may have come later.
fn tell(address: &Bound, listeners: &[&ResourceName], step: &Step<'_>, told: &mut Told<'_>) {
    let (own, shared): (Vec<_>, Vec<_>) = listeners.iter().copied().partition(|name| step.is_own(&LISTENER, name));
    let Some((first, others)) = own.split_first() else {
        return;
    };
    for name in others {
        let message = format!("binds {address}, as listener \"{first}\" does: an Envoy refuses the second");
        told.add(
            Severity::Error,
            codes::SAME_ADDRESS,
            (&LISTENER, Some(name)),
            Some("address"),
            message,
        );
    }
    if let Some(other) = shared.first() {
        let message =
            format!("binds {address}, as listener \"{other}\" of the shared group does: an Envoy refuses the second");
        told.add(
            Severity::Warning,
            codes::SAME_ADDRESS,
            (&LISTENER, Some(first)),
            Some("address"),
            message,
        );
    }
}
