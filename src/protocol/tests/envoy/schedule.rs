//! The schedule of a run of the model, and its configuration. Small values are quiet, so that failures shrink well.

use proptest::prelude::*;

use super::{super::fixture::*, link::ControlPlane};
use crate::{
    protocol::Variant,
    resource::{ResourceType, Warming},
};

pub(super) const CLUSTERS: [&str; 4] = ["a", "b", "c", "d"];
const LISTENERS: [&str; 3] = ["l0", "l1", "l2"];
const ROUTES: [&str; 3] = ["r0", "r1", "r2"];
const SCOPES: [&str; 2] = ["s0", "s1"];
/// Content that clients refuse.
const BAD: u8 = 7;
/// Content with a further reference: to a secret, or to virtual hosts.
const RICH: u8 = 3;
/// A cluster with this content has health checks.
pub(super) const CHECKED: &str = "2";
/// A listener with this content refers to an extension configuration.
const EXTENDED: u8 = 2;

/// The types of which an unrelated resource is changed now and then.
pub(super) const PROBED: [ResourceType; 5] = [Cluster, Endpoint, Listener, Route, ScopedRoute];

/// The schedule of a run.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) pace: Pace,
    pub(super) steps: Vec<Step>,
}

/// The delays of the client and its network, in milliseconds. The values of a list are used in turn, again and again.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The delay of the network, one way.
    pub(super) network: u64,
    /// The delays between the arrival of a response and its application.
    pub(super) busy: Vec<u64>,
    /// The delays between the last child of a cluster and the cluster's being warm.
    pub(super) warming: Vec<u64>,
    /// The times that old listeners drain.
    pub(super) drain: Vec<u64>,
}

/// One step, some milliseconds after the one before.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) after: u64,
    pub(super) act: Act,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Publish(Vec<Edit>),
    /// The plan before the last publish comes back.
    TakeBack,
    /// A change of an unrelated resource.
    Probe(usize),
    /// The Envoy is cut off, these edits are published (if any), and it reconnects with its types from this index on.
    Reconnect(ControlPlane, Vec<Edit>, usize),
}

/// A change of the plan. Content 0 removes the resource.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Cluster(usize, u8),
    Endpoints(usize, u8),
    Listener(usize, u8, usize, Target),
    Route(usize, u8, usize),
    Scope(usize, u8, usize, usize),
    Host(usize, u8, usize, usize),
    Secret(u8),
    Extension(u8),
}

/// The source of a listener's routes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Route(usize),
    Scopes,
    Cluster(usize),
}

/// The configuration to be published. Every referenced resource exists, and each place is claimed once.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    clusters: [u8; 4],
    endpoints: [u8; 4],
    /// Content, place and target.
    listeners: [(u8, usize, Target); 3],
    /// Content and cluster.
    routes: [(u8, usize); 3],
    /// Content, key and route.
    scopes: [(u8, usize, usize); 2],
    /// For each route: content, domain and cluster.
    hosts: [[(u8, usize, usize); 2]; 3],
    secret: u8,
    extension: u8,
    /// The contents of the unrelated resources.
    probes: [u32; 5],
}

// === impl Plan ===

impl Default for Plan {
    fn default() -> Self {
        Self {
            clusters: [1, 0, 0, 0],
            endpoints: [1; 4],
            listeners: [
                (1, 0, Target::Route(0)),
                (0, 1, Target::Route(1)),
                (0, 2, Target::Route(2)),
            ],
            routes: [(1, 0); 3],
            scopes: [(0, 0, 0), (0, 1, 1)],
            hosts: [[(1, 0, 0), (0, 1, 0)]; 3],
            secret: 1,
            extension: 1,
            probes: [1; 5],
        }
    }
}

impl Plan {
    pub(super) fn edit(&mut self, edits: &[Edit]) {
        for edit in edits {
            match *edit {
                Edit::Cluster(at, content) => self.clusters[at] = content,
                Edit::Endpoints(at, content) => self.endpoints[at] = content,
                Edit::Listener(at, content, place, target) => self.listeners[at] = (content, place, target),
                Edit::Route(at, content, cluster) => self.routes[at] = (content, cluster),
                Edit::Scope(at, content, key, route) => self.scopes[at] = (content, key, route),
                Edit::Host(at, content, domain, cluster) => {
                    self.hosts[at][usize::from(content) % 2] = (content, domain, cluster)
                }
                Edit::Secret(content) => self.secret = content,
                Edit::Extension(content) => self.extension = content,
            }
        }
    }

    /// The plan before this one, which takes its place; unrelated resources stay as they are now.
    pub(super) fn taken_back(&self, before: &mut Self) -> Self {
        let mut back = std::mem::replace(before, self.clone());
        back.probes = self.probes;
        back
    }

    /// Changes the content of the unrelated resource of a type.
    pub(super) fn probe(&mut self, at: usize) -> (ResourceType, &'static str, u32) {
        self.probes[at] += 1;
        let name = ["p", "pe", "pl", "pr", "ps"][at];
        (PROBED[at].clone(), name, self.probes[at])
    }

    /// The plan without content that clients refuse.
    pub(super) fn mended(mut self) -> Self {
        let mend = |content: &mut u8| *content = if *content == BAD { 1 } else { *content };
        self.clusters.iter_mut().chain(&mut self.endpoints).for_each(mend);
        self.listeners.iter_mut().for_each(|row| mend(&mut row.0));
        self.routes.iter_mut().for_each(|row| mend(&mut row.0));
        self.scopes.iter_mut().for_each(|row| mend(&mut row.0));
        self.hosts.iter_mut().flatten().for_each(|row| mend(&mut row.0));
        self
    }

    /// The plan without resources that claim a place.
    pub(super) fn placeless(mut self) -> Self {
        self.listeners.iter_mut().for_each(|row| row.0 = 0);
        self.scopes.iter_mut().for_each(|row| row.0 = 0);
        self.routes.iter_mut().for_each(|row| row.0 = 1);
        self
    }

    pub(super) fn config(&self, variant: Variant) -> Config {
        let mut config = self.probes();
        let mut used = Used::default();
        config = self.with_listeners(config, &mut used);
        config = self.with_scopes(config, &mut used);
        config = self.with_routes(config, &mut used, variant);
        self.with_clusters(config, &used)
    }

    /// The unrelated resources: no other resource refers to them, and they refer to no other.
    fn probes(&self) -> Config {
        let [cluster, endpoint, listener, route, scope] = self.probes.map(|content| content.to_string());
        Config::default()
            .with(Cluster, "p", &cluster)
            .warms("p", warming(&cluster, Warming::AtOnce))
            .eds_cluster("pe", "1")
            .warms("pe", Warming::WithEndpoints)
            .with(Endpoint, "pe", &endpoint)
            .refers(Listener, "pl", &listener, &[(Route, "pr")])
            .claims(Listener, "pl", "port 9")
            .refers(Route, "pr", &route, &[(Cluster, "p")])
            .refers(ScopedRoute, "ps", &scope, &[(Route, "pr")])
            .claims(ScopedRoute, "ps", "key 9")
    }

    fn with_listeners(&self, mut config: Config, used: &mut Used) -> Config {
        let mut taken = Vec::new();
        for (name, (content, place, target)) in LISTENERS.into_iter().zip(self.listeners) {
            if content == 0 || taken.contains(&place) {
                continue;
            }
            taken.push(place);
            let mut to = Vec::new();
            let mut text = text(content);
            match target {
                Target::Route(route) => {
                    used.routes[route] = true;
                    to.push((Route, ROUTES[route]));
                }
                Target::Scopes => text.push_str(" scopes"),
                Target::Cluster(cluster) => {
                    used.clusters[cluster] = true;
                    to.push((Cluster, CLUSTERS[cluster]));
                }
            }
            if content == RICH {
                used.secret = true;
                to.push((Secret, "k"));
            }
            if content == EXTENDED {
                used.extension = true;
                to.push((ExtensionConfig, "x"));
            }
            let place = format!("port {place}");
            config = config.refers(Listener, name, &text, &to).claims(Listener, name, &place);
        }
        config
    }

    fn with_scopes(&self, mut config: Config, used: &mut Used) -> Config {
        let mut taken = Vec::new();
        for (name, (content, key, route)) in SCOPES.into_iter().zip(self.scopes) {
            if content == 0 || taken.contains(&key) {
                continue;
            }
            taken.push(key);
            used.routes[route] = true;
            let key = format!("key {key}");
            config = config
                .refers(ScopedRoute, name, &text(content), &[(Route, ROUTES[route])])
                .claims(ScopedRoute, name, &key);
        }
        config
    }

    fn with_routes(&self, mut config: Config, used: &mut Used, variant: Variant) -> Config {
        for (at, (content, cluster)) in self.routes.into_iter().enumerate() {
            if !used.routes[at] {
                continue;
            }
            let content = content.max(1);
            used.clusters[cluster] = true;
            let mut text = text(content);
            if content == RICH && variant == Variant::Delta {
                text.push_str(" hosts");
                config = self.with_hosts(config, used, at);
            }
            config = config.refers(Route, ROUTES[at], &text, &[(Cluster, CLUSTERS[cluster])]);
        }
        config
    }

    /// The first virtual host always exists: an Envoy waits for those of a route configuration with VHDS.
    fn with_hosts(&self, mut config: Config, used: &mut Used, route: usize) -> Config {
        let [first, second] = self.hosts[route];
        for (name, (content, domain, cluster)) in [("h0", first), ("h1", second)] {
            let is_taken = name == "h1" && (content == 0 || domain == first.1);
            if is_taken {
                continue;
            }
            used.clusters[cluster] = true;
            let name = format!("{}/{name}", ROUTES[route]);
            let domain = format!("{} domain {domain}", ROUTES[route]);
            config = config
                .refers(
                    VirtualHost,
                    &name,
                    &text(content.max(1)),
                    &[(Cluster, CLUSTERS[cluster])],
                )
                .claims(VirtualHost, &name, &domain);
        }
        config
    }

    fn with_clusters(&self, mut config: Config, used: &Used) -> Config {
        let mut needs_secret = used.secret;
        for (at, name) in CLUSTERS.into_iter().enumerate() {
            if self.clusters[at] == 0 && !used.clusters[at] {
                continue;
            }
            let content = self.clusters[at].max(1);
            let mut to = vec![(Endpoint, name)];
            if content == RICH {
                needs_secret = true;
                to.push((Secret, "k"));
            }
            let warming = match content {
                RICH => Warming::Unseen,
                _ => warming(&text(content), Warming::WithEndpoints),
            };
            config = config
                .refers(Cluster, name, &text(content), &to)
                .warms(name, warming)
                .with(Endpoint, name, &text(self.endpoints[at].max(1)));
        }
        if needs_secret {
            config = config.with(Secret, "k", &self.secret.to_string());
        }
        if used.extension {
            config = config.with(ExtensionConfig, "x", &self.extension.to_string());
        }
        config
    }
}

/// The resources that are referred to.
#[derive(Default)]
struct Used {
    clusters: [bool; 4],
    routes: [bool; 3],
    secret: bool,
    extension: bool,
}

fn warming(content: &str, otherwise: Warming) -> Warming {
    if content == CHECKED { Warming::Unseen } else { otherwise }
}

fn text(content: u8) -> String {
    if content == BAD {
        return "bad".to_owned();
    }
    content.to_string()
}

// === strategies ===

pub(super) fn schedules() -> impl Strategy<Value = Schedule> {
    (pace(), prop::collection::vec(step(), 1..9)).prop_map(|(pace, steps)| Schedule { pace, steps })
}

fn pace() -> impl Strategy<Value = Pace> {
    let list = |values: Vec<u64>| prop::collection::vec(prop::sample::select(values), 1..4);
    let network = prop::sample::select(vec![0, 1, 10, 100]);
    let busy = list(vec![0, 0, 5, 100, 400]);
    let warming = list(vec![0, 0, 0, 50, 2_000, 12_000]);
    let drain = list(vec![0, 0, 300, 5_000]);
    (network, busy, warming, drain).prop_map(|(network, busy, warming, drain)| Pace {
        network,
        busy,
        warming,
        drain,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop::sample::select(vec![0, 2, 15, 150, 1_000, 5_000]);
    let edits = || prop::collection::vec(edit(), 1..4);
    let control_plane = prop::sample::select(vec![ControlPlane::KeptRunning, ControlPlane::Restarted]);
    let away = prop::collection::vec(edit(), 0..4);
    let act = prop_oneof![
        8 => edits().prop_map(Act::Publish),
        3 => Just(Act::TakeBack),
        4 => (0..PROBED.len()).prop_map(Act::Probe),
        2 => (control_plane, away, 0..8_usize).prop_map(|(plane, edits, first)| Act::Reconnect(plane, edits, first)),
    ];
    (after, act).prop_map(|(after, act)| Step { after, act })
}

fn edit() -> impl Strategy<Value = Edit> {
    let content = || prop_oneof![2 => Just(0_u8), 9 => 1..4_u8, 1 => Just(BAD)];
    let good = || 1..4_u8;
    let target = prop_oneof![
        4 => (0..3_usize).prop_map(Target::Route),
        1 => Just(Target::Scopes),
        1 => (0..4_usize).prop_map(Target::Cluster),
    ];
    prop_oneof![
        4 => (0..4_usize, content()).prop_map(|(at, content)| Edit::Cluster(at, content)),
        1 => (0..4_usize, content()).prop_map(|(at, content)| Edit::Endpoints(at, content)),
        4 => (0..3_usize, content(), 0..4_usize, target).prop_map(|(at, content, place, to)| Edit::Listener(at, content, place, to)),
        4 => (0..3_usize, content(), 0..4_usize).prop_map(|(at, content, cluster)| Edit::Route(at, content, cluster)),
        2 => (0..2_usize, content(), 0..3_usize, 0..3_usize).prop_map(|(at, content, key, route)| Edit::Scope(at, content, key, route)),
        1 => (0..3_usize, content(), 0..3_usize, 0..4_usize).prop_map(|(at, content, domain, to)| Edit::Host(at, content, domain, to)),
        1 => good().prop_map(Edit::Secret),
        1 => good().prop_map(Edit::Extension),
    ]
}
