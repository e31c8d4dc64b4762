//! Listeners of a group that bind one address.

use std::collections::{BTreeMap, BTreeSet};

use super::{Step, Told};
use crate::{
    admission::{Severity, checks, checks::Bound, codes, inspect},
    resource::{Resource, ResourceName, ResourceType},
};

/// Who binds what.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    bound: BTreeMap<ResourceName, Vec<Bound>>,
    listeners: BTreeMap<Bound, BTreeSet<ResourceName>>,
    /// Addresses with more than one listener.
    clashes: BTreeSet<Bound>,
}

const LISTENER: ResourceType = ResourceType::Listener;

// === impl Addresses ===

impl Addresses {
    pub(super) fn advance(&mut self, step: &Step<'_>, told: &mut Told<'_>) {
        for (name, served) in step.turned(&LISTENER) {
            let bound = served.map(|listener| addresses_of(listener));
            self.set(name, bound.unwrap_or_default());
        }
        for address in &self.clashes {
            if let Some(listeners) = self.listeners.get(address) {
                tell(address, listeners, step, told);
            }
        }
    }

    fn set(&mut self, name: &ResourceName, bound: Vec<Bound>) {
        for address in self.bound.remove(name).unwrap_or_default() {
            if let Some(listeners) = self.listeners.get_mut(&address) {
                listeners.remove(name);
                if listeners.len() < 2 {
                    self.clashes.remove(&address);
                }
                if listeners.is_empty() {
                    self.listeners.remove(&address);
                }
            }
        }
        for address in &bound {
            let listeners = self.listeners.entry(address.clone()).or_default();
            listeners.insert(name.clone());
            if listeners.len() > 1 {
                self.clashes.insert(address.clone());
            }
        }
        if !bound.is_empty() {
            self.bound.insert(name.clone(), bound);
        }
    }
}

/// What a listener binds. Those with an `xdstp` name are asked for one by one: two of them need not meet on a node.
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

/// Between listeners of the group it is an error of who publishes it. One of the shared group may have come later.
fn tell(address: &Bound, listeners: &BTreeSet<ResourceName>, step: &Step<'_>, told: &mut Told<'_>) {
    let (own, shared): (Vec<_>, Vec<_>) = listeners.iter().partition(|name| step.is_own(&LISTENER, name));
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
