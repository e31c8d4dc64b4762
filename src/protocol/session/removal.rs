//! Removals. A removed resource stays with the client until its replacements are ACKed, and until nothing that the
//! client holds, or may hold, refers to it any more (O-3, O-12, O-19). This is read off the records; nothing is queued.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::Earliest;
use crate::{
    protocol::{
        Session,
        policy::{applies_valid_part, is_child_of, names_clusters},
        type_state::{Purpose, Retained, Sent, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType},
    snapshot::Snapshot,
};

/// The stage in which a type's removals are sent: a resource that refers to others is removed before them (O-1).
const fn removal_stage(resource_type: &ResourceType) -> u8 {
    match resource_type {
        ResourceType::Listener => 0,
        ResourceType::Route
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::ExtensionConfig
        | ResourceType::Runtime
        | ResourceType::Other(_) => 1,
        ResourceType::Cluster => 2,
        ResourceType::Endpoint | ResourceType::LbEndpoint | ResourceType::Secret => 3,
    }
}

/// Names of one type that the client's resources refer to, each with one resource that does.
#[derive(Debug, Default)]
pub(super) struct Needed {
    /// Names that are referred to by a resource whose replacement is not yet accepted.
    for_now: Users,
    /// Names in resources that the client asks for and nothing replaces: held up to `ordering.hold_cap` (O-12).
    at_most: Users,
    /// The client holds a resource of unknown content, which may refer to anything.
    anything: bool,
}

/// The name of a resource → one resource that refers to it.
type Users = BTreeMap<ResourceName, (ResourceType, ResourceName)>;

// === impl Needed ===

impl Needed {
    /// A resource that refers to the name, if one is known.
    pub(super) fn by(&self, kind: &ResourceType, name: &ResourceName) -> Option<&(ResourceType, ResourceName)> {
        user(&self.for_now, kind, name).or_else(|| user(&self.at_most, kind, name))
    }

    /// Returns true if the name is needed. With `spent`, only resources that will be replaced still count.
    fn needs(&self, kind: &ResourceType, name: &ResourceName, spent: bool) -> bool {
        let at_most = || user(&self.at_most, kind, name).is_some();
        user(&self.for_now, kind, name).is_some() || (!spent && (self.anything || at_most()))
    }

    /// All names that are needed.
    pub(super) fn into_names(self) -> BTreeSet<ResourceName> {
        self.for_now.into_keys().chain(self.at_most.into_keys()).collect()
    }
}

fn user<'a>(users: &'a Users, kind: &ResourceType, name: &ResourceName) -> Option<&'a (ResourceType, ResourceName)> {
    if *kind == ResourceType::VirtualHost {
        let (route, _) = name.as_str().rsplit_once('/')?;
        return users.get(route);
    }
    users.get(name)
}

/// Adds the references of a resource.
fn note(users: &mut Users, parent: &ResourceType, resource: &Resource, kind: &ResourceType) {
    let by = || (parent.clone(), resource.name.clone());
    if *kind == ResourceType::VirtualHost {
        users.entry(resource.name.clone()).or_insert_with(by);
    }
    for name in resource.references_to(kind) {
        users.entry(name.clone()).or_insert_with(by);
    }
}

impl Session {
    /// The next removal that is due, as (type, names).
    pub(super) fn due_removal(&mut self, goal: &Snapshot, now: Instant) -> Option<(usize, BTreeSet<ResourceName>)> {
        if self.types.iter().all(|state| state.view.retained().is_empty()) {
            return None;
        }
        for stage in 0..=3 {
            for index in 0..self.types.len() {
                let state = &self.types[index];
                if removal_stage(&state.kind) != stage || state.view.retained().is_empty() {
                    continue;
                }
                self.note_made(index, goal, now);
                let state = &self.types[index];
                let is_due = |retained: &Retained| self.has_rested(retained, now);
                let due = state.view.retained().iter().filter(|(_, retained)| is_due(retained));
                let due: BTreeSet<_> = due.map(|(name, _)| name.clone()).collect();
                if !due.is_empty() && self.may_remove(state, now) {
                    return Some((index, due));
                }
            }
        }
        None
    }

    fn may_remove(&self, state: &TypeState, now: Instant) -> bool {
        let patience = self.policy.ordering.patience;
        match state.in_flight.last() {
            None => true,
            Some(last) => self.sends_beside(state) && now.saturating_duration_since(last.sent_at) >= patience,
        }
    }

    /// Records the time since which nothing blocks each removal of type `index`. Each removal has its own time, so
    /// later changes do not put off earlier removals.
    fn note_made(&mut self, index: usize, goal: &Snapshot, now: Instant) {
        let state = &self.types[index];
        let kind = state.kind.clone();
        let needed = self.needed(&kind, goal);
        let is_back = self.has_come_back(now);
        let cap = self.policy.ordering.hold_cap;
        let is_free = |(name, retained): (&ResourceName, &Retained)| {
            let spent = now.saturating_duration_since(retained.since) >= cap;
            let free = !needed.needs(&kind, name, spent) && (spent || is_back);
            (free && is_succeeded(state, retained)).then(|| name.clone())
        };
        let free: BTreeSet<ResourceName> = state.view.retained().iter().filter_map(is_free).collect();
        for retained in self.types[index].view.retained_mut() {
            // An unblocked removal may be blocked again: the client may have asked for a parent.
            let is_free = free.contains(&retained.resource.name);
            retained.made = is_free.then(|| retained.made.unwrap_or(now));
        }
    }

    /// Returns true if the removal was unblocked for long enough (O-12).
    fn has_rested(&self, retained: &Retained, now: Instant) -> bool {
        let delay = self.policy.ordering.removal_delay;
        retained
            .made
            .is_some_and(|made| now.saturating_duration_since(made) >= delay)
    }

    /// Returns true if a reconnected Envoy has asked for its listeners and routes, or had the time to. Until then
    /// the server does not know which clusters they need (O-19).
    fn has_come_back(&self, now: Instant) -> bool {
        let asks = |kind: &ResourceType| self.state_of(kind).is_some_and(|state| !state.fresh);
        let is_published = |kind: &ResourceType| {
            let published = self.goal.as_ref().and_then(|goal| goal.get(kind));
            published.is_some_and(|published| !published.is_empty())
        };
        let may_ask = |kind: &ResourceType| self.memory.knows(kind) || (self.is_stranger && is_published(kind));
        let is_owed = |kind: &ResourceType| may_ask(kind) && !asks(kind);
        let has_asked = asks(&ResourceType::Listener)
            && asks(&ResourceType::Route)
            && !is_owed(&ResourceType::ScopedRoute)
            && !is_owed(&ResourceType::VirtualHost);
        has_asked || !self.awaits_requests(Some(now))
    }

    /// The names of a type that the client's resources refer to: retained and waiting ones, those whose successors are
    /// not accepted yet, and route configurations that it asks for, drained ones included (O-12).
    pub(super) fn needed(&self, kind: &ResourceType, goal: &Snapshot) -> Needed {
        let mut needed = Needed::default();
        let refers = |state: &&TypeState| is_parent_of(kind, &state.kind);
        for state in self.types.iter().filter(refers) {
            let replaces_unknown = || state.in_flight.iter().any(|sent| sent.replaced.unknown);
            needed.anything |= state.kind != *kind && (state.view.holds_unknown() || replaces_unknown());
            let (for_now, at_most) = (&mut needed.for_now, &mut needed.at_most);
            let by_name = *kind != ResourceType::VirtualHost;
            let is_route = state.kind == ResourceType::Route;
            for resource in state.view.outlasting() {
                // Nothing replaces a route configuration that drains, and yet its use ends.
                let users = if is_route { &mut *at_most } else { &mut *for_now };
                note(users, &state.kind, resource, kind);
            }
            if is_route && by_name {
                let asked_for = state.view.present(state.subscription.names().iter());
                asked_for.for_each(|resource| note(at_most, &state.kind, resource, kind));
            }
            let replaced = state.in_flight.iter().flat_map(Sent::replaced);
            for resource in replaced.chain(state.view.superseded()).filter(|_| by_name) {
                note(for_now, &state.kind, resource, kind);
            }
            for resource in outdated(state, goal).filter(|_| by_name) {
                note(for_now, &state.kind, &resource, kind);
            }
            if state.refused.any() && !applies_valid_part(&state.kind) {
                // The client goes on with what it accepted last, whichever resource of a refused response is bad.
                accepted_before(state).for_each(|resource| note(for_now, &state.kind, &resource, kind));
            }
            if *kind == ResourceType::Cluster {
                self.note_through_routes(state, goal, for_now);
                self.note_through_hosts(state, for_now);
            }
        }
        needed
    }

    /// Adds the clusters of route configurations that the client may ask for: a listener or a scope refers to them.
    fn note_through_routes(&self, state: &TypeState, goal: &Snapshot, users: &mut Users) {
        if !is_child_of(&ResourceType::Route, &state.kind) {
            return;
        }
        let outdated = outdated(state, goal).collect::<Vec<_>>();
        let replaced = state.in_flight.iter().flat_map(Sent::replaced);
        for resource in state.view.exceptional().chain(replaced).chain(&outdated) {
            for route in self.routes_of(state, resource) {
                note(users, &ResourceType::Route, route, &ResourceType::Cluster);
            }
        }
    }

    /// Adds the clusters of virtual hosts that the client may ask for: their route configuration was just sent, or is
    /// gone (D-12).
    fn note_through_hosts(&self, state: &TypeState, users: &mut Users) {
        let asks = self.state_of(&ResourceType::VirtualHost).is_some();
        let has_hosts = |snapshot: &std::sync::Arc<Snapshot>| {
            let hosts = snapshot.get(&ResourceType::VirtualHost);
            hosts.is_some_and(|hosts| !hosts.is_empty())
        };
        if state.kind != ResourceType::Route || asks || !state.snapshots().any(has_hosts) {
            return;
        }
        let sent = state.in_flight.iter().flat_map(|sent| sent.resources.iter());
        let routes: BTreeSet<&str> = state
            .view
            .outlasting()
            .chain(sent)
            .map(|route| route.name.as_str())
            .collect();
        let of_routes = |host: &&std::sync::Arc<Resource>| {
            let route = host.name.as_str().rsplit_once('/').map(|(route, _)| route);
            route.is_some_and(|route| routes.contains(route))
        };
        for snapshot in state.snapshots() {
            let hosts = snapshot.get(&ResourceType::VirtualHost).into_iter();
            for host in hosts.flat_map(|hosts| hosts.iter()).filter(of_routes) {
                note(users, &ResourceType::VirtualHost, host, &ResourceType::Cluster);
            }
        }
    }

    /// Returns true if the client asks, on this stream, for another type whose resources can refer to the given type.
    pub(super) fn has_parents_of(&self, kind: &ResourceType) -> bool {
        let mut types = self.types.iter().filter(|state| state.kind != *kind);
        types.any(|state| is_parent_of(kind, &state.kind))
    }

    /// Returns true if every pending removal waits only until the client no longer needs the resource.
    pub(super) fn removals_rest(&self, now: Instant) -> bool {
        let is_at_rest = |state: &TypeState| {
            let mut retained = state.view.retained().values();
            retained.all(|retained| {
                let succeeded = is_succeeded(state, retained);
                succeeded && retained.made.is_none_or(|_| self.has_rested(retained, now))
            })
        };
        self.types.iter().all(is_at_rest)
    }

    /// Adds the times at which waits of the order end.
    pub(super) fn note_order_times(&self, earliest: &mut Earliest) {
        let ordering = self.policy.ordering;
        let Some(goal) = self.goal.as_ref().filter(|_| self.is_ordered()) else {
            return;
        };
        let mut note = |since: Instant, wait: Duration| earliest.note(since.checked_add(wait));
        let (mut waits, mut retains) = (false, false);
        for state in &self.types {
            let lags = state.lags_behind(goal);
            waits |= lags || !state.view.held().is_empty();
            retains |= !state.view.retained().is_empty();
            if let Some(last) = state.in_flight.last()
                && self.sends_beside(state)
                && (lags || state.view.retained().values().any(|retained| retained.made.is_some()))
            {
                note(last.sent_at, ordering.patience);
            }
            for retained in state.view.retained().values() {
                note(retained.since, ordering.hold_cap);
                if let Some(made) = retained.made {
                    note(made, ordering.removal_delay);
                }
            }
        }
        if !waits && !retains {
            return;
        }
        for state in self.types.iter().filter(|_| waits) {
            for sent in state.in_flight.iter() {
                note(sent.sent_at, ordering.make_timeout);
                if state.kind == ResourceType::Cluster && self.features.envoy {
                    note(sent.sent_at, ordering.patience);
                }
            }
        }
        let Some(began) = self.began else {
            return;
        };
        if waits && self.features.envoy && self.state_of(&ResourceType::Cluster).is_none() {
            note(began, ordering.make_timeout);
        }
        if self.awaits_requests(self.last_poll) {
            note(began, ordering.return_wait);
        }
    }
}

/// Returns true if resources of type `parent` can refer to those of the type, directly or through a route
/// configuration.
fn is_parent_of(kind: &ResourceType, parent: &ResourceType) -> bool {
    let names = names_clusters(parent) || parent == kind || is_child_of(&ResourceType::Route, parent);
    is_child_of(kind, parent) || (*kind == ResourceType::Cluster && names)
}

/// Resources of the base that have changed in the goal or are gone from it.
fn outdated<'a>(state: &'a TypeState, goal: &'a Snapshot) -> impl Iterator<Item = std::sync::Arc<Resource>> + 'a {
    let base = state.view.resources();
    let diff = base
        .zip(goal.get(&state.kind))
        .map(|(base, to)| (base, to.diff_from(base)));
    diff.into_iter().flat_map(|(base, diff)| {
        let changed = diff.changed.iter().filter_map(|new| base.named(new.name.as_str()));
        let is_held = |resource: &&std::sync::Arc<Resource>| !state.view.held().contains_key(&resource.name);
        changed
            .chain(&diff.removed)
            .filter(is_held)
            .cloned()
            .collect::<Vec<_>>()
    })
}

/// Resources of the last ACKed set that have another version in the base.
fn accepted_before(state: &TypeState) -> impl Iterator<Item = std::sync::Arc<Resource>> + '_ {
    let acked = state.view.acked().and_then(|acked| acked.get(&state.kind));
    let both = acked.zip(state.view.resources());
    both.into_iter().flat_map(|(acked, base)| {
        let diff = base.diff_from(acked);
        let changed = diff.changed.iter().filter_map(|new| acked.named(new.name.as_str()));
        changed.cloned().collect::<Vec<_>>()
    })
}

/// Returns true if everything that came with a removal, and may take its place, was accepted, refused or unsubscribed.
fn is_succeeded(state: &TypeState, retained: &Retained) -> bool {
    let waits = |name: &ResourceName| state.view.held().get(name).is_some_and(|held| held.is_nothing());
    let is_sent = |name: &ResourceName| {
        let mut makes = state.in_flight.iter().filter(|sent| sent.purpose == Purpose::Make);
        makes.any(|sent| sent.changes(name))
    };
    !retained.successors.iter().any(|name| waits(name) || is_sent(name))
}
