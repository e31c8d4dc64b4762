//! Responses at the model's Envoy: the part that it applies, and the reason why it refuses the rest.

use std::{collections::BTreeMap, sync::Arc};

use super::{super::super::fixture::*, Client, Held, Versions, has_hosts};
use crate::{
    protocol::{Response, Variant},
    resource::{Resource, ResourceName, ResourceType},
};

impl Client {
    /// Applies a response. Returns the message if it refuses the response.
    pub(in super::super) fn take_in(&mut self, response: &Response, now: u64) -> Option<String> {
        let kind = response.delivery.resource_type.clone();
        let error = match kind {
            Cluster | Listener => self.take_in_listed(response, now),
            _ => self.take_in_whole(response, now),
        };
        if error.is_some() {
            self.unmended.insert(kind.clone());
        }
        let mux = self.mux.entry(kind.clone()).or_default();
        mux.note(response, error.clone());
        if kind == VirtualHost && mux.has_heard_once() {
            self.fetches.retain(|(fetched, _), _| *fetched != VirtualHost);
        }
        error
    }

    /// Clusters and listeners: removals first, then one by one; the valid part is applied (S-8).
    fn take_in_listed(&mut self, response: &Response, now: u64) -> Option<String> {
        let kind = &response.delivery.resource_type;
        let names: Vec<ResourceName> = self.all_of(kind).into_keys().collect();
        let is_gone = |name: &&ResourceName| match self.variant {
            Variant::Sotw => response.resources.get(name).is_none(),
            Variant::Delta => response.removed.contains(name),
        };
        let gone: Vec<ResourceName> = names.iter().filter(is_gone).cloned().collect();
        gone.iter().for_each(|name| self.remove(kind, name, now));
        let mut faults = Vec::new();
        for resource in response.resources.iter() {
            let others = self.all_of(kind);
            if let Some(fault) = fault(resource, &others) {
                self.judge(kind, &fault, response, &others);
                if *kind == Cluster {
                    self.refused_clusters.insert(resource.name.clone());
                }
                faults.push(format!("{}: {}", resource.name, fault.message));
            } else {
                self.add(kind, resource, now);
            }
        }
        // The message of Envoy 1.40: every resource that it did not apply, by name.
        let what = if *kind == Cluster { "cluster(s)" } else { "listener(s)" };
        (!faults.is_empty()).then(|| format!("Error adding/updating {what} {}", faults.join(", ")))
    }

    fn remove(&mut self, kind: &ResourceType, name: &ResourceName, now: u64) {
        self.orphans.remove(&(kind.clone(), name.clone()));
        if *kind == Cluster {
            self.clusters.remove(name);
        } else if let Some(active) = self.listeners.remove(name).and_then(|listener| listener.active) {
            let until = now + super::draw(&self.pace.drain, &mut self.drawn[2]);
            self.draining.push((active, until));
        }
    }

    fn add(&mut self, kind: &ResourceType, resource: &Arc<Resource>, now: u64) {
        self.orphans.remove(&(kind.clone(), resource.name.clone()));
        let all = if *kind == Cluster {
            &mut self.clusters
        } else {
            &mut self.listeners
        };
        let versions: &mut Versions = all.entry(resource.name.clone()).or_default();
        if versions
            .newest()
            .is_some_and(|newest| newest.version == resource.version)
        {
            return;
        }
        if *kind == Cluster {
            self.refused_clusters.remove(&resource.name);
        }
        versions.warm(resource, now);
        // O-6: a changed cluster needs its endpoints once more; SotW asks for them once more.
        for name in resource.references_to(&Endpoint) {
            self.fetches.insert((Endpoint, name.clone()), now);
            self.mux.entry(Endpoint).or_default().repeat = self.variant == Variant::Sotw;
        }
    }

    /// The other types: one bad resource refuses the whole response.
    fn take_in_whole(&mut self, response: &Response, now: u64) -> Option<String> {
        let kind = &response.delivery.resource_type;
        let before = self.held.get(kind).cloned().unwrap_or_default();
        let mut held = before.clone();
        if self.variant == Variant::Sotw && *kind == ScopedRoute {
            held.clear();
        }
        // A route configuration stays until the Envoy unsubscribes from its name.
        for name in response.removed.iter().filter(|_| *kind != Route) {
            held.remove(name);
        }
        held.retain(|name, _| response.resources.get(name).is_none());
        let is_asked = |name: &ResourceName| match kind {
            Endpoint | Secret | Route | ExtensionConfig => {
                self.mux.get(kind).is_some_and(|mux| mux.names.contains(name))
            }
            _ => true,
        };
        for resource in response.resources.iter().filter(|resource| is_asked(&resource.name)) {
            if let Some(fault) = fault(resource, &held) {
                self.judge(kind, &fault, response, &held);
                // The Envoy goes on with what it has.
                self.fetches.retain(|(fetched, _), _| fetched != kind);
                return Some(fault.message);
            }
            held.insert(resource.name.clone(), Arc::clone(resource));
        }
        self.arrived(kind, response);
        if *kind == Route {
            self.expect_hosts(&before, &held, now);
        }
        self.held.insert(kind.clone(), held);
        None
    }

    /// Ends the waits for the names that a response answers.
    fn arrived(&mut self, kind: &ResourceType, response: &Response) {
        let ends_wait = |name: &ResourceName| {
            response.resources.get(name).is_some() || (*kind == Endpoint && response.removed.contains(name))
        };
        let host_of = |route: &ResourceName| {
            let prefix = format!("{route}/");
            let names = response
                .resources
                .iter()
                .map(|host| &host.name)
                .chain(&response.removed);
            names.into_iter().any(|name| name.as_str().starts_with(&prefix))
        };
        self.fetches.retain(|(fetched, name), _| {
            fetched != kind
                || match kind {
                    ScopedRoute => false,
                    VirtualHost => !host_of(name),
                    _ => !ends_wait(name),
                }
        });
    }

    /// Waits for the virtual hosts of a route configuration that newly has them by VHDS.
    fn expect_hosts(&mut self, before: &Held, held: &Held, now: u64) {
        for (name, route) in held {
            let had = before.get(name).is_some_and(|before| has_hosts(before));
            if has_hosts(route) && !had {
                self.fetches.insert((VirtualHost, name.clone()), now);
            } else if !has_hosts(route) {
                self.fetches.remove(&(VirtualHost, name.clone()));
            }
        }
    }

    /// (a) A conflict is the server's fault, with two exceptions: the other resource changes in the same response, or
    /// the client holds another version than it was sent because it refused that.
    fn judge(&mut self, kind: &ResourceType, fault: &Fault, response: &Response, held: &Held) {
        let Some(holder) = &fault.holder else { return };
        let changes = |resource: &Arc<Resource>| resource.version != held[holder].version;
        let is_exchange = *kind == Listener && response.resources.get(holder).is_some_and(changes);
        let has_bad = response.resources.iter().any(|resource| is_bad(resource));
        let is_orphan = self.orphans.contains(&(kind.clone(), holder.clone()));
        if !(is_exchange || has_bad || is_orphan || self.unmended.contains(kind)) {
            self.faults
                .push(format!("(a) it was asked to hold a conflict: {kind} {}", fault.message));
        }
    }
}

/// The reason why a resource is refused.
struct Fault {
    message: String,
    /// The resource that holds the claimed place.
    holder: Option<ResourceName>,
}

pub(in super::super) fn is_bad(resource: &Resource) -> bool {
    resource.body.starts_with(b"bad")
}

fn fault(resource: &Resource, held: &BTreeMap<ResourceName, Arc<Resource>>) -> Option<Fault> {
    if is_bad(resource) {
        return Some(Fault {
            message: format!("{} is bad", resource.name),
            holder: None,
        });
    }
    let others = held.values().filter(|other| other.name != resource.name);
    let mut taken = others.flat_map(|other| other.places.iter().map(move |place| (place, &other.name)));
    let (place, holder) = taken.find(|(place, _)| resource.places.contains(place))?;
    Some(Fault {
        message: format!("{} claims {place} of {holder}", resource.name),
        holder: Some(holder.clone()),
    })
}
