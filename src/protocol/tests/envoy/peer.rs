//! An Envoy led by hand: it applies responses, asks for the children of what it holds, and answers on command.
//!
//! It panics where a real Envoy would lose a request: it holds a route to a cluster that it does not hold, or that was
//! never warm. It refuses what a real Envoy would refuse.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{super::fixture::*, link, link::ControlPlane};
use crate::{
    protocol::{Outcome, Response, Variant},
    resource::{Resource, ResourceName, ResourceType},
};

pub(super) const BOTH: [Variant; 2] = [Variant::Sotw, Variant::Delta];

/// Types that are requested by the names in their parents.
const NAMED: [ResourceType; 4] = [Endpoint, Route, Secret, ExtensionConfig];

/// An Envoy led by hand.
pub(super) struct Peer {
    pub(super) variant: Variant,
    pub(super) stream: Stream,
    streams: u32,
    names: BTreeMap<ResourceType, BTreeSet<String>>,
    held: BTreeMap<ResourceType, BTreeMap<ResourceName, Arc<Resource>>>,
    /// Clusters whose response was answered.
    warm: BTreeSet<ResourceName>,
    unanswered: VecDeque<Response>,
    /// The faults of refused responses, by nonce.
    faults: BTreeMap<String, String>,
    /// The version and nonce that were answered last.
    answered: BTreeMap<ResourceType, (String, String)>,
    log: Vec<String>,
}

// === impl Peer ===

impl Peer {
    /// An Envoy that is up, holds everything and has answered everything.
    pub(super) fn running(variant: Variant, config: &Config) -> Self {
        Self::running_with(variant, config, &[])
    }

    /// Does the same, with wildcards of further types.
    pub(super) fn running_with(variant: Variant, config: &Config, wildcards: &[ResourceType]) -> Self {
        let mut peer = Self {
            variant,
            stream: link::connect(variant),
            streams: 0,
            names: BTreeMap::new(),
            held: BTreeMap::new(),
            warm: BTreeSet::new(),
            unanswered: VecDeque::new(),
            faults: BTreeMap::new(),
            answered: BTreeMap::new(),
            log: Vec::new(),
        };
        peer.stream.publish(config);
        for kind in [Cluster, Listener].iter().chain(wildcards) {
            peer.ask(kind, &[]);
            peer.settle();
        }
        peer
    }

    // === events ===

    pub(super) fn publish(&mut self, config: &Config) {
        self.log.push("publish".into());
        self.stream.publish(config);
        self.receive();
    }

    /// Publishes while the Envoy is cut off; `reconnect` comes next.
    pub(super) fn cut_off_publish(&mut self, config: &Config) {
        self.log.push("publish while cut off".into());
        self.unanswered.clear();
        self.stream.publish(config);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.log.push(format!("{time:?} pass"));
        self.stream.pass(time);
        self.receive();
    }

    /// Opens the next stream: first requests of the types in this order, each with what the Envoy holds.
    pub(super) fn reconnect(&mut self, control_plane: ControlPlane, order: &[ResourceType]) {
        self.log.push(format!("reconnects, {control_plane:?}, {order:?}"));
        self.streams += 1;
        self.stream = link::reconnect(&self.stream, self.variant, control_plane, self.streams);
        self.unanswered.clear();
        for kind in order {
            let names = self.list(kind);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            match self.variant {
                Variant::Sotw => {
                    let version = self.answered.get(kind).map_or("", |(version, _)| version.as_str());
                    self.stream.send(&sotw(kind, &names, version, ""));
                }
                Variant::Delta => {
                    let mut request = delta(kind, &names, &[]);
                    let held = self.held.get(kind).into_iter().flatten();
                    request.initial_resource_versions = held
                        .map(|(name, held)| (name.to_string(), held.version.to_string()))
                        .collect();
                    self.stream.send_delta(&request);
                }
            }
            self.receive();
        }
        self.answered.values_mut().for_each(|(_, nonce)| nonce.clear());
    }

    // === requests ===

    /// Subscribes to these names of a type instead of those before; no names mean "all" if the type has a wildcard.
    pub(super) fn ask(&mut self, kind: &ResourceType, names: &[&str]) {
        self.log.push(format!("asks for {kind} {names:?}"));
        let now: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let before = self.names.insert(kind.clone(), now.clone()).unwrap_or_default();
        match self.variant {
            Variant::Sotw => {
                let (version, nonce) = self.answered.get(kind).cloned().unwrap_or_default();
                self.stream.send(&sotw(kind, names, &version, &nonce));
            }
            Variant::Delta => {
                let more: Vec<&str> = now.difference(&before).map(String::as_str).collect();
                let less: Vec<&str> = before.difference(&now).map(String::as_str).collect();
                self.stream.delta(kind, &more, &less);
            }
        }
        if NAMED.contains(kind) {
            let held = self.held.entry(kind.clone()).or_default();
            held.retain(|name, _| now.contains(name.as_str()));
        }
        self.receive();
    }

    /// Subscribes to the names in its resources that it has not subscribed to yet.
    pub(super) fn follow(&mut self) {
        for kind in NAMED {
            let held = self.held.values().flat_map(BTreeMap::values);
            let named = held.flat_map(|resource| resource.references_to(&kind));
            let mut all: BTreeSet<String> = named.map(ToString::to_string).collect();
            let before = self.names.get(&kind).cloned().unwrap_or_default();
            if !all.is_subset(&before) {
                all.extend(before);
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                self.ask(&kind, &all);
            }
        }
    }

    /// Answers the responses of a type: each one in delta, the last one in SotW.
    pub(super) fn answer(&mut self, kind: &ResourceType) {
        let all = std::mem::take(&mut self.unanswered);
        let (mut due, others): (VecDeque<_>, _) = all.into_iter().partition(|r| r.delivery.resource_type == *kind);
        self.unanswered = others;
        if self.variant == Variant::Sotw {
            due.drain(..due.len().saturating_sub(1));
        }
        for response in due {
            self.answer_one(&response);
        }
        self.receive();
    }

    fn answer_one(&mut self, response: &Response) {
        let kind = &response.delivery.resource_type;
        let nonce = response.delivery.nonce.to_string();
        let is_refused = self.faults.contains_key(&nonce);
        self.log
            .push(format!("{} {nonce}", if is_refused { "NACK" } else { "ACK" }));
        let names = self.list(kind);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut version, _) = self.answered.get(kind).cloned().unwrap_or_default();
        match (self.variant, is_refused) {
            (Variant::Sotw, true) => self.stream.nack(response, &names, &version),
            (Variant::Sotw, false) => self.stream.ack(response, &names),
            (Variant::Delta, true) => self.stream.nack_delta(response),
            (Variant::Delta, false) => self.stream.ack_delta(response),
        }
        if !is_refused {
            version = response.delivery.version.to_string();
        }
        self.answered.insert(kind.clone(), (version, nonce));
        if *kind == Cluster {
            self.warm = self
                .held
                .get(&Cluster)
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect();
        }
    }

    /// Makes a cluster warm, though another one keeps the answer back.
    pub(super) fn warms_up(&mut self, name: &str) {
        self.warm.insert(name.into());
    }

    /// Asks and answers until there is nothing left to ask for or to answer.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            self.receive();
            self.follow();
            let Some(next) = self.unanswered.front() else {
                return;
            };
            let kind = next.delivery.resource_type.clone();
            self.answer(&kind);
        }
        panic!("the Envoy never comes to rest: {:#?}", self.log);
    }

    // === responses ===

    fn receive(&mut self) {
        for response in self.stream.drain() {
            let nonce = response.delivery.nonce.to_string();
            self.log.push(format!("{nonce}: {}", gist(&response)));
            self.take_in(&response, &nonce);
            self.unanswered.push_back(response);
            self.check_routes();
        }
    }

    /// Applies a response; of a refused one the valid part, where Envoy does (S-8).
    fn take_in(&mut self, response: &Response, nonce: &str) {
        let kind = response.delivery.resource_type.clone();
        let resources = response.resources.as_slice();
        let is_listed = matches!(kind, Cluster | Listener);
        let mut held = self.held.get(&kind).cloned().unwrap_or_default();
        if self.variant == Variant::Sotw && (is_listed || kind == ScopedRoute) {
            held.retain(|name, _| response.resources.get(name).is_some());
        }
        // Envoy ignores the removal of a route configuration: it keeps its version until it unsubscribes from the name.
        for name in response.removed.iter().filter(|_| kind != Route) {
            held.remove(name);
        }
        if !is_listed {
            // Envoy checks scopes and virtual hosts as they will be, and listeners one by one.
            held.retain(|name, _| response.resources.get(name).is_none());
        }
        for resource in resources {
            if let Some(fault) = fault(resource, &held) {
                self.log.push(format!("refused: {fault}"));
                self.faults.insert(nonce.to_owned(), fault);
            } else {
                held.insert(resource.name.clone(), Arc::clone(resource));
            }
        }
        if is_listed || !self.faults.contains_key(nonce) {
            self.held.insert(kind, held);
        }
    }

    fn check_routes(&self) {
        for kind in [Route, VirtualHost] {
            for route in self.held.get(&kind).into_iter().flat_map(BTreeMap::values) {
                for cluster in route.references_to(&Cluster) {
                    let is_held = self.held.get(&Cluster).is_some_and(|held| held.contains_key(cluster));
                    assert!(
                        is_held && self.warm.contains(cluster),
                        "{:?}: {route:?} names the cluster {cluster}, held {is_held}, which is not warm: {:#?}",
                        self.variant,
                        self.log
                    );
                }
            }
        }
    }

    // === questions ===

    fn list(&self, kind: &ResourceType) -> Vec<String> {
        self.names.get(kind).into_iter().flatten().cloned().collect()
    }

    /// The content of a resource that it holds.
    pub(super) fn holds(&self, kind: &ResourceType, name: &str) -> Option<String> {
        let resource = self.held.get(kind)?.get(name)?;
        Some(String::from_utf8_lossy(&resource.body).into_owned())
    }

    #[track_caller]
    pub(super) fn assert_holds(&self, kind: &ResourceType, name: &str, content: impl Into<Option<&'static str>>) {
        let (held, content) = (self.holds(kind, name), content.into());
        assert_eq!(
            held.as_deref(),
            content,
            "{kind} {name}, {:?}: {:#?}",
            self.variant,
            self.log
        );
    }

    /// The number of responses that it refused.
    pub(super) fn refusals(&self) -> usize {
        self.faults.len()
    }

    #[track_caller]
    pub(super) fn assert_nothing_refused(&self) {
        assert!(
            self.faults.is_empty(),
            "{:?} {:?}: {:#?}",
            self.variant,
            self.faults,
            self.log
        );
    }

    /// Asserts that the session has reported the client as synced to this revision.
    #[track_caller]
    pub(super) fn assert_synced(&self, revision: u64) {
        let progress = self.stream.outcomes.iter().rev().find_map(|outcome| match outcome {
            Outcome::Synced(revision) => Some((true, revision.0)),
            Outcome::Blocked(revision) => Some((false, revision.0)),
            _ => None,
        });
        assert_eq!(progress, Some((true, revision)), "{:?}: {:#?}", self.variant, self.log);
    }

    /// The refused names of a type that were last reported; `None` if there was no report of the type.
    pub(super) fn reported_refused(&self, kind: &ResourceType) -> Option<Vec<String>> {
        self.stream.outcomes.iter().rev().find_map(|outcome| match outcome {
            Outcome::Refused {
                resource_type, sample, ..
            } if resource_type == kind => Some(sample.iter().map(ToString::to_string).collect()),
            _ => None,
        })
    }

    pub(super) fn log(&self) -> String {
        format!("{:?}: {:#?}", self.variant, self.log)
    }
}

/// The reason why an Envoy that holds these refuses the resource beside them.
fn fault(resource: &Resource, held: &BTreeMap<ResourceName, Arc<Resource>>) -> Option<String> {
    if resource.body.starts_with(b"bad") {
        return Some(format!("{} is bad", resource.name));
    }
    let others = held.values().filter(|other| other.name != resource.name);
    let mut taken = others.flat_map(|other| other.places.iter().map(move |place| (place, &other.name)));
    let (place, holder) = taken.find(|(place, _)| resource.places.contains(place))?;
    Some(format!("{} claims {place} of {holder}", resource.name))
}
