//! One endpoint: its registration, its id, and its lease.

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

/// The largest weight: the weights of a cluster must add up to at most 32 bits.
pub const MAX_WEIGHT: u32 = 65_535;

/// The secret that renews and removes a registration: only its service has it. The id is neither stored, published nor
/// logged; its digest is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EndpointId(Uuid);

/// The public name of a registration: the hash of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointDigest([u8; 16]);

/// The description of an endpoint by its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The name under which clusters request the endpoint: `service_name`, or the cluster's own.
    pub cluster_name: String,
    /// The address of the endpoint. EDS takes no host names.
    pub address: SocketAddr,
    /// The share of the load, relative to the other endpoints; 1 where not given.
    pub weight: Option<u32>,
    /// The health, which decides if the endpoint gets load.
    pub health: Health,
    /// The location; empty texts where not given.
    pub locality: Locality,
    /// The length of the lease; unlimited where not given.
    pub ttl: Option<Duration>,
}

/// A registration and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The digest of the id.
    pub digest: EndpointDigest,
    /// The registration, with later changes.
    pub registration: Registration,
}

/// An endpoint with its lease.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The published form of the endpoint, encoded once for all revisions of its cluster.
    pub(super) encoded: Bytes,
    /// The time at which the lease runs out; `None` for never.
    pub expires: Option<Instant>,
}

/// The changes of a renewal; fields that are not given stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The new weight.
    pub weight: Option<u32>,
    /// The new health.
    pub health: Option<Health>,
    /// The new length of the lease.
    pub ttl: Option<Duration>,
}

/// `envoy.config.core.v3.HealthStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Envoy's own checks decide; without checks the endpoint is healthy.
    #[default]
    Unknown,
    /// The endpoint may get load.
    Healthy,
    /// The endpoint gets no load.
    Unhealthy,
    /// The endpoint gets no new connections.
    Draining,
    /// The health check timed out: unhealthy.
    Timeout,
    /// The endpoint gets load only if healthy ones are short.
    Degraded,
}

/// A text that is not a health status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown health \"{0}\": expected UNKNOWN, HEALTHY, UNHEALTHY, DRAINING, TIMEOUT or DEGRADED")]
pub struct UnknownHealth(pub String);

/// A text that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 32 hexadecimal digits")]
pub struct MalformedDigest;

/// The location of an endpoint.
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

    /// The public name of the registration.
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

    /// The name in Envoy's protos.
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
    /// A registration with defaults in all other fields.
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
