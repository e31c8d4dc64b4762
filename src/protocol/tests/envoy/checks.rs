//! Checks at every step of a run of the model. Each has the letter that a failed run names.
//!
//! The client itself finds (a), conflicts, and (c), waits for something that is never sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    super::fixture::*,
    client::{Client, NAMED, Request, has_hosts, has_scopes, is_bad},
    link::ControlPlane,
    schedule::Pace,
};
use crate::{
    protocol::{Policy, Response, Variant},
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::{Revision, Snapshot},
};

/// The time that a change waits for a cluster, in milliseconds; then it is sent in any case (O-4).
const MAKE_TIMEOUT: u64 = 30_000;

pub(super) struct Checks {
    variant: Variant,
    /// (e) The limit for an unrelated change, in milliseconds: the client's own delays and a second.
    bound: u64,
    probes: Vec<Probe>,
    goal: Option<Arc<Snapshot>>,
    /// SotW, after a restart of the control plane: the server knows neither what the client holds nor its drains.
    is_stranger: bool,
    /// The control plane was restarted, and knows only parents that it has published since.
    was_restarted: bool,
    /// Delta, after a restart: the client applied listeners or clusters of a refused response, and has no version of
    /// them to present. The server cannot know what they need.
    has_unknown: bool,
    /// Route configurations that the client asked for at a restart and did not present. The server knows neither the
    /// form in which their listener came nor whether it drains with them.
    unseen: BTreeSet<ResourceName>,
    /// The last reported progress: synced (`true`) or blocked, and the revision.
    pub(super) progress: Option<(bool, Revision)>,
    refusals: Vec<Refusal>,
    /// Entry points of requests that once had all of their clusters.
    healthy: BTreeSet<String>,
    /// Versions of bad content that the client saw.
    seen_bad: BTreeSet<Version>,
    /// Responses without an answer, as the server sees them.
    in_flight: BTreeMap<ResourceType, Vec<String>>,
    fault: Option<String>,
}

/// An unrelated change that the client does not hold yet.
struct Probe {
    kind: ResourceType,
    name: &'static str,
    content: u32,
    due: u64,
}

/// A response that was refused for its content.
struct Refusal {
    kind: ResourceType,
    carried: Vec<(ResourceName, Version)>,
    removed: Vec<ResourceName>,
    /// Another response of the type was sent since.
    is_overtaken: bool,
}

// === impl Checks ===

impl Checks {
    pub(super) fn new(variant: Variant, pace: &Pace) -> Self {
        let busy = pace.busy.iter().max().copied().unwrap_or_default();
        Self {
            variant,
            bound: 4 * pace.network + 3 * busy + 1_000,
            probes: Vec::new(),
            goal: None,
            is_stranger: false,
            was_restarted: false,
            has_unknown: false,
            unseen: BTreeSet::new(),
            progress: None,
            refusals: Vec::new(),
            healthy: BTreeSet::new(),
            seen_bad: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            fault: None,
        }
    }

    // === events ===

    pub(super) fn on_publish(&mut self, stream: &Stream) {
        self.goal = Some(stream.newest());
        self.excuse_changed();
    }

    /// Allows a refused resource to be sent again once its content has changed.
    fn excuse_changed(&mut self) {
        let Some(goal) = &self.goal else { return };
        self.refusals.retain(|refusal| {
            let is_same = |(name, version): &(ResourceName, Version)| {
                let now = goal.resource(&refusal.kind, name.as_str());
                now.is_some_and(|now| now.version == *version)
            };
            refusal.carried.iter().all(is_same)
        });
    }

    pub(super) fn on_cut_off(&mut self, control_plane: ControlPlane, client: &Client) {
        if control_plane == ControlPlane::Restarted {
            self.unseen.extend(client.unpresented(&Route));
        }
        self.probes.clear();
        self.refusals.clear();
        // The next stream does not know what this one refused.
        self.seen_bad.clear();
        self.in_flight.clear();
        self.progress = None;
        self.has_unknown |=
            self.variant == Variant::Delta && control_plane == ControlPlane::Restarted && client.holds_unpresented();
        self.was_restarted |= control_plane == ControlPlane::Restarted;
        // A client that was not synced before is not known to the new control plane.
        self.is_stranger |= self.variant == Variant::Sotw && control_plane == ControlPlane::Restarted;
    }

    pub(super) fn on_request(&mut self, request: &Request) {
        let (url, nonce, asks) = match request {
            Request::Sotw(request) => (&request.type_url, &request.response_nonce, true),
            Request::Delta(request) => {
                let asks = !request.resource_names_subscribe.is_empty();
                (&request.type_url, &request.response_nonce, asks)
            }
        };
        let Some(kind) = ResourceType::from_type_url(url) else {
            return;
        };
        let sent = self.in_flight.entry(kind.clone()).or_default();
        match (self.variant, sent.iter().position(|sent| sent == nonce)) {
            (Variant::Sotw, Some(at)) => drop(sent.drain(..=at)),
            (Variant::Delta, Some(at)) => drop(sent.remove(at)),
            (Variant::Sotw | Variant::Delta, None) => {}
        }
        // D-4, W-6: a name that is requested again is sent again.
        if asks && NAMED.contains(&kind) {
            self.refusals.retain(|refusal| refusal.kind != kind);
        }
    }

    pub(super) fn on_sent(&mut self, response: &Response) {
        let kind = &response.delivery.resource_type;
        let sent = self.in_flight.entry(kind.clone()).or_default();
        sent.push(response.delivery.nonce.to_string());
        let limit = Policy::default().limits.answers_in_flight;
        if sent.len() > limit {
            self.fault = Some(format!(
                "(g) more than {limit} responses of {kind} wait for their answer"
            ));
        }
        self.check_again(response);
    }

    /// (f) A refused resource is sent again only changed, behind a changed parent, or in a full state after another
    /// one.
    fn check_again(&mut self, response: &Response) {
        let kind = &response.delivery.resource_type;
        let carried = carried(response);
        let is_full = self.variant == Variant::Sotw && matches!(kind, Cluster | Listener | ScopedRoute);
        let is_same = |refusal: &Refusal| {
            refusal.kind == *kind
                && refusal.carried == carried
                && refusal.removed == response.removed
                && !(is_full && refusal.is_overtaken)
        };
        if self.refusals.iter().any(is_same) {
            self.fault = Some(format!("(f) {} was refused and is sent again", gist(response)));
        }
        self.refusals.retain(|refusal| !is_parent(kind, &refusal.kind));
        let others = self.refusals.iter_mut().filter(|refusal| refusal.kind == *kind);
        others.for_each(|refusal| refusal.is_overtaken = true);
    }

    pub(super) fn on_response(&mut self, response: &Response, refused: Option<&str>) {
        let kind = &response.delivery.resource_type;
        if refused.is_none() {
            return;
        }
        let bad = response.resources.iter().filter(|resource| is_bad(resource));
        let bad: Vec<Version> = bad.map(|resource| resource.version.clone()).collect();
        let is_new = bad.is_empty() || bad.iter().any(|version| !self.seen_bad.contains(version));
        self.seen_bad.extend(bad.iter().cloned());
        // Of the other types a whole response is refused, unrelated resources with it.
        let is_excused = *kind == ScopedRoute || (is_new && !matches!(kind, Cluster | Listener));
        self.probes.retain(|probe| !(is_excused && probe.kind == *kind));
        if !bad.is_empty() {
            self.refusals.push(Refusal {
                kind: kind.clone(),
                carried: carried(response),
                removed: response.removed.clone(),
                is_overtaken: self.is_overtaken(response),
            });
        }
        // The content may have changed already when the response was sent.
        self.excuse_changed();
    }

    /// Returns true if another response of the type is in flight behind this one.
    fn is_overtaken(&self, response: &Response) -> bool {
        let sent = self.in_flight.get(&response.delivery.resource_type);
        sent.and_then(|sent| sent.last())
            .is_some_and(|last| *last != response.delivery.nonce.to_string())
    }

    // === (e) ===

    /// Expects an unrelated change, if the client holds the resource and asked for its type on this stream.
    pub(super) fn expect(&mut self, client: &Client, kind: ResourceType, name: &'static str, content: u32, now: u64) {
        // A restarted control plane does not know an Envoy that does not ask for clusters because one of them is
        // warming.
        let is_unknown = self.was_restarted && !client.has_asked(&Cluster);
        if client.has_asked(&kind) && client.newest(&kind, name).is_some() && !is_unknown {
            let due = now + self.bound;
            self.probes.push(Probe {
                kind,
                name,
                content,
                due,
            });
        }
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        self.probes.iter().map(|probe| probe.due + 1).min()
    }

    fn check_probes(&mut self, client: &Client, now: u64) -> Result<(), String> {
        self.probes.retain(|probe| {
            let held = client.newest(&probe.kind, probe.name);
            // The resource went with everything that referred to it.
            let content = held.map_or(u32::MAX, |held| content_of(held));
            content < probe.content
        });
        match self.probes.iter().find(|probe| probe.due < now) {
            Some(Probe {
                kind, name, content, ..
            }) => Err(format!(
                "(e) {kind} {name}@{content} is unrelated to other changes, and did not arrive within {} ms",
                self.bound
            )),
            None => Ok(()),
        }
    }

    // === at every step ===

    pub(super) fn check(&mut self, client: &mut Client, now: u64) -> Result<(), String> {
        // A restarted server knows only parents that it has published since.
        let is_excused = |fault: &String| self.was_restarted && fault.starts_with("(c)");
        let fault = self.fault.take().or_else(|| client.faults.pop());
        if let Some(fault) = fault.filter(|fault| !is_excused(fault)) {
            return Err(fault);
        }
        self.check_traffic(client, now)?;
        self.check_probes(client, now)?;
        let goal = self.goal.as_ref();
        let is_mended = |kind: &ResourceType| goal.is_some_and(|goal| differences(client, goal, kind).is_empty());
        let mended: Vec<_> = client.unmended.iter().filter(|kind| is_mended(kind)).cloned().collect();
        for kind in mended {
            client.unmended.remove(&kind);
        }
        Ok(())
    }

    /// (b) An entry point refers only to clusters that the client was given. Once it could serve all of its traffic, it
    /// never refers to a cluster that the client does not hold, or has warming for the first time.
    fn check_traffic(&mut self, client: &Client, now: u64) -> Result<(), String> {
        let entries = entries(client);
        self.healthy.retain(|entry| entries.contains_key(entry));
        for (entry, users) in entries {
            let named = users.iter().flat_map(|user| user.references_to(&Cluster));
            let lost: Vec<&ResourceName> = named.filter(|name| !is_warm(client, name)).collect();
            if lost.is_empty() {
                // An entry point without routes serves no traffic that could be lost.
                if !users.is_empty() {
                    self.healthy.insert(entry);
                }
                continue;
            }
            // The order does not wait for ever.
            let is_late = lost
                .iter()
                .all(|name| warms_since(client, name).is_some_and(|since| since + MAKE_TIMEOUT <= now));
            let was_healthy = self.healthy.remove(&entry);
            let is_given = |name: &&&ResourceName| {
                client.clusters.contains_key(**name) || client.refused_clusters.contains(**name)
            };
            let unknown = lost.iter().find(|name| !is_given(name));
            let is_unseen = users.iter().any(|user| self.unseen.contains(&user.name));
            let lost = unknown.or_else(|| lost.first().filter(|_| was_healthy && !is_late && !is_unseen));
            if let Some(name) = lost.filter(|_| !self.is_stranger && !self.has_unknown) {
                let state = if client.clusters.contains_key(*name) {
                    "is not warm yet"
                } else {
                    "is missing"
                };
                return Err(format!(
                    "(b) {entry} serves and needs the cluster {name}, which {state}"
                ));
            }
        }
        Ok(())
    }

    // === (d) ===

    pub(super) fn converged(&self, client: &Client, stream: &Stream) -> Result<(), String> {
        if self.has_unknown {
            return Ok(());
        }
        let goal = stream.newest();
        for kind in [
            Cluster,
            Endpoint,
            Listener,
            Route,
            ScopedRoute,
            VirtualHost,
            Secret,
            ExtensionConfig,
        ] {
            let differences = differences(client, &goal, &kind);
            if !differences.is_empty() {
                return Err(format!("(d) it does not converge: {kind} {}", differences.join(", ")));
            }
        }
        if client.is_warming() || !client.fetches.is_empty() || !client.draining.is_empty() {
            return Err("(d) it does not converge: something still warms or drains".into());
        }
        match self.progress {
            Some((true, revision)) if revision == goal.revision() => Ok(()),
            reported => Err(format!(
                "(d) the session says {reported:?}, not in sync as of {}",
                goal.revision()
            )),
        }
    }
}

/// The differences between the client's resources of a type and the published ones.
fn differences(client: &Client, goal: &Snapshot, kind: &ResourceType) -> Vec<String> {
    let held = client.all_of(kind);
    let is_wanted = |resource: &Arc<Resource>| match kind {
        Cluster | Listener => true,
        // The type counts only if the client asks for it.
        ScopedRoute => !held.is_empty(),
        VirtualHost => {
            let route = resource.name.as_str().split_once('/').map(|(route, _)| route);
            route
                .and_then(|route| client.newest(&Route, route))
                .is_some_and(|route| has_hosts(route))
        }
        _ => client.wants(kind, &resource.name),
    };
    let published = goal.get(kind).into_iter().flat_map(|all| all.as_slice());
    let lacking = published
        .filter(|resource| is_wanted(resource))
        .filter(|resource| {
            held.get(&resource.name)
                .is_none_or(|held| held.version != resource.version)
        })
        .map(|resource| format!("{} is missing or old", resource.name));
    let is_gone = |name: &&ResourceName| goal.resource(kind, name.as_str()).is_none();
    // A resource that the server cannot know of stays with the client, and its children with it.
    let is_orphan = |name: &&ResourceName| {
        let of_orphans = NAMED.contains(kind) && !client.orphans.is_empty();
        of_orphans || client.orphans.contains(&(kind.clone(), ResourceName::clone(name)))
    };
    let extra = held.keys().filter(|name| is_gone(name) && !is_orphan(name));
    lacking.chain(extra.map(|name| format!("{name} is left"))).collect()
}

fn is_warm(client: &Client, name: &ResourceName) -> bool {
    client
        .clusters
        .get(name)
        .is_some_and(|cluster| cluster.active.is_some())
}

fn warms_since(client: &Client, name: &ResourceName) -> Option<u64> {
    let warming = client.clusters.get(name)?.warming.as_ref()?;
    Some(warming.since)
}

/// The entry points of requests (listeners, scopes, virtual hosts, and the route configurations of draining listeners),
/// each with the resources that say to which cluster the requests go.
///
/// Listeners that drain, or whose successor is on its way, count by their route configurations only: nothing on the
/// wire shows which clusters they name themselves (O-12).
fn entries(client: &Client) -> BTreeMap<String, Vec<&Arc<Resource>>> {
    let routes = |parent: &Resource| -> Vec<&Arc<Resource>> {
        let held = client.held.get(&Route);
        parent
            .references_to(&Route)
            .filter_map(|name| held?.get(name))
            .collect()
    };
    let mut entries: BTreeMap<String, Vec<&Arc<Resource>>> = BTreeMap::new();
    let mut has_scopes = false;
    for (name, listener) in &client.listeners {
        let Some(active) = &listener.active else { continue };
        has_scopes |= self::has_scopes(active);
        let itself = Some(active).filter(|_| listener.warming.is_none());
        let by_route = active.references_to(&Route).next().is_some();
        let itself = itself.filter(|_| !by_route);
        entries.insert(
            format!("listener {name}"),
            itself.into_iter().chain(routes(active)).collect(),
        );
    }
    for (old, _) in &client.draining {
        has_scopes |= self::has_scopes(old);
        for route in routes(old) {
            entries.insert(format!("old route {}", route.name), vec![route]);
        }
    }
    if has_scopes {
        for scope in client.held.get(&ScopedRoute).into_iter().flat_map(BTreeMap::values) {
            entries.insert(format!("scope {}", scope.name), routes(scope));
        }
    }
    let serving: BTreeSet<ResourceName> = entries.values().flatten().map(|route| route.name.clone()).collect();
    for host in client.held.get(&VirtualHost).into_iter().flat_map(BTreeMap::values) {
        let route = host.name.as_str().split_once('/').map(|(route, _)| route);
        if route.is_some_and(|route| serving.contains(route)) {
            entries.insert(format!("virtual host {}", host.name), vec![host]);
        }
    }
    entries
}

fn content_of(resource: &Resource) -> u32 {
    let text = String::from_utf8_lossy(&resource.body);
    text.parse().expect("an unrelated resource has a number as its content")
}

fn carried(response: &Response) -> Vec<(ResourceName, Version)> {
    let all = response.resources.iter();
    all.map(|resource| (resource.name.clone(), resource.version.clone()))
        .collect()
}

/// Returns true if changes of `parent` send resources of `child` again.
fn is_parent(parent: &ResourceType, child: &ResourceType) -> bool {
    match child {
        Endpoint => *parent == Cluster,
        Secret => matches!(parent, Cluster | Listener),
        Route => matches!(parent, Listener | ScopedRoute),
        VirtualHost => *parent == Route,
        _ => false,
    }
}
