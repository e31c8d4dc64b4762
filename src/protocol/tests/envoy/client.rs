//! The model's Envoy: warms clusters and listeners, drains old ones, refuses what it must, and asks for what it needs.
//!
//! It never sees the published state. Its time is in milliseconds since the start of the run.

mod apply;
mod mux;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::mux::Mux;
pub(super) use self::{apply::is_bad, mux::Request};
use super::{super::fixture::*, schedule::Pace};
use crate::{
    protocol::Variant,
    resource::{Resource, ResourceName, ResourceType, Warming as Warm},
};

/// Envoy's `initial_fetch_timeout`, in milliseconds.
const FETCH_TIMEOUT: u64 = 15_000;

/// Types that are requested by the names in their parents.
pub(super) const NAMED: [ResourceType; 4] = [Endpoint, Secret, Route, ExtensionConfig];

type Held = BTreeMap<ResourceName, Arc<Resource>>;

/// A model of an Envoy.
pub(super) struct Client {
    pub(super) variant: Variant,
    pace: Pace,
    /// The number of values that were drawn from each list of the pace.
    drawn: [usize; 3],
    mux: BTreeMap<ResourceType, Mux>,
    pub(super) clusters: BTreeMap<ResourceName, Versions>,
    pub(super) listeners: BTreeMap<ResourceName, Versions>,
    /// Old listeners, each with the time until which it serves.
    pub(super) draining: Vec<(Arc<Resource>, u64)>,
    /// The resources that it holds of the other types.
    pub(super) held: BTreeMap<ResourceType, Held>,
    /// The resources that it waits for, each with the time since when.
    pub(super) fetches: BTreeMap<(ResourceType, ResourceName), u64>,
    /// Types of which a resource was refused, until they are as published.
    pub(super) unmended: BTreeSet<ResourceType>,
    /// Resources that it applied from refused responses before it was cut off: no later request mentions them.
    pub(super) orphans: BTreeSet<(ResourceType, ResourceName)>,
    /// Clusters that it refused when it last received them.
    pub(super) refused_clusters: BTreeSet<ResourceName>,
    /// It may ask for listeners, since its first clusters are warm.
    is_initialized: bool,
    /// Faults: states that it should never have seen.
    pub(super) faults: Vec<String>,
    /// Events since the last look.
    pub(super) notes: Vec<String>,
}

/// A cluster or listener: the version that serves, and the one that will take its place.
#[derive(Default)]
pub(super) struct Versions {
    pub(super) active: Option<Arc<Resource>>,
    pub(super) warming: Option<Warming>,
}

pub(super) struct Warming {
    pub(super) resource: Arc<Resource>,
    /// The time since when this name warms, whatever its content was.
    pub(super) since: u64,
    /// The time at which it will be warm, once it has what it needs.
    due: Option<u64>,
}

// === impl Versions ===

impl Versions {
    pub(super) fn newest(&self) -> Option<&Arc<Resource>> {
        let warming = self.warming.as_ref().map(|warming| &warming.resource);
        warming.or(self.active.as_ref())
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.active
            .iter()
            .chain(self.warming.iter().map(|warming| &warming.resource))
    }

    fn warm(&mut self, resource: &Arc<Resource>, now: u64) {
        let since = self.warming.as_ref().map_or(now, |warming| warming.since);
        self.warming = Some(Warming {
            resource: Arc::clone(resource),
            since,
            due: None,
        });
    }
}

// === impl Client ===

impl Client {
    pub(super) fn new(variant: Variant, pace: Pace) -> Self {
        Self {
            variant,
            pace,
            drawn: [0; 3],
            mux: BTreeMap::new(),
            clusters: BTreeMap::new(),
            listeners: BTreeMap::new(),
            draining: Vec::new(),
            held: BTreeMap::new(),
            fetches: BTreeMap::new(),
            unmended: BTreeSet::new(),
            orphans: BTreeSet::new(),
            refused_clusters: BTreeSet::new(),
            is_initialized: false,
            faults: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The time for which it is busy before it takes the next response.
    pub(super) fn draw_busy(&mut self) -> u64 {
        draw(&self.pace.busy, &mut self.drawn[0])
    }

    pub(super) fn is_warming(&self) -> bool {
        self.clusters.values().any(|cluster| cluster.warming.is_some())
    }

    /// The newest version of a resource that it has applied.
    pub(super) fn newest(&self, kind: &ResourceType, name: &str) -> Option<&Arc<Resource>> {
        match kind {
            Cluster => self.clusters.get(name)?.newest(),
            Listener => self.listeners.get(name)?.newest(),
            _ => self.held.get(kind)?.get(name),
        }
    }

    /// All resources of a type that it has applied, the newest of each name.
    pub(super) fn all_of(&self, kind: &ResourceType) -> Held {
        let newest = |versions: &BTreeMap<ResourceName, Versions>| {
            let newest =
                |(name, versions): (&ResourceName, &Versions)| Some((name.clone(), Arc::clone(versions.newest()?)));
            versions.iter().filter_map(newest).collect()
        };
        match kind {
            Cluster => newest(&self.clusters),
            Listener => newest(&self.listeners),
            _ => self.held.get(kind).cloned().unwrap_or_default(),
        }
    }

    /// Returns true if it asks for this name.
    pub(super) fn wants(&self, kind: &ResourceType, name: &ResourceName) -> bool {
        self.mux.get(kind).is_some_and(|mux| mux.names.contains(name))
    }

    /// Names that it asks for and would not present.
    pub(super) fn unpresented(&self, kind: &ResourceType) -> BTreeSet<ResourceName> {
        let mux = self.mux.get(kind);
        let names = mux
            .into_iter()
            .flat_map(|mux| mux.names.iter().filter(|name| !mux.presents(name)));
        names.cloned().collect()
    }

    /// Returns true if it has clusters or listeners that it would not present.
    pub(super) fn holds_unpresented(&self) -> bool {
        let presents = |kind: &ResourceType, name| self.mux.get(kind).is_some_and(|mux| mux.presents(name));
        let mut clusters = self.clusters.keys();
        let mut listeners = self.listeners.keys();
        clusters.any(|name| !presents(&Cluster, name)) || listeners.any(|name| !presents(&Listener, name))
    }

    /// Returns true if it asked for the type on this stream.
    pub(super) fn has_asked(&self, kind: &ResourceType) -> bool {
        self.mux.get(kind).is_some_and(Mux::is_open)
    }

    // === time ===

    /// Advances to `now`: warm resources serve, drained ones go, and missing ones are waited for.
    pub(super) fn advance(&mut self, now: u64) {
        self.find_wanted(now);
        self.give_up(now);
        self.draining.retain(|(_, until)| *until > now);
        self.warm_clusters(now);
        if !self.is_initialized && self.mux.contains_key(&Cluster) {
            self.is_initialized = self.mux[&Cluster].has_heard() && !self.is_warming();
        }
        self.warm_listeners(now);
        self.find_wanted(now);
    }

    /// The next time at which it does something by itself.
    pub(super) fn next_wake(&self) -> Option<u64> {
        let warming = self
            .clusters
            .values()
            .filter_map(|cluster| cluster.warming.as_ref()?.due);
        let drains = self.draining.iter().map(|(_, until)| *until);
        let fetches = self.fetches.values().map(|since| since + FETCH_TIMEOUT);
        warming.chain(drains).chain(fetches).min()
    }

    fn give_up(&mut self, now: u64) {
        let late: Vec<_> = self
            .fetches
            .iter()
            .filter(|(_, since)| **since + FETCH_TIMEOUT <= now)
            .collect();
        let late: Vec<_> = late.into_iter().map(|(key, _)| key.clone()).collect();
        for (kind, name) in late {
            self.faults
                .push(format!("(c) it waited for {kind} {name}, which was never sent"));
            self.fetches.remove(&(kind, name));
        }
    }

    fn warm_clusters(&mut self, now: u64) {
        for (name, cluster) in &mut self.clusters {
            let Some(warming) = &mut cluster.warming else {
                continue;
            };
            if has_all(&self.fetches, &warming.resource) && warming.due.is_none() {
                let checks = match warming.resource.warming {
                    Warm::Unseen => draw(&self.pace.warming, &mut self.drawn[1]),
                    Warm::WithEndpoints | Warm::AtOnce => 0,
                };
                warming.due = Some(now + checks);
            }
            if warming.due.is_some_and(|due| due <= now) {
                self.notes.push(format!("cluster {name} is warm"));
                cluster.active = cluster.warming.take().map(|warming| warming.resource);
            }
        }
    }

    fn warm_listeners(&mut self, now: u64) {
        let scopes_are_there = !self.fetches.contains_key(&(ScopedRoute, "*".into()));
        for (name, listener) in &mut self.listeners {
            let is_ready = |warming: &Warming| {
                has_all(&self.fetches, &warming.resource) && (scopes_are_there || !has_scopes(&warming.resource))
            };
            if listener.warming.as_ref().is_some_and(is_ready) {
                self.notes.push(format!("listener {name} is warm"));
                let until = now + draw(&self.pace.drain, &mut self.drawn[2]);
                let old = listener.active.take().map(|old| (old, until));
                self.draining.extend(old);
                listener.active = listener.warming.take().map(|warming| warming.resource);
            }
        }
        self.draining.retain(|(_, until)| *until > now);
    }

    // === subscriptions ===

    /// The listeners that serve, may still serve, or are about to.
    fn all_listeners(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let draining = self.draining.iter().map(|(old, _)| old);
        self.listeners.values().flat_map(Versions::all).chain(draining)
    }

    fn wanted(&self, kind: &ResourceType) -> BTreeSet<ResourceName> {
        let clusters = self.clusters.values().flat_map(Versions::all);
        let mut parents: Vec<&Arc<Resource>> = clusters.chain(self.all_listeners()).collect();
        if self.all_listeners().any(|listener| has_scopes(listener)) {
            parents.extend(self.held.get(&ScopedRoute).into_iter().flat_map(BTreeMap::values));
        }
        let names = parents.into_iter().flat_map(|parent| parent.references_to(kind));
        names.cloned().collect()
    }

    /// Updates the names to ask for, waits for the missing ones, and unsubscribes from the others.
    fn find_wanted(&mut self, now: u64) {
        for kind in NAMED {
            let wanted = self.wanted(&kind);
            let held = self.held.entry(kind.clone()).or_default();
            held.retain(|name, _| wanted.contains(name));
            let mux = self.mux.entry(kind.clone()).or_default();
            let fetches = &mut self.fetches;
            fetches.retain(|(fetched, name), _| *fetched != kind || wanted.contains(name));
            for name in wanted.difference(&mux.names).filter(|name| !held.contains_key(*name)) {
                fetches.entry((kind.clone(), name.clone())).or_insert(now);
            }
            mux.names = wanted;
        }
        self.forget_hosts();
        let wants_scopes = self.all_listeners().any(|listener| has_scopes(listener));
        let routes = self.held.get(&Route).into_iter().flat_map(BTreeMap::values);
        let wants_hosts = routes.clone().any(|route| has_hosts(route));
        for (kind, is_wanted) in [
            (Cluster, true),
            (Listener, self.is_initialized),
            (ScopedRoute, wants_scopes),
            (VirtualHost, wants_hosts),
        ] {
            let mux = self.mux.entry(kind.clone()).or_default();
            if is_wanted && !mux.is_wildcard {
                mux.is_wildcard = true;
                if kind == ScopedRoute {
                    self.fetches.insert((kind, "*".into()), now);
                }
            }
        }
    }
}

impl Client {
    /// Forgets virtual hosts of route configurations that it does not hold, or that have none by VHDS.
    fn forget_hosts(&mut self) {
        let routes = self.held.get(&Route).cloned().unwrap_or_default();
        let is_known = |host: &ResourceName| {
            let route = host.as_str().split_once('/').and_then(|(route, _)| routes.get(route));
            route.is_some_and(|route| has_hosts(route))
        };
        if let Some(hosts) = self.held.get_mut(&VirtualHost) {
            hosts.retain(|name, _| is_known(name));
        }
        let is_awaited = |key: &(ResourceType, ResourceName)| key.0 != VirtualHost || routes.contains_key(&key.1);
        self.fetches.retain(|key, _| is_awaited(key));
    }
}

fn draw(values: &[u64], drawn: &mut usize) -> u64 {
    *drawn += 1;
    values[(*drawn - 1) % values.len()]
}

fn has_all(fetches: &BTreeMap<(ResourceType, ResourceName), u64>, parent: &Resource) -> bool {
    let mut children = parent.references.iter();
    !children.any(|child| fetches.contains_key(&(child.resource_type.clone(), child.name.clone())))
}

pub(super) fn has_scopes(listener: &Resource) -> bool {
    listener.body.ends_with(b" scopes")
}

pub(super) fn has_hosts(route: &Resource) -> bool {
    route.body.ends_with(b" hosts")
}
