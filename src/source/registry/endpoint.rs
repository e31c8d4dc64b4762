//! One endpoint: what it is registered as, by what it is known, and its lease.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

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

// === impl EndpointId ===

impl EndpointId {
    pub(super) fn random() -> Self {
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

    pub(super) fn place(&self) -> (String, SocketAddr) {
        (self.cluster_name.clone(), self.address)
    }
}
