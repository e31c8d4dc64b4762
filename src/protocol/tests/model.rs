//! A model client that obeys the rules, against the session under random interleavings of publishes, subscriptions,
//! ACKs, NACKs, lost time and reconnects. It must converge to the published state, must not be sent what it refused,
//! and must never hold a route to a cluster that it was not given.
//!
//! Of a refused response it applies what Envoy does: the valid part of clusters and listeners, nothing of other types.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use proptest::{prelude::*, test_runner::RngSeed};

use super::fixture::*;
use crate::{
    protocol::{Response, Variant},
    resource::{Resource, ResourceName, ResourceType, Version},
};

/// The seed of the cases of `make test`.
const SEED: u64 = 20_261_123;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const KINDS: [ResourceType; 4] = [Cluster, Endpoint, Listener, Route];

/// One action of a run.
#[derive(Clone, Debug)]
enum Action {
    /// Publish these contents of the four types, for each name; 0 means absent, 7 means content to refuse.
    Publish(Vec<[u8; 4]>),
    /// Subscribe to other names of a type that is subscribed by name.
    Subscribe(usize, BTreeSet<&'static str>),
    /// Answer the oldest unanswered response.
    Answer,
    /// Answer the newest response (delta only; SotW has one per type).
    AnswerLast,
    /// Send a request with a nonce that no response had.
    Stale(usize),
    Pass(u64),
    Reconnect,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let content = prop_oneof![3 => Just(0_u8), 6 => 1..4_u8, 1 => Just(7_u8)];
    let row = prop::array::uniform4(content);
    let names = prop::collection::btree_set(prop::sample::select(NAMES.to_vec()), 0..4);
    let action = prop_oneof![
        4 => prop::collection::vec(row, 4).prop_map(Action::Publish),
        3 => (prop::sample::select(vec![1_usize, 3]), names).prop_map(|(kind, names)| Action::Subscribe(kind, names)),
        8 => Just(Action::Answer),
        2 => Just(Action::AnswerLast),
        1 => (0..4_usize).prop_map(Action::Stale),
        1 => (0..40_u64).prop_map(Action::Pass),
        1 => Just(Action::Reconnect),
    ];
    prop::collection::vec(action, 1..60)
}

/// The configuration of a publish. A listener refers to the route configuration, the route configuration to the
/// cluster, and the cluster to the endpoints of the same name. No reference dangles.
fn config(rows: &[[u8; 4]]) -> Config {
    let mut config = Config::default();
    for (name, [cluster, endpoint, listener, route]) in NAMES.into_iter().zip(rows) {
        let text = |content: &u8| {
            if *content == 7 {
                "bad".to_owned()
            } else {
                content.to_string()
            }
        };
        if *cluster != 0 {
            config = config
                .eds_cluster(name, &text(cluster))
                .with(Endpoint, name, &text(endpoint));
        }
        if *route != 0 && *cluster != 0 {
            config = config.refers(Route, name, &text(route), &[(Cluster, name)]);
            if *listener != 0 {
                config = config.refers(Listener, name, &text(listener), &[(Route, name)]);
            }
        }
    }
    config
}

/// A client that follows the rules: keeps what it was given, refuses bad content, and subscribes to names.
struct Client {
    variant: Variant,
    stream: Stream,
    /// Applied resources per type.
    held: BTreeMap<ResourceType, BTreeMap<ResourceName, std::sync::Arc<Resource>>>,
    names: BTreeMap<ResourceType, BTreeSet<&'static str>>,
    accepted: HashMap<ResourceType, String>,
    waiting: VecDeque<Response>,
    /// Resources that were refused and must not be sent again unchanged (S-7).
    refused: Vec<Refusal>,
    /// Clusters of refused responses that were not accepted since: the server cannot know which of them the client has.
    refused_clusters: BTreeSet<ResourceName>,
    /// Listeners and routes from before this stream, which cannot know what they need (O-4).
    carried_over: BTreeSet<(ResourceType, ResourceName)>,
    /// The seconds that passed on this stream.
    passed: u64,
    config: Config,
    /// The log of the run, for the message of a failed run.
    log: Vec<String>,
}

/// A response that was refused.
struct Refusal {
    kind: ResourceType,
    carried: Vec<Carried>,
    removed: Vec<ResourceName>,
    /// Another response of the type was sent since.
    overtaken: bool,
}

/// A resource of a response: its name and its version.
type Carried = (ResourceName, Version);

impl Client {
    fn new(variant: Variant) -> Self {
        let mut client = Self {
            variant,
            stream: Stream::new(variant),
            held: BTreeMap::new(),
            names: BTreeMap::new(),
            accepted: HashMap::new(),
            waiting: VecDeque::new(),
            refused: Vec::new(),
            refused_clusters: BTreeSet::new(),
            carried_over: BTreeSet::new(),
            passed: 0,
            config: Config::default(),
            log: Vec::new(),
        };
        client.names.insert(Endpoint, BTreeSet::from(NAMES));
        client.names.insert(Route, BTreeSet::from(NAMES));
        client.connect();
        client
    }

    fn list(&self, kind: &ResourceType) -> Vec<&'static str> {
        self.names.get(kind).into_iter().flatten().copied().collect()
    }

    /// Sends the first requests of a stream, with what the client holds from an earlier one.
    fn connect(&mut self) {
        self.waiting.clear();
        self.refused.clear();
        self.passed = 0;
        self.refused_clusters.clear();
        self.carried_over = [Listener, Route]
            .into_iter()
            .flat_map(|kind| {
                let held = self.held.get(&kind).into_iter().flatten();
                held.map(move |(name, _)| (kind.clone(), name.clone()))
            })
            .collect();
        for kind in KINDS {
            let names = self.list(&kind);
            match self.variant {
                Variant::Sotw => {
                    let version = self.accepted.get(&kind).cloned().unwrap_or_default();
                    self.stream.send(&sotw(&kind, &names, &version, ""));
                }
                Variant::Delta => {
                    let mut request = delta(&kind, &names, &[]);
                    let held = self.held.get(&kind).into_iter().flatten();
                    request.initial_resource_versions = held
                        .map(|(name, held)| (name.to_string(), held.version.to_string()))
                        .collect();
                    self.stream.send_delta(&request);
                }
            }
        }
    }

    fn reconnect(&mut self) {
        let session = Stream::new(self.variant).session;
        self.stream = self.stream.successor(session);
        self.connect();
        let config = self.config.clone();
        self.stream.publish(&config);
    }

    fn subscribe(&mut self, kind: &ResourceType, names: &BTreeSet<&'static str>) {
        let before = self.names.insert(kind.clone(), names.clone()).unwrap_or_default();
        if before != *names {
            // D-4, W-6: a name that is requested again is sent again.
            self.refused.retain(|refusal| refusal.kind != *kind);
        }
        match self.variant {
            Variant::Sotw => {
                let last = self.accepted.get(kind).cloned().unwrap_or_default();
                let list: Vec<_> = names.iter().copied().collect();
                // A change of the subscription repeats the last nonce that the client saw; here there is none.
                self.stream.send(&sotw(kind, &list, &last, ""));
            }
            Variant::Delta => {
                let more: Vec<_> = names.difference(&before).copied().collect();
                let less: Vec<_> = before.difference(names).copied().collect();
                if !more.is_empty() || !less.is_empty() {
                    self.stream.delta(kind, &more, &less);
                }
            }
        }
        let held = self.held.entry(kind.clone()).or_default();
        held.retain(|name, _| names.contains(name.as_str()));
    }

    /// Takes the responses in order. Only their answers may be late and in another order (D-3).
    fn receive(&mut self) {
        for response in self.stream.drain() {
            let nonce = &response.delivery.nonce;
            self.log.push(format!("{nonce}: {}", gist(&response)));
            self.check(&response);
            self.check_refused(&response);
            self.take_in(&response);
            self.waiting.push_back(response);
        }
    }

    /// Checks what must hold of every single response.
    fn check(&self, response: &Response) {
        let kind = &response.delivery.resource_type;
        let same_type = |waiting: &&Response| waiting.delivery.resource_type == *kind;
        if self.variant == Variant::Sotw {
            assert_eq!(
                self.waiting.iter().filter(same_type).count(),
                0,
                "one outstanding response per type"
            );
        }
        let names: Vec<_> = response.resources.as_slice().iter().map(|r| &r.name).collect();
        assert!(
            names.windows(2).all(|pair| pair[0] < pair[1]),
            "sorted, each once: {names:?}"
        );
        assert!(
            response.removed.iter().all(|removed| !names.contains(&removed)),
            "removed and sent are disjoint"
        );
        if let Some(subscribed) = self.names.get(kind) {
            assert!(
                names.iter().all(|name| subscribed.contains(name.as_str())),
                "only what is asked for"
            );
        }
    }

    /// S-7, D-15: a refused resource is not sent again unchanged, unless its content changed in between, it was
    /// requested anew, its parent changed (O-6, O-13), or another full state was sent in between (S-8).
    fn check_refused(&mut self, response: &Response) {
        let kind = &response.delivery.resource_type;
        let carried = carried(response);
        let full = self.is_full_state(kind);
        let again = |refusal: &Refusal| {
            refusal.kind == *kind
                && refusal.carried == carried
                && refusal.removed == response.removed
                && !(full && refusal.overtaken)
        };
        assert!(
            !self.refused.iter().any(again),
            "{kind} {carried:?} was refused and came again in {:?}: {:#?}",
            self.variant,
            self.records()
        );
        self.refused.retain(|refusal| parent(&refusal.kind) != Some(kind));
        let others = self.refused.iter_mut().filter(|refusal| refusal.kind == *kind);
        others.for_each(|refusal| refusal.overtaken = true);
    }

    /// Allows a refused resource to be sent again once its content has changed.
    fn excuse_changed(&mut self) {
        let snapshot = self.config.at(1, None);
        self.refused.retain(|refusal| {
            let is_same = |(name, version): &Carried| {
                let now = snapshot.resource(&refusal.kind, name.as_str());
                now.is_some_and(|now| now.version == *version)
            };
            refusal.carried.iter().all(is_same)
        });
    }

    fn is_full_state(&self, kind: &ResourceType) -> bool {
        self.variant == Variant::Sotw && matches!(kind, Cluster | Listener)
    }

    /// Applies the response; of a refused one the valid part, if the type has one (S-8).
    fn take_in(&mut self, response: &Response) {
        let kind = response.delivery.resource_type.clone();
        let resources = response.resources.as_slice();
        if is_bad(response) {
            self.refused.push(Refusal {
                kind: kind.clone(),
                carried: carried(response),
                removed: response.removed.clone(),
                overtaken: false,
            });
            // The content may have changed already when the response was sent.
            self.excuse_changed();
            if kind == Cluster {
                self.refused_clusters.extend(resources.iter().map(|r| r.name.clone()));
            }
            if matches!(kind, Cluster | Listener) {
                self.apply(response);
                // The client has applied a part under the old version. The publisher marks content that returns, so
                // that this version never names it again; the content of this model has no such mark.
                self.accepted.remove(&kind);
            }
            return;
        }
        if kind == Cluster {
            for resource in resources {
                self.refused_clusters.remove(&resource.name);
            }
        }
        self.apply(response);
        self.accepted.insert(kind, response.delivery.version.to_string());
    }

    fn answer(&mut self, response: &Response) {
        let kind = &response.delivery.resource_type;
        let names = self.list(kind);
        let verdict = if is_bad(response) { "NACK" } else { "ACK" };
        self.log.push(format!("{verdict} {}", response.delivery.nonce));
        match (self.variant, is_bad(response)) {
            (Variant::Sotw, true) => {
                let version = self.accepted.get(kind).cloned().unwrap_or_default();
                self.stream.nack(response, &names, &version);
            }
            (Variant::Sotw, false) => self.stream.ack(response, &names),
            (Variant::Delta, true) => self.stream.nack_delta(response),
            (Variant::Delta, false) => self.stream.ack_delta(response),
        }
    }

    fn apply(&mut self, response: &Response) {
        let kind = response.delivery.resource_type.clone();
        let subscribed = self.names.get(&kind).cloned();
        let full = self.is_full_state(&kind);
        let held = self.held.entry(kind.clone()).or_default();
        if full {
            let sent = response.resources.as_slice();
            held.retain(|name, _| sent.iter().any(|sent| sent.name == *name));
        }
        for resource in response.resources.as_slice() {
            if resource.body.starts_with(b"bad") {
                continue;
            }
            if subscribed
                .as_ref()
                .is_none_or(|names| names.contains(resource.name.as_str()))
            {
                held.insert(resource.name.clone(), std::sync::Arc::clone(resource));
            }
        }
        for name in &response.removed {
            held.remove(name);
        }
        self.check_references();
    }

    /// Checks that the client holds no route to a cluster that it was not given, and no listener to such a route.
    fn check_references(&self) {
        // O-4: a client that answers nothing for so long is not waited for.
        if self.passed >= 30 {
            return;
        }
        let clusters = self.held.get(&Cluster);
        let routes = self.held.get(&Route);
        let listeners = self.held.get(&Listener).into_iter().flat_map(BTreeMap::values);
        let ours = listeners.filter(|listener| !self.carried_over.contains(&(Listener, listener.name.clone())));
        let used = ours.flat_map(|listener| listener.references_to(&Route));
        let used = used.filter(|route| !self.carried_over.contains(&(Route, ResourceName::clone(route))));
        for route in used.filter_map(|name| routes?.get(name)) {
            for name in route.references_to(&Cluster) {
                let given = clusters.is_some_and(|clusters| clusters.contains_key(name));
                assert!(
                    given || self.refused_clusters.contains(name),
                    "route {route:?} names cluster {name} that was not given: {:#?}",
                    self.records()
                );
            }
        }
    }

    fn publish(&mut self, config: Config) {
        self.stream.publish(&config);
        self.config = config;
        self.excuse_changed();
    }

    fn step(&mut self, action: Action) {
        self.log.push(format!("{action:?}"));
        match action {
            Action::Publish(rows) => {
                self.publish(config(&rows));
            }
            Action::Subscribe(kind, names) => self.subscribe(&KINDS[kind], &names),
            Action::Answer => {
                if let Some(response) = self.waiting.pop_front() {
                    self.answer(&response);
                }
            }
            Action::AnswerLast => {
                if let Some(response) = self.waiting.pop_back() {
                    self.answer(&response);
                }
            }
            Action::Stale(kind) => {
                let kind = &KINDS[kind];
                match self.variant {
                    Variant::Sotw => {
                        let names = self.list(kind);
                        self.stream.send(&sotw(kind, &names, "", "never given"));
                    }
                    Variant::Delta => {
                        let mut request = delta(kind, &[], &[]);
                        request.response_nonce = "never given".into();
                        self.stream.send_delta(&request);
                    }
                }
            }
            Action::Pass(seconds) => {
                self.passed += seconds;
                self.stream.pass(std::time::Duration::from_secs(seconds));
            }
            Action::Reconnect => self.reconnect(),
        }
        self.receive();
    }

    /// Answers everything, bad content included. The session must come to rest and stay at rest (S-7).
    fn rest(&mut self) {
        for _ in 0..200 {
            let Some(response) = self.waiting.pop_front() else {
                break;
            };
            self.answer(&response);
            self.receive();
        }
        assert!(
            self.waiting.is_empty(),
            "the session never comes to rest: {:#?}",
            self.records()
        );
        let more = self.stream.drain();
        assert!(
            more.is_empty(),
            "{:?} comes unasked: {:#?}",
            gists(&more),
            self.records()
        );
    }

    /// Publishes good content and answers everything; then the client must hold exactly the published state.
    fn converge(&mut self, rows: &[[u8; 4]]) {
        let good: Vec<[u8; 4]> = rows.iter().map(|row| row.map(|content| content % 7)).collect();
        self.publish(config(&good));
        self.receive();
        self.rest();
        // A hold of a removed cluster ends with the routes that name it, at the latest after `hold_cap`.
        for _ in 0..4 {
            self.stream.pass(std::time::Duration::from_secs(1000));
            self.receive();
            self.rest();
        }
        self.stream.silence();
        self.check_converged();
    }

    /// The log and the session's records, for the message of a failed run.
    fn records(&self) -> Vec<String> {
        let log = self.log.iter().cloned();
        let types = self.stream.session.types.iter();
        let record = |state: &crate::protocol::type_state::TypeState| {
            format!(
                "{}: refused {:?}, retained {:?}, drained {:?}, held {:?}, due {:?}, in flight {}, base {:?}",
                state.kind,
                state.refused,
                state.view.retained().keys(),
                state.view.drained().keys(),
                state.view.held(),
                state.due,
                state.in_flight.len(),
                state.view.base().map(|base| base.revision()),
            )
        };
        log.chain(types.map(record)).collect()
    }

    fn check_converged(&self) {
        let snapshot = self.config.at(1, None);
        for kind in KINDS {
            let expected: BTreeMap<ResourceName, String> = snapshot
                .get(&kind)
                .into_iter()
                .flat_map(|resources| resources.iter())
                .filter(|r| {
                    self.names
                        .get(&kind)
                        .is_none_or(|names| names.contains(r.name.as_str()))
                })
                .map(|r| (r.name.clone(), r.version.to_string()))
                .collect();
            let mut held: BTreeMap<ResourceName, String> = self
                .held
                .get(&kind)
                .into_iter()
                .flatten()
                .map(|(name, held)| (name.clone(), held.version.to_string()))
                .collect();
            if self.variant == Variant::Sotw {
                // SotW cannot remove named types; their parents imply it.
                held.retain(|name, _| matches!(kind, Cluster | Listener) || expected.contains_key(name));
            }
            assert_eq!(held, expected, "{kind} in {:?}: {:#?}", self.variant, self.records());
        }
    }
}

fn is_bad(response: &Response) -> bool {
    response.resources.as_slice().iter().any(|r| r.body.starts_with(b"bad"))
}

fn carried(response: &Response) -> Vec<Carried> {
    let all = response.resources.as_slice().iter();
    all.map(|resource| (resource.name.clone(), resource.version.clone()))
        .collect()
}

/// The parent type: a change of it sends resources of this type again.
fn parent(kind: &ResourceType) -> Option<&'static ResourceType> {
    match kind {
        Endpoint => Some(&Cluster),
        Route => Some(&Listener),
        _ => None,
    }
}

fn run(variant: Variant, actions: Vec<Action>, last: &[[u8; 4]]) {
    let mut client = Client::new(variant);
    for action in actions {
        client.step(action);
    }
    client.rest();
    client.converge(last);
}

/// Random cases, the same each time. `PROPTEST_CASES` makes them fewer (`make check`); more than the default (`make model`) differ each time.
pub(super) fn cases(most: u32) -> ProptestConfig {
    let set = std::env::var("PROPTEST_CASES").ok().and_then(|set| set.parse().ok());
    let cases = set.unwrap_or(most);
    ProptestConfig {
        cases,
        rng_seed: if cases > most {
            RngSeed::Random
        } else {
            RngSeed::Fixed(SEED)
        },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn rows() -> impl Strategy<Value = Vec<[u8; 4]>> {
    prop::collection::vec(prop::array::uniform4(0..4_u8), 4)
}

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn sotw_client_converges_under_random_interleavings(actions in actions(), last in rows()) {
        run(Variant::Sotw, actions, &last);
    }

    #[test]
    fn delta_client_converges_under_random_interleavings(actions in actions(), last in rows()) {
        run(Variant::Delta, actions, &last);
    }
}
