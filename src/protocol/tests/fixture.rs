//! Snapshots and requests that read like configuration, and a client end that sends nothing by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    proto::{
        discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
        google::rpc,
    },
    protocol::{Features, Lists, Names, NamesFingerprint, Outcome, Policy, Response, Scope, Session, Variant},
    resource::{ContentHash, Place, Reference, Resource, ResourceName, ResourceType, Version, Warming},
    snapshot::{Completeness, Revision, Snapshot, TypeResources},
};

pub(super) use crate::resource::ResourceType::{
    Cluster, Endpoint, ExtensionConfig, Listener, Route, Runtime, ScopedRoute, Secret, VirtualHost,
};

/// The resources of a snapshot, in a builder.
#[derive(Clone, Debug, Default)]
pub(super) struct Config(
    BTreeMap<Key, (String, Vec<Key>)>,
    BTreeMap<Key, Duration>,
    BTreeMap<Key, Vec<String>>,
    BTreeMap<Key, Warming>,
);

/// Type and name of a resource.
type Key = (ResourceType, String);

impl Config {
    pub(super) fn with(mut self, kind: ResourceType, name: &str, content: &str) -> Self {
        self.0.insert((kind, name.into()), (content.into(), Vec::new()));
        self
    }

    /// Adds a resource with references, as in `("listener content", [(Route, "r")])`.
    pub(super) fn refers(mut self, kind: ResourceType, name: &str, content: &str, to: &[(ResourceType, &str)]) -> Self {
        let to = to
            .iter()
            .map(|(kind, name)| (kind.clone(), (*name).to_owned()))
            .collect();
        self.0.insert((kind, name.into()), (content.into(), to));
        self
    }

    /// Adds an EDS cluster whose endpoints have its own name.
    pub(super) fn eds_cluster(self, name: &str, content: &str) -> Self {
        self.refers(Cluster, name, content, &[(Endpoint, name)])
    }

    /// Adds a resource with a TTL.
    pub(super) fn expiring(mut self, kind: ResourceType, name: &str, content: &str, ttl: Duration) -> Self {
        self.1.insert((kind.clone(), name.into()), ttl);
        self.with(kind, name, content)
    }

    /// Lets an added resource claim a place.
    pub(super) fn claims(mut self, kind: ResourceType, name: &str, place: &str) -> Self {
        let places = self.2.entry((kind, name.into())).or_default();
        places.push(place.into());
        places.sort();
        self
    }

    /// Sets what an added cluster needs to be warm; without this, its warming does not show.
    pub(super) fn warms(mut self, name: &str, warming: Warming) -> Self {
        self.3.insert((Cluster, name.into()), warming);
        self
    }

    pub(super) fn without(mut self, kind: ResourceType, name: &str) -> Self {
        let key = (kind, name.into());
        self.0.remove(&key);
        self.2.remove(&key);
        self
    }

    /// The snapshot as it is served.
    pub(super) fn at(&self, revision: u64, previous: Option<&Arc<Snapshot>>) -> Arc<Snapshot> {
        self.of_lineage(revision, previous, &mut None)
    }

    /// The snapshot as it is served, with the versions that the publisher gives it after the `previous` one.
    fn of_lineage(
        &self,
        revision: u64,
        previous: Option<&Arc<Snapshot>>,
        lineage: &mut Option<Lineage>,
    ) -> Arc<Snapshot> {
        let mut types: BTreeMap<ResourceType, Vec<Arc<Resource>>> = BTreeMap::new();
        for (key, (content, to)) in &self.0 {
            let ttl = self.1.get(key).copied();
            let places = self.2.get(key).map_or(&[][..], Vec::as_slice);
            let (kind, name) = key;
            types.entry(kind.clone()).or_default().push(resource(
                kind,
                name,
                content,
                to,
                (ttl, places, self.3.get(key)),
            ));
        }
        // A type whose last resource is removed stays as an empty set, as in the publisher.
        for (kind, _) in previous.iter().flat_map(|previous| previous.types()) {
            types.entry(kind.clone()).or_default();
        }
        let types = types.into_iter().map(|(kind, resources)| {
            let before = previous.and_then(|previous| previous.get(&kind));
            let resources = match lineage {
                Some(lineage) => lineage.versioned(&kind, resources, before, revision),
                None => Arc::new(TypeResources::new(resources).unwrap()),
            };
            (kind, resources)
        });
        let types: BTreeMap<ResourceType, Arc<TypeResources>> = types.collect();
        let own = Snapshot::new("g".into(), Revision(revision), types, Completeness::Published);
        let previous = previous.map(|previous| &**previous);
        Arc::new(Snapshot::compose(&"g".into(), Some(&own), None, previous))
    }
}

fn resource(
    kind: &ResourceType,
    name: &str,
    content: &str,
    to: &[(ResourceType, String)],
    (ttl, places, warming): (Option<Duration>, &[String], Option<&Warming>),
) -> Arc<Resource> {
    let name = ResourceName::from(name);
    let text = match places {
        [] => format!("{content} {to:?}"),
        places => format!("{content} {to:?} {places:?}"),
    };
    let hash = ContentHash::of(kind, &name, &[], ttl, text.as_bytes());
    let mut references: Vec<Reference> = to
        .iter()
        .map(|(kind, name)| Reference {
            resource_type: kind.clone(),
            name: name.as_str().into(),
        })
        .collect();
    references.sort();
    Arc::new(Resource {
        version: Version::from(hash),
        name,
        content: hash,
        aliases: Box::default(),
        ttl,
        body: content.to_owned().into(),
        references: references.into(),
        places: places.iter().cloned().map(Place::from).collect(),
        warming: warming.copied().unwrap_or_default(),
    })
}

/// Contents and versions that were used before: content that returns gets another version, as in the publisher (S-3).
#[derive(Clone, Debug, Default)]
pub(super) struct Lineage {
    gone: BTreeSet<ContentHash>,
    versions: BTreeSet<(ResourceType, Version)>,
}

impl Lineage {
    fn versioned(
        &mut self,
        kind: &ResourceType,
        resources: Vec<Arc<Resource>>,
        before: Option<&Arc<TypeResources>>,
        revision: u64,
    ) -> Arc<TypeResources> {
        let marked = |version: &Version| Version::from(format!("{version}-r{revision}"));
        let versioned = resources.into_iter().map(|resource| {
            let same = before.and_then(|before| before.get(resource.name.as_str()));
            if let Some(same) = same.filter(|same| same.content == resource.content) {
                return Arc::clone(same);
            }
            if !self.gone.contains(&resource.content) {
                return resource;
            }
            let version = marked(&resource.version);
            Arc::new(Resource {
                version,
                ..Resource::clone(&resource)
            })
        });
        let mut resources = TypeResources::new(versioned.collect()).unwrap();
        if let Some(before) = before {
            if resources.as_slice() == before.as_slice() {
                return Arc::clone(before);
            }
            let goes = |old: &&Arc<Resource>| {
                let now = resources.get(old.name.as_str());
                now.is_none_or(|now| now.content != old.content)
            };
            self.gone.extend(before.iter().filter(goes).map(|old| old.content));
        }
        if !self.versions.insert((kind.clone(), resources.version().clone())) {
            let version = marked(resources.version());
            self.versions.insert((kind.clone(), version.clone()));
            resources = resources.with_version(version);
        }
        Arc::new(resources)
    }
}

/// One stream with both of its ends.
pub(super) struct Stream {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) outcomes: Vec<Outcome>,
    last: Option<Arc<Snapshot>>,
    revision: u64,
    lineage: Option<Lineage>,
}

impl Stream {
    pub(super) fn new(variant: Variant) -> Self {
        Self::scoped(variant, Scope::Aggregated)
    }

    pub(super) fn scoped(variant: Variant, scope: Scope) -> Self {
        Self::with_policy(variant, scope, Policy::default())
    }

    pub(super) fn with_policy(variant: Variant, scope: Scope, policy: Policy) -> Self {
        Self {
            session: Session::new(variant, scope, Arc::new(policy), "s".into(), "node".into()),
            now: Instant::now(),
            outcomes: Vec::new(),
            last: None,
            revision: 0,
            lineage: None,
        }
    }

    /// A stream of a client with these features.
    pub(super) fn featured(variant: Variant, policy: Policy, features: Features) -> Self {
        let mut stream = Self::with_policy(variant, Scope::Aggregated, policy.clone());
        let session = Session::new(variant, Scope::Aggregated, Arc::new(policy), "s".into(), "node".into());
        stream.session = session.with_features(features);
        stream
    }

    /// The next stream of the same node, at the same time. It has the newest snapshot from the start.
    pub(super) fn successor(&self, session: Session) -> Self {
        let mut session = session;
        if let Some(snapshot) = &self.last {
            session.on_snapshot(Arc::clone(snapshot));
        }
        Self {
            session,
            now: self.now,
            outcomes: Vec::new(),
            last: self.last.clone(),
            revision: self.revision,
            lineage: self.lineage.clone(),
        }
    }

    /// Gives content that returns another version than before.
    pub(super) fn with_lineage(self) -> Self {
        let lineage = Some(Lineage::default());
        Self { lineage, ..self }
    }

    /// The last published snapshot.
    pub(super) fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(self.last.as_ref().expect("something was published"))
    }

    pub(super) fn publish(&mut self, config: &Config) {
        self.revision += 1;
        let snapshot = config.of_lineage(self.revision, self.last.as_ref(), &mut self.lineage);
        self.last = Some(Arc::clone(&snapshot));
        self.session.on_snapshot(snapshot);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// All responses that can be sent now.
    pub(super) fn drain(&mut self) -> Vec<Response> {
        let mut all = Vec::new();
        while let Some(response) = self.session.poll_response(self.now) {
            all.push(response);
            assert!(all.len() < 1000, "the session never stops sending");
        }
        while let Some(outcome) = self.session.poll_outcome() {
            self.outcomes.push(outcome);
        }
        all
    }

    /// The only response that can be sent now.
    pub(super) fn one(&mut self) -> Response {
        let mut all = self.drain();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    #[track_caller]
    pub(super) fn silence(&mut self) {
        let all = self.drain();
        assert!(all.is_empty(), "{all:#?}");
    }

    // === SotW ===

    pub(super) fn sotw(&mut self, kind: &ResourceType, names: &[&str]) {
        self.send(&sotw(kind, names, "", ""));
    }

    pub(super) fn ack(&mut self, response: &Response, names: &[&str]) {
        let delivery = &response.delivery;
        let (version, nonce) = (delivery.version.as_str(), delivery.nonce.to_string());
        self.send(&sotw(&delivery.resource_type, names, version, &nonce));
    }

    pub(super) fn nack(&mut self, response: &Response, names: &[&str], version: &str) {
        let delivery = &response.delivery;
        let mut request = sotw(&delivery.resource_type, names, version, &delivery.nonce.to_string());
        request.error_detail = Some(refusal());
        self.send(&request);
    }

    pub(super) fn send(&mut self, request: &DiscoveryRequest) {
        self.session.on_request(&request.into()).unwrap();
    }

    // === delta ===

    pub(super) fn delta(&mut self, kind: &ResourceType, subscribe: &[&str], unsubscribe: &[&str]) {
        self.send_delta(&delta(kind, subscribe, unsubscribe));
    }

    pub(super) fn ack_delta(&mut self, response: &Response) {
        let mut request = delta(&response.delivery.resource_type, &[], &[]);
        request.response_nonce = response.delivery.nonce.to_string();
        self.send_delta(&request);
    }

    pub(super) fn nack_delta(&mut self, response: &Response) {
        let mut request = delta(&response.delivery.resource_type, &[], &[]);
        request.response_nonce = response.delivery.nonce.to_string();
        request.error_detail = Some(refusal());
        self.send_delta(&request);
    }

    pub(super) fn send_delta(&mut self, request: &DeltaDiscoveryRequest) {
        self.session.on_request(&request.into()).unwrap();
    }
}

/// A registry of all lists that streams ask for.
#[derive(Debug, Default)]
pub(super) struct KnownLists(pub(super) Mutex<Vec<Names>>);

impl Lists for KnownLists {
    fn find(&self, fingerprint: NamesFingerprint) -> Option<Names> {
        let known = self.0.lock().unwrap();
        known
            .iter()
            .find(|names| names.fingerprint() == Some(fingerprint))
            .cloned()
    }

    fn share(&self, names: Names) -> Names {
        self.0.lock().unwrap().push(names.clone());
        names
    }
}

pub(super) fn sotw(kind: &ResourceType, names: &[&str], version: &str, nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: version.into(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        type_url: kind.type_url().into(),
        response_nonce: nonce.into(),
        ..DiscoveryRequest::default()
    }
}

pub(super) fn delta(kind: &ResourceType, subscribe: &[&str], unsubscribe: &[&str]) -> DeltaDiscoveryRequest {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest {
        type_url: kind.type_url().into(),
        resource_names_subscribe: list(subscribe),
        resource_names_unsubscribe: list(unsubscribe),
        ..DeltaDiscoveryRequest::default()
    }
}

fn refusal() -> rpc::Status {
    rpc::Status {
        code: 13,
        message: "no".into(),
        details: Vec::new(),
    }
}

/// `cluster[a b]`, `endpoint[a -z]`: type, names, and removed names.
pub(super) fn gist(response: &Response) -> String {
    let names = response.resources.as_slice().iter().map(|r| r.name.to_string());
    let removed = response.removed.iter().map(|name| format!("-{name}"));
    let all: Vec<String> = names.chain(removed).collect();
    format!("{}[{}]", response.delivery.resource_type, all.join(" "))
}

pub(super) fn gists(responses: &[Response]) -> Vec<String> {
    responses.iter().map(gist).collect()
}
