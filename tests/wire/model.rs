//! A model client over a socket: random subscriptions, ACKs, NACKs, publishes and reconnects against the whole server,
//! several hundred sessions, each from its own seed.
//!
//! At every moment the client has no route to a cluster that it was not sent, and keeps every cluster that a route of its
//! listeners uses. Refused content is never sent again unchanged, and in the end the client has the published resources. A
//! failed session prints its seed: `WIRE_MODEL_SEED=n` runs that session alone, `WIRE_MODEL_SESSIONS=n` runs more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chancery::resource::ResourceType::{self, Cluster, Endpoint, Listener, Route};

use crate::{
    client::{Answer, Ask, Client, Form},
    config::Config,
    server::Server,
};

const SESSIONS: u64 = 300;
const STEPS: u64 = 24;
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
const KINDS: [ResourceType; 4] = [Cluster, Endpoint, Listener, Route];
/// Content that the client refuses; no name contains it.
const BAD: &str = "unacceptable";

/// splitmix64, which works with every seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % most
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The published resources: name → content, and for routes also their cluster.
#[derive(Clone, Debug, Default)]
struct Published {
    clusters: BTreeMap<&'static str, String>,
    routes: BTreeMap<&'static str, (String, &'static str)>,
    listeners: BTreeMap<&'static str, String>,
}

impl Published {
    /// References are never dangling. One in ten contents is refused, unless all must be good.
    fn random(random: &mut Random, good: bool) -> Self {
        let content = |random: &mut Random| {
            if !good && random.chance(10) {
                BAD.to_owned()
            } else {
                format!("mark{}", random.below(4))
            }
        };
        let mut published = Self::default();
        for name in NAMES {
            if random.chance(70) {
                published.clusters.insert(name, content(random));
            }
        }
        let clusters: Vec<_> = published.clusters.keys().copied().collect();
        for name in NAMES {
            if !clusters.is_empty() && random.chance(70) {
                let to = random.pick(&clusters);
                published.routes.insert(name, (content(random), to));
                if random.chance(80) {
                    published.listeners.insert(name, content(random));
                }
            }
        }
        published
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        for (name, mark) in &self.clusters {
            let eds = "type: EDS, eds_cluster_config: {eds_config: {ads: {}}}";
            let fields = format!("name: cluster-{name}, alt_stat_name: {mark}, {eds}");
            config = config
                .plain(&Cluster, &fields)
                .with(&Endpoint, &format!("cluster-{name}"), 1);
        }
        for (name, (mark, to)) in &self.routes {
            config = config.route_to(&format!("route-{name}"), mark, &format!("cluster-{to}"));
        }
        for (name, mark) in &self.listeners {
            config = config.rds_listener(&format!("listener-{name}"), mark, &format!("route-{name}"));
        }
        config
    }

    /// The content of a resource by its full name, reduced to what the client can distinguish.
    fn content(&self, kind: &ResourceType, name: &str) -> Option<String> {
        let (_, short) = name.split_once('-')?;
        match kind {
            Cluster => self.clusters.get(short).cloned(),
            Endpoint => self.clusters.get(short).map(|_| String::new()),
            Route => self.routes.get(short).map(|(mark, to)| format!("{mark} cluster-{to}")),
            Listener => self.listeners.get(short).cloned(),
            _ => None,
        }
    }

    fn names(&self, kind: &ResourceType) -> Vec<String> {
        let full = |prefix: &str, names: Vec<&&str>| names.into_iter().map(|name| format!("{prefix}-{name}")).collect();
        match kind {
            Cluster | Endpoint => full("cluster", self.clusters.keys().collect()),
            Route => full("route", self.routes.keys().collect()),
            Listener => full("listener", self.listeners.keys().collect()),
            _ => Vec::new(),
        }
    }
}

/// The content in the bytes of a resource, in the form of [`Published::content`].
fn content(kind: &ResourceType, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let marks = (0..4).map(|number| format!("mark{number}")).chain([BAD.to_owned()]);
    let mark = marks
        .into_iter()
        .find(|mark| text.contains(mark.as_str()))
        .unwrap_or_default();
    let to = NAMES
        .iter()
        .map(|name| format!("cluster-{name}"))
        .find(|to| text.contains(to.as_str()));
    match kind {
        Route => format!("{mark} {}", to.unwrap_or_default()),
        Endpoint => String::new(),
        _ => mark,
    }
}

fn is_bad(answer: &Answer) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(BAD.len()).any(|window| window == BAD.as_bytes());
    answer.resources.iter().any(|(_, bytes)| holds(bytes))
}

/// A response that was refused.
struct Refusal {
    kind: ResourceType,
    resources: Vec<(String, Vec<u8>)>,
    removed: Vec<String>,
    /// True once another response of the type was sent.
    overtaken: bool,
}

struct Model<'a> {
    server: &'a Server,
    group: String,
    form: Form,
    client: Client,
    random: Random,
    published: Published,
    /// Type → name → content and version.
    held: BTreeMap<ResourceType, BTreeMap<String, (String, String)>>,
    names: BTreeMap<ResourceType, BTreeSet<String>>,
    accepted: BTreeMap<ResourceType, String>,
    /// The nonces of the last answered responses; a request with any other nonce would answer that response.
    nonces: BTreeMap<ResourceType, String>,
    waiting: VecDeque<(ResourceType, Answer)>,
    refused: Vec<Refusal>,
    /// Clusters of refused responses, not accepted since: the server cannot know which of them the client has.
    refused_clusters: BTreeSet<String>,
    /// Listeners and routes from an earlier stream: a new stream does not know which clusters they need.
    carried_over: BTreeSet<(ResourceType, String)>,
    log: Vec<String>,
}

impl<'a> Model<'a> {
    async fn start(server: &'a Server, seed: u64) -> Self {
        let form = if seed.is_multiple_of(2) {
            Form::SotwAds
        } else {
            Form::DeltaAds
        };
        let group = format!("model-{seed}");
        let client = Client::open(server, form, &Cluster, &group).await.of_group(&group);
        let all = |prefix: &str| NAMES.iter().map(|name| format!("{prefix}-{name}")).collect();
        let mut model = Self {
            server,
            group,
            form,
            client,
            random: Random(seed),
            published: Published::default(),
            held: BTreeMap::new(),
            names: BTreeMap::from([(Endpoint, all("cluster")), (Route, all("route"))]),
            accepted: BTreeMap::new(),
            nonces: BTreeMap::new(),
            waiting: VecDeque::new(),
            refused: Vec::new(),
            refused_clusters: BTreeSet::new(),
            carried_over: BTreeSet::new(),
            log: Vec::new(),
        };
        model.publish(true).await;
        model.connect();
        model.receive().await;
        model
    }

    fn list(&self, kind: &ResourceType) -> Vec<String> {
        self.names.get(kind).into_iter().flatten().cloned().collect()
    }

    /// Sends the first requests of a stream, with the resources that the client has from an earlier one.
    fn connect(&mut self) {
        self.waiting.clear();
        self.nonces.clear();
        self.refused.clear();
        self.refused_clusters.clear();
        let older = [Listener, Route].into_iter().flat_map(|kind| {
            let names = self.held.get(&kind).into_iter().flat_map(BTreeMap::keys);
            names.map(move |name| (kind.clone(), name.clone()))
        });
        self.carried_over = older.collect();
        for kind in KINDS {
            let ask = Ask {
                names: self.list(&kind),
                ..Ask::of(&kind)
            };
            self.client.ask(if self.form.is_sotw() {
                ask.version(self.accepted.get(&kind).map_or("", String::as_str))
            } else {
                let held = self.held.get(&kind).into_iter().flatten();
                let held: Vec<_> = held
                    .map(|(name, (_, version))| (name.as_str(), version.as_str()))
                    .collect();
                ask.held(&held)
            });
        }
    }

    async fn publish(&mut self, good: bool) {
        self.published = Published::random(&mut self.random, good);
        self.log.push(format!("publish {:?}", self.published));
        self.server.publish_to(&self.group, &self.published.config()).await;
        let published = &self.published;
        self.refused.retain(|refusal| {
            let same = |(name, bytes): &(String, Vec<u8>)| {
                published.content(&refusal.kind, name) == Some(content(&refusal.kind, bytes))
            };
            refusal.resources.iter().all(same)
        });
    }

    async fn reconnect(&mut self) {
        self.log.push("reconnect".to_owned());
        let client = Client::open(self.server, self.form, &Cluster, &self.group).await;
        self.client = client.of_group(&self.group);
        self.connect();
    }

    fn subscribe(&mut self) {
        let kind = self.random.pick(&[&Endpoint, &Route]).clone();
        let prefix = if kind == Endpoint { "cluster" } else { "route" };
        let mut names = BTreeSet::new();
        for name in NAMES {
            if self.random.chance(70) {
                names.insert(format!("{prefix}-{name}"));
            }
        }
        self.log.push(format!("subscribe {kind} {names:?}"));
        let before = self.names.insert(kind.clone(), names.clone()).unwrap_or_default();
        if before == names {
            return;
        }
        self.refused.retain(|refusal| refusal.kind != kind);
        let ask = Ask::of(&kind);
        let nonce = self.nonces.get(&kind).map_or("", String::as_str);
        self.client.ask(if self.form.is_sotw() {
            let version = self.accepted.get(&kind).map_or("", String::as_str);
            let names = names.iter().cloned().collect();
            Ask { names, ..ask }.nonce(nonce).version(version)
        } else {
            Ask {
                names: names.difference(&before).cloned().collect(),
                unsubscribe: before.difference(&names).cloned().collect(),
                ..ask
            }
        });
        let held = self.held.entry(kind).or_default();
        held.retain(|name, _| names.contains(name));
    }

    /// Applies all due responses in order; the answers follow later.
    async fn receive(&mut self) {
        for answer in self.client.due().await {
            let kind = KINDS
                .into_iter()
                .find(|kind| answer.is_of(kind))
                .expect("a type that was asked for");
            self.log.push(format!(
                "{kind} {:?} -{:?} {}",
                answer.names(),
                answer.removed,
                answer.nonce
            ));
            self.check(&kind, &answer);
            self.take_in(&kind, &answer);
            self.waiting.push_back((kind, answer));
        }
    }

    /// Checks that hold for every response.
    fn check(&mut self, kind: &ResourceType, answer: &Answer) {
        let names = answer.names();
        assert!(
            names.windows(2).all(|pair| pair[0] < pair[1]),
            "sorted, each once: {}",
            self.log()
        );
        assert!(
            answer.removed.iter().all(|gone| !names.contains(&gone.as_str())),
            "disjoint: {}",
            self.log()
        );
        if let Some(asked) = self.names.get(kind) {
            assert!(
                names.iter().all(|name| asked.contains(*name)),
                "only what is asked for: {}",
                self.log()
            );
        }
        if self.form.is_sotw() {
            let awaited = self.waiting.iter().any(|(waiting, _)| waiting == kind);
            assert!(!awaited, "one response per type is outstanding: {}", self.log());
        }
        let full = self.is_full_state(kind);
        let again = |refusal: &Refusal| {
            refusal.kind == *kind
                && refusal.resources == answer.resources
                && refusal.removed == answer.removed
                && !(full && refusal.overtaken)
        };
        assert!(
            !self.refused.iter().any(again),
            "refused content was sent again: {}",
            self.log()
        );
        let parent = |of: &ResourceType| match of {
            Endpoint => Some(Cluster),
            Route => Some(Listener),
            _ => None,
        };
        self.refused
            .retain(|refusal| parent(&refusal.kind).as_ref() != Some(kind));
        let others = self.refused.iter_mut().filter(|refusal| refusal.kind == *kind);
        others.for_each(|refusal| refusal.overtaken = true);
    }

    fn is_full_state(&self, kind: &ResourceType) -> bool {
        self.form.is_sotw() && matches!(kind, Cluster | Listener)
    }

    /// Applies the response as Envoy does: of a refused one the valid clusters and listeners, and nothing of other types.
    fn take_in(&mut self, kind: &ResourceType, answer: &Answer) {
        if is_bad(answer) {
            self.refused.push(Refusal {
                kind: kind.clone(),
                resources: answer.resources.clone(),
                removed: answer.removed.clone(),
                overtaken: false,
            });
            if *kind == Cluster {
                self.refused_clusters
                    .extend(answer.resources.iter().map(|(name, _)| name.clone()));
            }
            if !matches!(kind, Cluster | Listener) {
                return;
            }
        } else {
            if *kind == Cluster {
                let accepted = answer.names();
                self.refused_clusters.retain(|name| !accepted.contains(&name.as_str()));
            }
            self.accepted.insert(kind.clone(), answer.version.clone());
        }
        let full = self.is_full_state(kind);
        let held = self.held.entry(kind.clone()).or_default();
        if full {
            held.retain(|name, _| answer.resources.iter().any(|(sent, _)| sent == name));
        }
        for (name, bytes) in &answer.resources {
            let content = content(kind, bytes);
            if !content.contains(BAD) {
                let version = answer.versions.get(name).cloned().unwrap_or_default();
                held.insert(name.clone(), (content, version));
            }
        }
        for name in &answer.removed {
            held.remove(name);
        }
        self.check_references();
    }

    /// Asserts that every listener's route goes to a cluster that the client has.
    fn check_references(&self) {
        let none = BTreeMap::new();
        let of = |kind| self.held.get(&kind).unwrap_or(&none);
        let (clusters, routes) = (of(Cluster), of(Route));
        for listener in of(Listener).keys() {
            let route = listener.replace("listener-", "route-");
            let older = [(Listener, listener.clone()), (Route, route.clone())];
            if older.iter().any(|older| self.carried_over.contains(older)) {
                continue;
            }
            let Some((content, _)) = routes.get(&route) else {
                continue;
            };
            let to = content.rsplit(' ').next().unwrap_or_default();
            assert!(
                clusters.contains_key(to) || self.refused_clusters.contains(to),
                "{route} goes to {to}, which the client does not hold: {}",
                self.log()
            );
        }
    }

    /// Answers one response, the oldest or (in delta) any.
    fn answer(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let at = if self.form.is_sotw() {
            0
        } else {
            self.random.below(self.waiting.len() as u64)
        };
        let (kind, answer) = self
            .waiting
            .remove(usize::try_from(at).unwrap())
            .expect("one of the waiting responses");
        let bad = is_bad(&answer);
        self.log
            .push(format!("{} {}", if bad { "NACK" } else { "ACK" }, answer.nonce));
        self.nonces.insert(kind.clone(), answer.nonce.clone());
        let names = if self.form.is_sotw() {
            self.list(&kind)
        } else {
            Vec::new()
        };
        let reply = Ask {
            names,
            ..Ask::of(&kind)
        };
        let reply = reply.nonce(&answer.nonce);
        let version = self.accepted.get(&kind).map_or("", String::as_str);
        self.client.ask(if bad {
            reply.version(version).error(BAD)
        } else {
            reply.version(&answer.version)
        });
    }

    async fn step(&mut self) {
        match self.random.below(100) {
            0..20 => self.publish(false).await,
            20..32 => self.subscribe(),
            32..36 => self.reconnect().await,
            _ => self.answer(),
        }
        self.receive().await;
    }

    /// Answers everything, refused content included, until no more responses come.
    async fn rest(&mut self) {
        // Removals come after everything else, also after the response that proves silence. So only two proofs in a row mean that no
        // response is due.
        let mut proved = 0;
        for _ in 0..400 {
            self.receive().await;
            proved = if self.waiting.is_empty() { proved + 1 } else { 0 };
            if proved == 2 {
                self.client.silent().await;
                return;
            }
            self.answer();
        }
        panic!("responses never stop: {}", self.log());
    }

    async fn converge(&mut self) {
        self.rest().await;
        self.publish(true).await;
        self.receive().await;
        self.rest().await;
        for kind in KINDS {
            let asked = |name: &String| self.names.get(&kind).is_none_or(|names| names.contains(name));
            let content = |name: String| (name.clone(), self.published.content(&kind, &name).unwrap());
            let expected: BTreeMap<String, String> = self
                .published
                .names(&kind)
                .into_iter()
                .filter(asked)
                .map(content)
                .collect();
            let held = self.held.get(&kind).into_iter().flatten();
            let mut held: BTreeMap<String, String> = held
                .map(|(name, (content, _))| (name.clone(), content.clone()))
                .collect();
            if self.form.is_sotw() && !self.is_full_state(&kind) {
                // SotW has no removal of named types; the removal of parents implies it.
                held.retain(|name, _| expected.contains_key(name));
            }
            if matches!(kind, Cluster | Endpoint) {
                // O-12: while the client subscribes to a removed route, that route's cluster and endpoints stay.
                held.retain(|name, _| expected.contains_key(name));
            }
            assert_eq!(held, expected, "{kind}: {}", self.log());
        }
    }

    /// The log of the session, for the message of a failure.
    fn log(&self) -> String {
        format!("{} {:?}\n{}", self.group, self.form, self.log.join("\n"))
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_over_a_socket_converge_under_random_sessions() {
    let server = Server::start().await;
    let seeds = match variable("WIRE_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("WIRE_MODEL_SESSIONS").unwrap_or(SESSIONS),
    };
    for seed in seeds {
        let mut model = Model::start(&server, seed).await;
        for _ in 0..STEPS {
            model.step().await;
        }
        model.converge().await;
    }
}
