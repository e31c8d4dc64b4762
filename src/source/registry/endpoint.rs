//! What is registered: endpoints, their leases, and how a batch of commands changes them. No I/O.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Action, MAX_ENDPOINTS, Registered, RegistryError, assignment};

/// The largest weight: those of a cluster must not add up to more than 32 bits.
pub const MAX_WEIGHT: u32 = 65_535;

/// What a registration is renewed and removed by: whoever has it may do so, and nobody else has it but who registered. It is
/// neither kept nor published nor logged, its digest is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EndpointId(Uuid);

/// Names a registration where everyone may see it: the hash of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointDigest([u8; 16]);

/// An endpoint as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The name that clusters ask for its endpoints by: `service_name`, or the cluster's own.
    pub cluster_name: String,
    /// Where it listens. EDS takes no host names.
    pub address: SocketAddr,
    /// Its share of the load, relative to the others; 1 where not given.
    pub weight: Option<u32>,
    /// Whether it is to be given load.
    pub health: Health,
    /// Where it runs; empty texts where not given.
    pub locality: Locality,
    /// How long it stays without being renewed; for ever where not given.
    pub ttl: Option<Duration>,
}

/// A registration under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The digest of what it is renewed and removed by.
    pub digest: EndpointDigest,
    /// As registered, with what was changed since.
    pub registration: Registration,
}

/// An endpoint and when it goes by itself.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The endpoint as it is published: encoded once, however often its cluster is.
    pub(super) encoded: Bytes,
    /// When it goes unless it is renewed; `None` for never.
    pub expires: Option<Instant>,
}

/// What may change with a renewal; what is not given stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Another weight.
    pub weight: Option<u32>,
    /// Another health.
    pub health: Option<Health>,
    /// Another length of its lease.
    pub ttl: Option<Duration>,
}

/// `envoy.config.core.v3.HealthStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Envoy's own checks decide; without any it is healthy.
    #[default]
    Unknown,
    /// It may be given load.
    Healthy,
    /// It may not.
    Unhealthy,
    /// It may not be given new connections.
    Draining,
    /// Its health check ran out of time: unhealthy.
    Timeout,
    /// It is given load where healthy ones are short.
    Degraded,
}

/// A text that is no health.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown health \"{0}\": expected UNKNOWN, HEALTHY, UNHEALTHY, DRAINING, TIMEOUT or DEGRADED")]
pub struct UnknownHealth(pub String);

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 32 hexadecimal digits")]
pub struct MalformedDigest;

/// Where an endpoint runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locality {
    /// `region`.
    pub region: String,
    /// `zone`.
    pub zone: String,
    /// `sub_zone`.
    pub sub_zone: String,
}

/// Everything that is registered, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    by_digest: BTreeMap<EndpointDigest, Lease>,
    /// An address is in a cluster once.
    by_address: BTreeMap<(String, SocketAddr), EndpointDigest>,
}

// === impl EndpointId ===

impl EndpointId {
    fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// What it is known by to those who do not have it.
    #[must_use]
    pub fn digest(self) -> EndpointDigest {
        let hash = blake3::hash(self.0.as_bytes());
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.as_bytes()[..16]);
        EndpointDigest(digest)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointId(digest {})", self.digest())
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EndpointId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

// === impl EndpointDigest ===

impl fmt::Display for EndpointDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for EndpointDigest {
    type Err = MalformedDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 16];
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(MalformedDigest);
        }
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| MalformedDigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| MalformedDigest)?;
        }
        Ok(Self(digest))
    }
}

// === impl Health ===

impl Health {
    const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Healthy,
        Self::Unhealthy,
        Self::Draining,
        Self::Timeout,
        Self::Degraded,
    ];

    /// The name that Envoy's protos have for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Draining => "DRAINING",
            Self::Timeout => "TIMEOUT",
            Self::Degraded => "DEGRADED",
        }
    }
}

impl FromStr for Health {
    type Err = UnknownHealth;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| UnknownHealth(text.to_owned()))
    }
}

// === impl Registration ===

impl Registration {
    /// An endpoint of a cluster, with everything else as where nothing is said.
    #[must_use]
    pub fn new(cluster_name: impl Into<String>, address: IpAddr, port: u16) -> Self {
        Self {
            cluster_name: cluster_name.into(),
            address: SocketAddr::new(address, port),
            weight: None,
            health: Health::default(),
            locality: Locality::default(),
            ttl: None,
        }
    }

    fn place(&self) -> (String, SocketAddr) {
        (self.cluster_name.clone(), self.address)
    }
}

// === impl Endpoints ===

impl Endpoints {
    /// How many endpoints there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    /// Every endpoint, by digest.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.by_digest.values()
    }

    /// One endpoint.
    #[must_use]
    pub fn get(&self, id: EndpointId) -> Option<&Lease> {
        self.by_digest.get(&id.digest())
    }

    /// The endpoints of a cluster, by address.
    pub(super) fn of_cluster<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a Lease> {
        let from = (cluster.to_owned(), SocketAddr::from(([0, 0, 0, 0], 0)));
        let places = self
            .by_address
            .range(from..)
            .take_while(move |((name, _), _)| name == cluster);
        places.filter_map(|(_, digest)| self.by_digest.get(digest))
    }

    /// The clusters that have endpoints, sorted.
    pub(super) fn clusters(&self) -> Vec<String> {
        let mut clusters: Vec<String> = self.by_address.keys().map(|(cluster, _)| cluster.clone()).collect();
        clusters.dedup();
        clusters
    }

    /// The next moment at which a lease runs out.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.iter().filter_map(|lease| lease.expires).min()
    }

    /// Takes out what ran out. Gives the clusters that lost endpoints.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        let gone = self
            .iter()
            .filter(|lease| lease.expires.is_some_and(|expires| expires <= now));
        let gone: Vec<EndpointDigest> = gone.map(|lease| lease.endpoint.digest).collect();
        gone.into_iter().filter_map(|digest| self.remove(digest)).collect()
    }

    /// Adds an endpoint that was registered before.
    pub(super) fn recover(&mut self, endpoint: Endpoint, now: Instant) {
        self.put(endpoint, now);
    }

    /// Does what is asked for. Gives the cluster of which something else is to be published, where there is one.
    pub(super) fn apply(
        &mut self,
        action: Action,
        now: Instant,
    ) -> Result<(Registered, Option<String>), RegistryError> {
        match action {
            Action::Register(registration, id) => {
                let cluster = registration.cluster_name.clone();
                self.register(registration, id, now)
                    .map(|registered| (registered, Some(cluster)))
            }
            Action::Renew(id, change) => self
                .renew(id, change, now)
                .map(|cluster| (Registered::known(id), cluster)),
            Action::Deregister(id) => {
                let cluster = self.remove(id.digest()).ok_or(RegistryError::NotFound(id))?;
                Ok((Registered::known(id), Some(cluster)))
            }
        }
    }

    /// A place that is taken is changed by who has its id alone. Anyone may say what is registered there already, which
    /// prolongs it and changes nothing: a service that was restarted has forgotten its id.
    fn register(
        &mut self,
        registration: Registration,
        id: Option<EndpointId>,
        now: Instant,
    ) -> Result<Registered, RegistryError> {
        let Some(digest) = self.by_address.get(&registration.place()).copied() else {
            if self.by_digest.len() >= MAX_ENDPOINTS {
                return Err(RegistryError::Full);
            }
            let id = EndpointId::random();
            let digest = id.digest();
            self.put(Endpoint { digest, registration }, now);
            return Ok(Registered {
                id: Some(id),
                digest,
                created: true,
            });
        };
        let there = self.by_digest.get(&digest).map(|lease| &lease.endpoint.registration);
        let is_its_own = id.is_some_and(|id| id.digest() == digest);
        if !is_its_own && there != Some(&registration) {
            return Err(RegistryError::Occupied(registration.address, registration.cluster_name));
        }
        self.put(Endpoint { digest, registration }, now);
        Ok(Registered {
            id: id.filter(|_| is_its_own),
            digest,
            created: false,
        })
    }

    /// Gives the cluster where what is published of it changes.
    fn renew(&mut self, id: EndpointId, change: Change, now: Instant) -> Result<Option<String>, RegistryError> {
        let lease = self.get(id).ok_or(RegistryError::NotFound(id))?;
        let before = Arc::clone(&lease.endpoint);
        let Change { weight, health, ttl } = change;
        let registration = Registration {
            weight: weight.or(before.registration.weight),
            health: health.unwrap_or(before.registration.health),
            ttl: ttl.or(before.registration.ttl),
            ..before.registration.clone()
        };
        let changed = registration != before.registration;
        let cluster = registration.cluster_name.clone();
        let digest = before.digest;
        self.put(Endpoint { digest, registration }, now);
        Ok(changed.then_some(cluster))
    }

    /// Gives the cluster; `None` where there is no such endpoint.
    fn remove(&mut self, digest: EndpointDigest) -> Option<String> {
        let lease = self.by_digest.remove(&digest)?;
        let place = lease.endpoint.registration.place();
        self.by_address.remove(&place);
        Some(place.0)
    }

    fn put(&mut self, endpoint: Endpoint, now: Instant) {
        let digest = endpoint.digest;
        self.by_address.insert(endpoint.registration.place(), digest);
        let expires = endpoint.registration.ttl.map(|ttl| now + ttl);
        let encoded = match self.by_digest.get(&digest) {
            Some(lease) if *lease.endpoint == endpoint => lease.encoded.clone(),
            Some(_) | None => assignment::encode_endpoint(&endpoint),
        };
        let lease = Lease {
            endpoint: Arc::new(endpoint),
            encoded,
            expires,
        };
        self.by_digest.insert(digest, lease);
    }
}
