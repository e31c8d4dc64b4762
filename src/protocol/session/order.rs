//! Make before break on an ADS stream, gated by ACKs (section O of the rules).
//!
//! Nothing here is queued: whether a type may be brought to the newest snapshot, and whether what is gone may be removed,
//! is read off the records each time a response could be sent.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Session,
    draft::Draft,
    policy::{children, is_awaited, waits},
    refused::Refused,
    type_state::{Retained, Step, TypeState},
};
use crate::{
    resource::{Resource, ResourceName, ResourceType},
    snapshot::Snapshot,
};

/// When a type's removals go: who refers goes before what is referred to (O-3, steps 6 and 7).
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

impl Session {
    /// Whether changes of type `index` may be sent now: every earlier step they could depend on was ACKed (O-3). An
    /// unrelated response that awaits its ACK does not count (O-4).
    pub(super) fn gate_is_open(&self, index: usize, goal: &Snapshot, now: Instant) -> bool {
        let state = &self.types[index];
        if !self.is_ordered() || !waits(&state.kind) {
            return true;
        }
        self.holding_up(index, goal, now).next().is_none()
    }

    /// The earlier types that changes of type `index` wait for.
    pub(super) fn holding_up(&self, index: usize, goal: &Snapshot, now: Instant) -> impl Iterator<Item = &TypeState> {
        let state = &self.types[index];
        self.types[..index]
            .iter()
            .filter(move |earlier| is_awaited(&earlier.kind) && !self.lets_pass(earlier, state, goal, now))
    }

    fn lets_pass(&self, earlier: &TypeState, state: &TypeState, goal: &Snapshot, now: Instant) -> bool {
        let timeout = self.policy.ordering.make_timeout;
        let overdue = |sent_at: Instant| now.saturating_duration_since(sent_at) >= timeout;
        let awaited = |step: Step| {
            let mut in_flight = earlier.in_flight.iter().filter(|sent| sent.is(step));
            in_flight.any(|sent| !overdue(sent.sent_at))
        };
        if awaited(Step::Make) {
            return false;
        }
        let unsent = earlier.owes_children() || (earlier.kind != ResourceType::Endpoint && earlier.has_news(goal));
        if unsent && !earlier.in_flight.iter().all(|sent| overdue(sent.sent_at)) {
            return false;
        }
        if earlier.kind != ResourceType::Cluster {
            return true;
        }
        // No timeout makes up for a cluster that was not given, or was refused: whoever refers to it waits (O-4).
        // What is not subscribed yet may be at any moment, and is then answered from where the type was brought to.
        (!unsent || refers_only_to(state, goal, |_| true, |name| earlier.has_given(name)))
            && (!earlier.refused.any()
                || refers_only_to(
                    state,
                    goal,
                    |resource| state.subscription.selects(resource),
                    |name| earlier.has_accepted(name),
                ))
    }

    /// The snapshot that a request for a name which the base does not hold is answered from: the newest whose clusters
    /// the client was given (O-2).
    pub(super) fn reach(&self, index: usize, goal: &Arc<Snapshot>) -> Arc<Snapshot> {
        if !self.is_ordered() || !waits(&self.types[index].kind) {
            return Arc::clone(goal);
        }
        let clusters = self.types[..index]
            .iter()
            .find(|state| state.kind == ResourceType::Cluster);
        let given = clusters.and_then(|state| state.base.as_ref());
        Arc::clone(given.unwrap_or(goal))
    }

    /// Has the children of changed parents sent again, right behind them (O-6, O-13).
    pub(super) fn resend_children(&mut self, parent: &ResourceType, draft: &Draft) {
        if !self.is_aggregated() || draft.changed.is_empty() {
            return;
        }
        for child in children(parent) {
            let presented = self
                .types
                .iter()
                .any(|state| state.kind == *parent && state.reconnected);
            let owed = children_of(parent, child, draft);
            match self.types.iter_mut().find(|state| state.kind == *child) {
                Some(state) => state.resend_children(parent, owed),
                // A client that reconnects asks for the parents first, and for the children with the versions it holds;
                // of a parent that changed meanwhile it needs them all the same (D-6).
                None if presented => self
                    .owed_children
                    .extend(owed.map(|name| (child.clone(), name.clone()))),
                None => {}
            }
        }
    }

    /// Whether every step that adds or changes was taken and ACKed, whatever time it took: only then is anything removed
    /// (O-4).
    fn all_is_made(&self, goal: &Snapshot) -> bool {
        self.types.iter().all(|state| {
            !state.refused.any()
                && state.retry.is_empty()
                && !state.awaits(Step::Make)
                && !state.owes_children()
                && !state.lags_behind(goal)
        })
    }

    /// Notes whether nothing but removals is left to do, and since when that was first so for each of them.
    pub(super) fn note_made(&mut self, goal: &Snapshot, now: Instant) {
        let retains = self.types.iter().any(|state| !state.retained.is_empty());
        self.is_made = retains && self.all_is_made(goal);
        if self.is_made {
            let retained = self.types.iter_mut().flat_map(|state| state.retained.values_mut());
            for retained in retained {
                retained.made.get_or_insert(now);
            }
        }
    }

    /// Whether everything that replaces what is retained was ACKed long enough ago (O-12). Counted for each by itself:
    /// changes that follow one another do not put off the removals of earlier ones.
    fn has_rested(&self, retained: &Retained, now: Instant) -> bool {
        let delay = self.policy.ordering.removal_delay;
        retained
            .made
            .is_some_and(|made| now.saturating_duration_since(made) >= delay)
    }

    /// The next removal that is due, as (type, names).
    pub(super) fn due_removal(&self, now: Instant) -> Option<(usize, BTreeSet<ResourceName>)> {
        if !self.is_made {
            return None;
        }
        for stage in 0..=3 {
            for (index, state) in self.types.iter().enumerate() {
                if removal_stage(&state.kind) != stage || state.retained.is_empty() || !state.in_flight.is_empty() {
                    continue;
                }
                let due = self.releasable(state, now);
                if !due.is_empty() {
                    return Some((index, due));
                }
            }
            let in_flight = |state: &TypeState| removal_stage(&state.kind) == stage && state.awaits(Step::Break);
            if self.types.iter().any(in_flight) {
                return None;
            }
        }
        None
    }

    /// The retained names that nothing on the stream can need any more.
    fn releasable(&self, state: &TypeState, now: Instant) -> BTreeSet<ResourceName> {
        let needed = self.needed_by_parents(&state.kind);
        let cap = self.policy.ordering.hold_cap;
        let free = |(name, retained): &(&ResourceName, &Retained)| {
            let spent = now.saturating_duration_since(retained.since) >= cap;
            self.has_rested(retained, now) && (spent || !needed.contains(*name))
        };
        state
            .retained
            .iter()
            .filter(free)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// What the client's route configurations name, drained ones included, and what its retained clusters name (O-12).
    fn needed_by_parents(&self, kind: &ResourceType) -> BTreeSet<ResourceName> {
        let mut needed = BTreeSet::new();
        for state in &self.types {
            let mut note = |resource: &Resource| needed.extend(resource.references_to(kind).cloned());
            match (&state.kind, kind) {
                (ResourceType::Route, ResourceType::Cluster) => {
                    state.client_has().for_each(note);
                }
                (ResourceType::Cluster, ResourceType::Endpoint | ResourceType::Secret) => {
                    state.retained.values().for_each(|retained| note(&retained.resource));
                }
                _ => {}
            }
        }
        needed
    }

    /// What of type `index` the client may have taken into use although it refused it: asked for only where something is
    /// refused.
    pub(super) fn in_use(&self, index: usize) -> BTreeSet<ResourceName> {
        let state = &self.types[index];
        if state.refused.any() {
            self.needed_by_parents(&state.kind)
        } else {
            BTreeSet::new()
        }
    }

    /// Whether the removals that are left wait only for clients to let go.
    pub(super) fn removals_rest(&self, now: Instant) -> bool {
        let mut retained = self.types.iter().flat_map(|state| state.retained.values());
        retained.all(|retained| self.has_rested(retained, now))
    }

    /// When the passing of time alone may let something be sent.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = self.order_times().into_iter().chain(self.beats());
        times
            .filter(|time| self.last_poll.is_none_or(|last| *time > last))
            .min()
    }

    /// When waits of the order are over.
    fn order_times(&self) -> Vec<Instant> {
        let ordering = self.policy.ordering;
        let Some(goal) = self.goal.as_ref().filter(|_| self.is_ordered()) else {
            return Vec::new();
        };
        let after = |since: Instant, wait: Duration| since.checked_add(wait);
        let lagging = self
            .types
            .iter()
            .any(|state| waits(&state.kind) && state.lags_behind(goal));
        let gates = self
            .types
            .iter()
            .filter(|state| lagging && is_awaited(&state.kind))
            .flat_map(|state| &state.in_flight)
            .filter_map(|sent| after(sent.sent_at, ordering.make_timeout));
        let holds = self
            .types
            .iter()
            .filter(|_| self.is_made)
            .flat_map(|state| state.retained.values())
            .flat_map(|retained| {
                let rested = retained.made.and_then(|made| after(made, ordering.removal_delay));
                [after(retained.since, ordering.hold_cap), rested]
            });
        gates.chain(holds.flatten()).collect()
    }
}

/// Whether what changes of `state`, as far as it counts, refers only to clusters that the client holds.
fn refers_only_to(
    state: &TypeState,
    goal: &Snapshot,
    counts: impl Fn(&Resource) -> bool,
    holds: impl Fn(&ResourceName) -> bool,
) -> bool {
    let (Some(to), Some(base)) = (goal.get(&state.kind), state.base()) else {
        return true;
    };
    to.diff_from(base)
        .changed
        .iter()
        .filter(|resource| counts(resource))
        .flat_map(|resource| resource.references_to(&ResourceType::Cluster))
        .all(holds)
}

/// The names of the children that must follow changed parents: of a cluster and of a set of endpoints all, since the
/// client waits for them anew; of the others those that the parent did not name before; of a route configuration its
/// virtual hosts, by prefix.
fn children_of<'a>(
    parent: &'a ResourceType,
    child: &'a ResourceType,
    draft: &'a Draft,
) -> impl Iterator<Item = &'a ResourceName> {
    let is_route = *parent == ResourceType::Route;
    let anew = matches!(parent, ResourceType::Cluster | ResourceType::Endpoint);
    draft.changed.iter().flat_map(move |resource| {
        let prefix = is_route.then_some(&resource.name);
        let old = draft.from.as_ref().and_then(|from| from.get(resource.name.as_str()));
        let named_before =
            move |name: &ResourceName| old.is_some_and(|old| old.references_to(child).any(|n| n == name));
        let named = resource.references_to(child).filter(move |_| !is_route);
        prefix
            .into_iter()
            .chain(named.filter(move |name| anew || !named_before(name)))
    })
}

impl TypeState {
    /// Whether the client was sent the name and not told of its removal.
    fn has_given(&self, name: &ResourceName) -> bool {
        let in_base = self.base().is_some_and(|base| base.get(name.as_str()).is_some());
        in_base || self.retained.contains_key(name)
    }

    /// Whether the client holds the name, and is not known to have refused its last version.
    fn has_accepted(&self, name: &ResourceName) -> bool {
        let accepted = match self.refused {
            // Nothing is known of a refused state; the one before it was accepted.
            Refused::State(_) => self.acked.as_ref(),
            Refused::Nothing | Refused::Parts(_) => self.base.as_ref(),
        };
        let accepted = accepted.and_then(|accepted| accepted.resource(&self.kind, name.as_str()));
        accepted.is_some() && !self.refused.names(name.as_str())
    }

    fn resend_children<'a>(&mut self, parent: &ResourceType, mut owed: impl Iterator<Item = &'a ResourceName>) {
        if *parent == ResourceType::Route {
            let hosts: Vec<ResourceName> = owed.flat_map(|route| self.hosts_of(route)).collect();
            self.children.extend(hosts);
        } else if self.base.is_none() && self.held.is_empty() {
            // Its first response holds all that is subscribed.
            self.children_at_first |= owed.any(|name| self.subscription.selects_name(name));
        } else {
            let subscribed = owed.filter(|name| self.subscription.selects_name(name));
            self.children.extend(subscribed.cloned());
        }
    }

    /// The virtual hosts of a route configuration that the client was given or asked for (D-12).
    fn hosts_of(&self, route: &ResourceName) -> Vec<ResourceName> {
        let of_route = |name: &ResourceName| {
            let namespace = name.as_str().rsplit_once('/').map(|(namespace, _)| namespace);
            namespace == Some(route.as_str())
        };
        let asked = self.subscription.names().iter().filter(|name| of_route(name)).cloned();
        let given = self.base().filter(|_| self.subscription.is_wildcard());
        let given = given.into_iter().flat_map(|base| base.iter()).map(|r| r.name.clone());
        let given = given.filter(|name| self.subscription.selects_name(name));
        asked.chain(given.filter(of_route)).collect()
    }
}
