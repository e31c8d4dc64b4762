//! A model client that obeys the rules, against the session under random interleavings of publishes, subscriptions, ACKs,
//! NACKs, lost time and reconnects. It must converge to what is published, be spared what it refused, and at no prefix hold
//! a route to a cluster that it was not given.
//!
//! Of a refused response it applies what Envoy does: of clusters and listeners the valid part, of the other types nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use proptest::{prelude::*, test_runner::RngSeed};

use super::fixture::*;
use crate::{
    protocol::{Response, Variant},
    resource::{Resource, ResourceName, ResourceType, Version},
};

/// Of the cases of `make test`.
const SEED: u64 = 20_261_123;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const KINDS: [ResourceType; 4] = [Cluster, Endpoint, Listener, Route];

/// One step of a run.
#[derive(Clone, Debug)]
enum Action {
    /// Publish: for each name, the contents of the four types; 0 is "not there", 7 "to be refused".
    Publish(Vec<[u8; 4]>),
    /// Ask for other names of a type that is asked for by name.
    Subscribe(usize, BTreeSet<&'static str>),
    /// Answer the response that waits longest.
    Answer,
    /// Answer the response that came last (delta only; SotW has one per type).
    AnswerLast,
    /// A request with a nonce that was never given.
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

/// What the rows of a publish say. A listener names the route configuration, the route configuration the cluster, and the
/// cluster the endpoints of the same name; references are never dangling.
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

/// A client by the book: keeps what it was given, refuses responses with bad content, asks for names.
struct Client {
    variant: Variant,
    stream: Stream,
    /// Applied resources per type.
    held: BTreeMap<ResourceType, BTreeMap<ResourceName, std::sync::Arc<Resource>>>,
    names: BTreeMap<ResourceType, BTreeSet<&'static str>>,
    accepted: HashMap<ResourceType, String>,
    waiting: VecDeque<Response>,
    /// What was refused and must not come again as it was (S-7).
    refused: Vec<Refusal>,
    /// Clusters of refused responses, not accepted since: the server cannot know which of them the client has.
    refused_clusters: BTreeSet<ResourceName>,
    /// Listeners and routes from before the stream: a new stream cannot know what they need (O-4, "stream closed").
    carried_over: BTreeSet<(ResourceType, ResourceName)>,
    /// Seconds that passed on this stream.
    passed: u64,
    config: Config,
    /// What happened, for the message of a failed run.
    log: Vec<String>,
}

/// A response that was refused.
struct Refusal {
    kind: ResourceType,
    carried: Vec<Carried>,
    removed: Vec<ResourceName>,
    /// Something else of the type was sent since.
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

    /// The first requests of a stream, with what the client brings from an earlier one.
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
            // What is asked for again is sent again (D-4, W-6).
            self.refused.retain(|refusal| refusal.kind != *kind);
        }
        match self.variant {
            Variant::Sotw => {
                let last = self.accepted.get(kind).cloned().unwrap_or_default();
                let list: Vec<_> = names.iter().copied().collect();
                // A change of subscription names the last nonce the client saw; here that is none.
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

    /// Takes in what comes, in order; only the answers may come late and in another order (D-3).
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

    /// What must hold of every single response.
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

    /// S-7, D-15: what was refused does not come again as it was. It may where its content changed in between, where it was
    /// asked for anew, behind a changed parent (O-6, O-13), and as a full state once another state was sent (S-8).
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

    /// What was refused may come again once its content is another.
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

    /// Applies the response; of a refused one the valid part where the type has one (S-8).
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
            // It may have been another content already when it was sent.
            self.excuse_changed();
            if kind == Cluster {
                self.refused_clusters.extend(resources.iter().map(|r| r.name.clone()));
            }
            if matches!(kind, Cluster | Listener) {
                self.apply(response);
                // Half applied, under the old version: the publisher marks content that returns to what was before, so
                // that this version never names it again. Content here carries no such mark.
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

    /// A client that obeys the order holds no route to a cluster it was not given, nor a listener that was not.
    fn check_references(&self) {
        // A client that answers nothing for so long is not waited for (O-4).
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

    /// Answers everything, bad content included: the session must come to rest, and stay there (S-7).
    fn rest(&mut self) {
        for _ in 0..200 {
            let Some(response) = self.waiting.pop_front() else {
                break;
            };
            self.answer(&response);
            self.receive();
        }
        assert!(self.waiting.is_empty(), "it never comes to rest: {:#?}", self.records());
        let more = self.stream.drain();
        assert!(
            more.is_empty(),
            "{:?} comes unasked: {:#?}",
            gists(&more),
            self.records()
        );
    }

    /// Publishes good content and answers everything; then the client must hold exactly that.
    fn converge(&mut self, rows: &[[u8; 4]]) {
        let good: Vec<[u8; 4]> = rows.iter().map(|row| row.map(|content| content % 7)).collect();
        self.publish(config(&good));
        self.receive();
        self.rest();
        // Holds of removed clusters end with the routes that name them, at the latest after the cap.
        for _ in 0..4 {
            self.stream.pass(std::time::Duration::from_secs(1000));
            self.receive();
            self.rest();
        }
        self.stream.silence();
        self.check_converged();
    }

    /// What the session still minds, for the message of a failed run.
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
                // there is no removal of named types in SotW; parents imply it.
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

/// The type whose changes bring resources of this one again.
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

/// The same cases each time: a change must not break or pass by luck. `PROPTEST_CASES` makes them fewer (`make check`), or more, which are
/// others each time (`make model`).
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
