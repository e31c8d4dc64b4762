//! Make before break, by reference: a changed resource waits for the ACK of what it newly refers to, and for nothing
//! else (O-15).
//!
//! Nothing is queued here: each time a resource could be sent, the records show what it waits for.

use std::{sync::Arc, time::Instant};

use crate::{
    protocol::{
        Awaited, Awaiting, Session, Variant,
        policy::{removes_by_omission, waits},
        type_state::{InFlight, Purpose, Sent, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType, Warming},
    snapshot::Snapshot,
};

/// The number of references that are followed through resources which the client cannot ask for yet. The longest path
/// is listener → scope or extension → route → cluster.
const DEPTH: usize = 3;

/// The readiness that a resource needs before another may newly refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Readiness {
    /// The client was given the resource: enough for what the client asked for, which is answered at once (O-2).
    Given,
    /// The client accepted the resource, so an Envoy has warmed it up (O-5).
    Accepted,
}

/// The terms on which references are checked.
#[derive(Clone, Copy)]
struct Look<'a> {
    goal: &'a Snapshot,
    now: Instant,
    readiness: Readiness,
    /// The client's content is unknown, so any reference may be an old one: an older version of a cluster counts as
    /// ready.
    lenient: bool,
}

impl<'a> Look<'a> {
    const fn new(goal: &'a Snapshot, now: Instant, readiness: Readiness) -> Self {
        Self {
            goal,
            now,
            readiness,
            lenient: false,
        }
    }

    const fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }
}

impl Session {
    /// Returns true if a resource of the type could wait for another now; if not, which is usual, nothing more is
    /// checked.
    pub(super) fn anything_awaited(&self, kind: &ResourceType, goal: &Snapshot) -> bool {
        let is_open = |state: &TypeState| {
            let sent = state
                .in_flight
                .iter()
                .any(|sent| matches!(sent.purpose, Purpose::Make | Purpose::Answer));
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
        let could_be_asked_for = *kind == ResourceType::VirtualHost
            || self.awaits_requests(self.last_poll)
            || self.may_be_paused(self.last_poll);
        could_be_asked_for || self.types.iter().filter(could_be_referred_to).any(is_open)
    }

    /// Returns true if a reconnected Envoy may still ask for types that it has. It asks for all types at once, except
    /// for clusters while one is warming (O-19).
    pub(super) fn awaits_requests(&self, now: Option<Instant>) -> bool {
        let has_no_clusters = self.state_of(&ResourceType::Cluster).is_none();
        let comes_back = has_no_clusters || self.types.iter().any(|state| state.returned);
        let passed = self
            .began
            .zip(now)
            .map(|(began, now)| now.saturating_duration_since(began));
        self.features.envoy && comes_back && passed.is_none_or(|passed| passed < self.policy.ordering.return_wait)
    }

    /// The first resource that a changed one of this type waits for; `holding` is what the client holds in its place.
    pub(super) fn awaited_by(
        &self,
        state: &TypeState,
        resource: &Resource,
        holding: Option<&Resource>,
        goal: &Snapshot,
        now: Instant,
    ) -> Option<Awaited> {
        // A resource that is requested for the first time is answered at once, but must not replace one in use by less.
        let is_drained = || state.view.drained().contains_key(&resource.name);
        let is_new = state.fresh && !state.view.has_given(&resource.name) && !is_drained();
        // A name that was unsubscribed and requested again counts as new.
        let holding = holding.filter(|_| !state.due.owes_name(&resource.name));
        let readiness = if is_new { Readiness::Given } else { Readiness::Accepted };
        let look = Look {
            lenient: state.view.holds_unknown_as(&resource.name),
            ..Look::new(goal, now, readiness)
        };
        let route = self.route_not_ready(&state.kind, &resource.name, look);
        let awaited = route.or_else(|| self.awaited(resource, holding, look, DEPTH).next());
        if awaited.is_some() || !is_new || !self.types.iter().any(|state| state.returned) {
            return awaited;
        }
        // A resource that is new on this stream may be in use already: its older form is better, if that is known.
        let look = Look::new(goal, now, Readiness::Accepted);
        let awaited = self.awaited(resource, holding, look, DEPTH).next()?;
        self.older(&state.kind, resource, goal, now).map(|_| awaited)
    }

    /// Returns true if the client has accepted, in any version, everything that an older form of a resource refers to.
    pub(super) fn is_in_use_already(&self, older: &Resource, goal: &Snapshot, now: Instant) -> bool {
        let look = Look::new(goal, now, Readiness::Accepted).lenient();
        self.awaited(older, None, look, DEPTH).next().is_none()
    }

    /// The route configuration of a virtual host, if the client must be given it first: an Envoy drops virtual hosts of
    /// a route configuration that it does not have (D-12).
    fn route_not_ready(&self, kind: &ResourceType, host: &ResourceName, look: Look<'_>) -> Option<Awaited> {
        if *kind != ResourceType::VirtualHost {
            return None;
        }
        let routes = self.state_of(&ResourceType::Route)?;
        let (route, _) = host.as_str().rsplit_once('/')?;
        let route = look.goal.resource(&ResourceType::Route, route)?;
        // A route configuration that is requested later has its virtual hosts sent again.
        if !routes.subscription.selects(route) {
            return None;
        }
        let reason = self.reason(routes, &route.name, look)?;
        Some(Awaited {
            resource_type: ResourceType::Route,
            name: route.name.clone(),
            reason,
        })
    }

    /// Returns true if the client was given everything that the resource refers to, so that it may be sent on request.
    pub(super) fn may_be_sent(&self, kind: &ResourceType, resource: &Resource, goal: &Snapshot, now: Instant) -> bool {
        let look = Look::new(goal, now, Readiness::Given);
        self.route_not_ready(kind, &resource.name, look).is_none()
            && self.awaited(resource, None, look, DEPTH).next().is_none()
    }

    /// The resources that a resource waits for, at most `SOME`.
    pub(super) fn all_awaited(
        &self,
        resource: &Resource,
        holding: Option<&Resource>,
        goal: &Snapshot,
        now: Instant,
    ) -> Vec<Awaited> {
        const SOME: usize = 8;
        let look = Look::new(goal, now, Readiness::Accepted);
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
            // A client that was given their parent asks for these, and is answered whatever else is in flight.
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
        // A reference to nothing waits for nothing. A cluster not asked for is requested once it is referred to.
        let now = look.goal.resource(&ResourceType::Cluster, name.as_str())?;
        let Some(clusters) = self.state_of(&ResourceType::Cluster) else {
            let has_older = look.lenient && self.memory.holds(&ResourceType::Cluster, name);
            return (!has_older && self.waits_unasked(now, look)).then(|| Awaited {
                resource_type: ResourceType::Cluster,
                name: name.clone(),
                reason: Awaiting::Unsent,
            });
        };
        if !clusters.subscription.selects(now) || (look.lenient && has_older(clusters, &now.name)) {
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

    /// Returns true if a cluster is awaited although the client does not ask for clusters: an Envoy that asked on its
    /// last stream asks again once all of its clusters are warm (O-5).
    fn waits_unasked(&self, cluster: &Resource, look: Look<'_>) -> bool {
        let accepted = self.memory.has_accepted(&ResourceType::Cluster, cluster);
        match accepted.filter(|_| self.features.envoy) {
            None => self.awaits_requests(Some(look.now)) || self.may_be_paused(Some(look.now)),
            Some(is_accepted) => !is_accepted && self.may_be_paused(Some(look.now)),
        }
    }

    /// Returns true if an Envoy that has clusters may not have asked for them again because one is warming.
    fn may_be_paused(&self, now: Option<Instant>) -> bool {
        let is_paused = self.features.envoy && self.state_of(&ResourceType::Cluster).is_none();
        let waited = self
            .began
            .zip(now)
            .map(|(began, now)| now.saturating_duration_since(began));
        let has_clusters =
            self.memory.knows(&ResourceType::Cluster) || self.state_of(&ResourceType::Endpoint).is_some();
        is_paused && has_clusters && waited.is_none_or(|waited| waited < self.policy.ordering.make_timeout)
    }

    /// The reason to wait for the endpoints of a changed cluster, which follow it (O-6) and without which it is of no
    /// use.
    fn endpoints_awaited(&self, name: &ResourceName, look: Look<'_>) -> Option<Awaiting> {
        let endpoints = self.state_of(&ResourceType::Endpoint)?;
        if !endpoints.subscription.selects_name(name) {
            return None;
        }
        if endpoints.due.owes_child(name) {
            return Some(Awaiting::Unsent);
        }
        let is_open = |sent: &Sent| sent.purpose == Purpose::Make && sent.resources.get(name).is_some();
        let mut open = endpoints.in_flight.iter().filter(|sent| is_open(sent));
        open.any(|sent| !self.is_overdue(sent, look.now))
            .then_some(Awaiting::Unanswered)
    }

    /// The resources that block a reference to a child, which the client asks for by name once it was given the parent.
    /// If the client asks for the child already, it waits for the child; if not, for what the child refers to.
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
            let mut all: Vec<Awaited> = awaited.into_iter().collect();
            // O-2: a child that was requested by itself came before its clusters were warm.
            if depth > 0 {
                all.extend(self.awaited(child, None, look.lenient(), depth - 1));
            }
            return all;
        }
        if depth == 0 {
            return Vec::new();
        }
        self.awaited(child, None, look, depth - 1).collect()
    }

    /// The reason why a resource that the client asks for is not ready; `None` if it is ready.
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
                let carries = |sent: &Sent| match sent.purpose {
                    Purpose::Make => sent.changes(name),
                    // A cluster that is sent once more blocks nothing, unless it was not accepted before.
                    Purpose::Answer => sent.resources.get(name).is_some_and(|answer| {
                        let is_new = || !is_accepted(state, answer);
                        waits(&state.kind) || (state.kind == ResourceType::Cluster && is_new())
                    }),
                    Purpose::Break | Purpose::Heartbeat => false,
                };
                let mut open = state.in_flight.iter().filter(|sent| carries(sent));
                open.any(|sent| !self.is_overdue(sent, look.now) && !self.is_seen_warm(state, sent, name, look.now))
                    .then_some(Awaiting::Unanswered)
            }
        }
    }

    /// Returns true if a cluster of an unanswered response is known to be warm: an Envoy withholds the answer while any
    /// cluster of the response warms (O-5).
    fn is_seen_warm(&self, clusters: &TypeState, sent: &Sent, name: &ResourceName, now: Instant) -> bool {
        if !self.features.envoy || clusters.kind != ResourceType::Cluster {
            return false;
        }
        let in_flight = &clusters.in_flight;
        let cluster = sent.changed.get(name);
        let is_patient = || now.saturating_duration_since(sent.sent_at) >= self.policy.ordering.patience;
        cluster.is_some_and(|cluster| match cluster.warming {
            Warming::Unseen => false,
            Warming::WithEndpoints => in_flight.is_warm_by_endpoints(sent, cluster),
            // Nothing shows that the cluster was applied, but another cluster explains the missing answer.
            Warming::AtOnce => is_patient() && in_flight.iter().any(|sent| is_warming(in_flight, sent)),
        })
    }

    /// Returns true if changes no longer wait for this unanswered response; removals still do (O-4).
    pub(super) fn is_overdue(&self, sent: &Sent, now: Instant) -> bool {
        now.saturating_duration_since(sent.sent_at) >= self.policy.ordering.make_timeout
    }

    /// Returns true if the snapshot holds everything that the client would take as the complete set of a type (S-20).
    #[must_use]
    pub fn is_complete(&self, kind: &ResourceType, snapshot: &Snapshot) -> bool {
        self.state_of(kind).is_none_or(|state| self.is_known(state, snapshot))
    }

    /// Returns true if the goal is known to hold everything of the type, where a list is taken as complete (S-9, S-20).
    pub(super) fn is_known(&self, state: &TypeState, goal: &Snapshot) -> bool {
        let is_list = state.subscription.is_wildcard() || self.variant == Variant::Sotw;
        if !is_list || !removes_by_omission(&state.kind) {
            return true;
        }
        // As far as the server knows, the group never had the type; but a reconnecting client may hold some of it.
        let brings_some = state.fresh && (state.presented.is_some() || !state.view.held().is_empty());
        goal.is_whole(&state.kind) && (!brings_some || goal.had(&state.kind))
    }
}

/// Returns true if a cluster of an unanswered response is warming, as far as is known.
fn is_warming(in_flight: &InFlight, sent: &Sent) -> bool {
    let warms = |cluster: &Arc<Resource>| match cluster.warming {
        Warming::Unseen => true,
        Warming::WithEndpoints => !in_flight.is_warm_by_endpoints(sent, cluster),
        Warming::AtOnce => false,
    };
    sent.changed.iter().any(warms)
}

/// Returns true if the client has an older version of a cluster, which serves until the newer one is warm.
fn has_older(clusters: &TypeState, name: &ResourceName) -> bool {
    if clusters.refused.names(name.as_str()) {
        return clusters.view.before_refusal(name).is_some();
    }
    let mut open = clusters.in_flight.iter().filter(|sent| sent.changes(name));
    match open.next() {
        None => clusters.view.has_given(name),
        Some(oldest) => oldest.replaced().any(|before| before.name == *name),
    }
}

/// Returns true if the client accepted this version of the resource.
fn is_accepted(state: &TypeState, resource: &Resource) -> bool {
    let accepted = state.view.accepted(&resource.name);
    accepted.is_some_and(|accepted| accepted.version == resource.version)
}
