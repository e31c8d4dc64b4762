//! Make before break, by reference: a change of a resource waits for the ACK of what it newly refers to, and for nothing else
//! (O-15).
//!
//! Nothing here is queued: what a resource waits for is read off the records each time it could be sent.

use std::time::Instant;

use super::standing::{Awaited, Awaiting};
use crate::{
    protocol::{
        Session,
        policy::waits,
        type_state::{Sent, Step, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType},
    snapshot::Snapshot,
};

/// References that are followed through resources which the client cannot ask for yet: listener → scope or extension →
/// route → cluster is the longest way.
const DEPTH: usize = 3;

/// How ready a resource must be for another that newly refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Readiness {
    /// The client was given it: enough for what it asked for by itself, which is answered at once (O-2).
    Given,
    /// The client accepted it, and an Envoy has warmed it up by then (O-5).
    Accepted,
}

/// What is looked at, and how.
#[derive(Clone, Copy)]
struct Look<'a> {
    goal: &'a Snapshot,
    now: Instant,
    readiness: Readiness,
}

impl Session {
    /// Whether any resource of a type could wait for something now. Most of the time none can: then nobody looks further.
    pub(super) fn anything_awaited(&self, kind: &ResourceType, goal: &Snapshot) -> bool {
        let is_open = |state: &TypeState| {
            let sent = state
                .in_flight
                .iter()
                .any(|sent| matches!(sent.step, Step::Make | Step::Answer));
            sent || state.refused.any() || state.due.owes_children() || state.lags_behind(goal)
        };
        let could_be_referred_to = |state: &&TypeState| match state.kind {
            ResourceType::Cluster | ResourceType::Endpoint => true,
            ResourceType::Route | ResourceType::ExtensionConfig => state.kind != *kind,
            ResourceType::LbEndpoint
            | ResourceType::Listener
            | ResourceType::ScopedRoute
            | ResourceType::VirtualHost
            | ResourceType::Secret
            | ResourceType::Runtime
            | ResourceType::Other(_) => false,
        };
        self.types.iter().filter(could_be_referred_to).any(is_open)
    }

    /// The first resource that a changed one of this type waits for, given what the client holds in its place.
    pub(super) fn awaited_by(
        &self,
        state: &TypeState,
        resource: &Resource,
        holding: Option<&Resource>,
        goal: &Snapshot,
        now: Instant,
    ) -> Option<Awaited> {
        // What is asked for the first time is answered at once; what the client uses is not replaced by less.
        let is_new = state.fresh && !state.view.has_given(&resource.name);
        let readiness = if is_new { Readiness::Given } else { Readiness::Accepted };
        self.first_awaited(resource, holding, goal, now, readiness)
    }

    /// The first resource that this one newly refers to and that is not ready.
    pub(super) fn first_awaited(
        &self,
        resource: &Resource,
        holding: Option<&Resource>,
        goal: &Snapshot,
        now: Instant,
        readiness: Readiness,
    ) -> Option<Awaited> {
        let look = Look { goal, now, readiness };
        self.awaited(resource, holding, look, DEPTH).next()
    }

    /// All that a resource waits for, some of it at most.
    pub(super) fn all_awaited(
        &self,
        resource: &Resource,
        holding: Option<&Resource>,
        goal: &Snapshot,
        now: Instant,
    ) -> Vec<Awaited> {
        const SOME: usize = 8;
        let look = Look {
            goal,
            now,
            readiness: Readiness::Accepted,
        };
        let mut all: Vec<Awaited> = self.awaited(resource, holding, look, DEPTH).take(SOME).collect();
        all.dedup();
        all
    }

    fn awaited<'a>(
        &'a self,
        resource: &'a Resource,
        holding: Option<&'a Resource>,
        look: Look<'a>,
        depth: usize,
    ) -> Box<dyn Iterator<Item = Awaited> + 'a> {
        let is_new = move |reference: &&crate::resource::Reference| {
            holding.is_none_or(|holding| !holding.references.contains(reference))
        };
        let new = resource.references.iter().filter(is_new);
        Box::new(new.flat_map(move |reference| self.not_ready(&reference.resource_type, &reference.name, look, depth)))
    }

    fn not_ready<'a>(
        &'a self,
        kind: &ResourceType,
        name: &'a ResourceName,
        look: Look<'a>,
        depth: usize,
    ) -> Vec<Awaited> {
        match kind {
            ResourceType::Cluster => self.cluster_not_ready(name, look).into_iter().collect(),
            ResourceType::Route | ResourceType::ExtensionConfig | ResourceType::VirtualHost => {
                self.child_not_ready(kind, name, look, depth)
            }
            // These are asked for by whoever was given their parent, and answered whatever else is under way.
            ResourceType::Endpoint
            | ResourceType::LbEndpoint
            | ResourceType::Listener
            | ResourceType::ScopedRoute
            | ResourceType::Secret
            | ResourceType::Runtime
            | ResourceType::Other(_) => Vec::new(),
        }
    }

    fn cluster_not_ready(&self, name: &ResourceName, look: Look<'_>) -> Option<Awaited> {
        let clusters = self.state_of(&ResourceType::Cluster)?;
        // A reference to nothing waits for nothing; what the client does not ask for, it will once it is referred to.
        let now = look.goal.resource(&ResourceType::Cluster, name.as_str())?;
        if !clusters.subscription.selects(now) {
            return None;
        }
        let reason = self.reason(clusters, &now.name, look).or_else(|| {
            let endpoints = now.references_to(&ResourceType::Endpoint);
            let waits = |name: &ResourceName| self.endpoints_awaited(name, look);
            let mut waiting = endpoints
                .filter(|_| look.readiness == Readiness::Accepted)
                .filter_map(waits);
            waiting.next()
        })?;
        Some(Awaited {
            resource_type: ResourceType::Cluster,
            name: now.name.clone(),
            reason,
        })
    }

    /// Why the endpoints of a changed cluster are awaited: they follow it (O-6), and it is of no use without them.
    fn endpoints_awaited(&self, name: &ResourceName, look: Look<'_>) -> Option<Awaiting> {
        let endpoints = self.state_of(&ResourceType::Endpoint)?;
        if !endpoints.subscription.selects_name(name) {
            return None;
        }
        if endpoints.due.owes_child(name) {
            return Some(Awaiting::Unsent);
        }
        let is_open = |sent: &Sent| sent.step == Step::Make && sent.resources.get(name).is_some();
        let mut open = endpoints.in_flight.iter().filter(|sent| is_open(sent));
        open.any(|sent| !self.is_overdue(sent, look.now))
            .then_some(Awaiting::Unanswered)
    }

    /// A child that the client asks for by name once it was given the parent: where it already does, the child is waited for;
    /// where it does not, what the child refers to.
    fn child_not_ready<'a>(
        &'a self,
        kind: &ResourceType,
        name: &'a ResourceName,
        look: Look<'a>,
        depth: usize,
    ) -> Vec<Awaited> {
        let Some(child) = look.goal.resource(kind, name.as_str()) else {
            return Vec::new();
        };
        let asks = self.state_of(kind).filter(|state| state.subscription.selects(child));
        if let Some(state) = asks.filter(|state| !state.fresh) {
            let reason = self.reason(state, &child.name, look);
            let awaited = reason.map(|reason| Awaited {
                resource_type: kind.clone(),
                name: child.name.clone(),
                reason,
            });
            return awaited.into_iter().collect();
        }
        if depth == 0 {
            return Vec::new();
        }
        self.awaited(child, None, look, depth - 1).collect()
    }

    /// Why a resource that the client asks for is not ready, if it is not.
    fn reason(&self, state: &TypeState, name: &ResourceName, look: Look<'_>) -> Option<Awaiting> {
        let is_refused = state.refused.names(name.as_str());
        if state.due.owes_name(name) && !is_refused {
            return Some(Awaiting::Unsent);
        }
        match look.readiness {
            Readiness::Given => {
                let is_given = state.view.has_given(name);
                (!is_given).then_some(if is_refused {
                    Awaiting::Refused
                } else {
                    Awaiting::Unsent
                })
            }
            Readiness::Accepted if is_refused => Some(Awaiting::Refused),
            Readiness::Accepted => {
                if !state.view.has_given_as_in(look.goal, name) {
                    return Some(Awaiting::Unsent);
                }
                let carries = |sent: &Sent| match sent.step {
                    Step::Make => sent.changes(name),
                    Step::Answer => waits(&state.kind) && sent.resources.get(name).is_some(),
                    Step::Break | Step::Heartbeat => false,
                };
                let mut open = state.in_flight.iter().filter(|sent| carries(sent));
                open.any(|sent| !self.is_overdue(sent, look.now))
                    .then_some(Awaiting::Unanswered)
            }
        }
    }

    /// Whether a response is unanswered for so long that changes no longer wait for it; removals do (O-4).
    pub(super) fn is_overdue(&self, sent: &Sent, now: Instant) -> bool {
        now.saturating_duration_since(sent.sent_at) >= self.policy.ordering.make_timeout
    }

    /// Whether the snapshot holds all that the client may take for complete of a type that it asks for (S-20).
    #[must_use]
    pub fn is_complete(&self, kind: &ResourceType, snapshot: &Snapshot) -> bool {
        self.state_of(kind).is_none_or(|state| self.is_known(state, snapshot))
    }

    /// Whether the goal is known to hold all that the node may be given of the type, where a list of it is complete (S-9,
    /// S-20).
    pub(super) fn is_known(&self, state: &TypeState, goal: &Snapshot) -> bool {
        let takes_absence_for_removal = state.subscription.is_wildcard() || state.is_full_state(self.variant);
        if !takes_absence_for_removal {
            return true;
        }
        // A client that comes back may hold some of a type that the group never had as far as the server knows.
        let brings_some = state.fresh && (state.presented.is_some() || !state.view.held().is_empty());
        goal.is_whole(&state.kind) && (!brings_some || goal.had(&state.kind))
    }
}
