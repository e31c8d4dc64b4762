//! Resources as they are served: a name, a version and the encoded `Any`, immutable and shared.
//!
//! Admission makes resources, all other modules pass them on. Nothing here decodes a body.

mod content_key;
mod kind;
pub mod xdstp;

use std::{borrow::Borrow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;

pub use self::{
    content_key::ContentKey,
    kind::{ResourceType, TypeUrl, UnknownType},
};

/// The exact name a client subscribes to (W-5).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceName(Arc<str>);

/// The version of a resource or of a type: equal versions mean equal content (S-3, D-7).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Arc<str>);

/// The hash of a resource's type, name, canonical content, aliases and TTL. Unlike [`Version`], it never has a suffix.
/// The hash of a secret is keyed: see [`ContentKey`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash([u8; 16]);

/// A dependency of one resource on another, found at admission: listener → route, route → cluster, ….
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The type of the resource that is referred to.
    pub resource_type: ResourceType,
    /// The name under which clients request it.
    pub name: ResourceName,
}

/// A claim that only one resource of its type may hold on a client at a time: the address of a listener, the key of a
/// scope, a domain of a route configuration. A client refuses a second resource with the same claim (O-17).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(Box<str>);

/// The conditions for a cluster to be warm in Envoy, as far as a control plane can observe them (O-5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Warming {
    /// Not observable: health checks, names to resolve, secrets to fetch. Also for resources that are not clusters.
    #[default]
    Unseen,
    /// The cluster is warm with its endpoints.
    WithEndpoints,
    /// The cluster is warm at once.
    AtOnce,
}

/// One admitted resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    /// The name that clients subscribe to.
    pub name: ResourceName,
    /// The version that clients are sent: the content hash, with a suffix if the content returned to an earlier state.
    pub version: Version,
    /// The hash of the content alone. It decides whether a publish changes the resource.
    pub content: ContentHash,
    /// Other names that match subscriptions (D-12).
    pub aliases: Box<[ResourceName]>,
    /// The time after which a client drops the resource unless it is renewed (T-1).
    pub ttl: Option<Duration>,
    /// The encoded `google.protobuf.Any`, byte for byte as admitted: fields unknown to our protos survive.
    pub body: Bytes,
    /// The resources that this one refers to, sorted, without duplicates.
    pub references: Box<[Reference]>,
    /// The places that the resource claims, sorted, without duplicates.
    pub places: Box<[Place]>,
    /// The conditions for a cluster to be warm.
    pub warming: Warming,
}

// === impl ResourceName ===

impl ResourceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ResourceName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for ResourceName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for ResourceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl Place ===

impl Place {
    /// The place as text, as in `tcp 0.0.0.0:80`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Place {
    fn from(place: String) -> Self {
        Self(place.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Version ===

impl Version {
    /// The version as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Version {
    fn from(version: &str) -> Self {
        Self(version.into())
    }
}

impl From<String> for Version {
    fn from(version: String) -> Self {
        Self(version.into())
    }
}

impl From<ContentHash> for Version {
    fn from(hash: ContentHash) -> Self {
        Self(hash.to_string().into())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl ContentHash ===

impl ContentHash {
    /// Hashes the identity and content of a resource. `canonical` is the deterministic encoding of its content (S-19).
    #[must_use]
    pub fn of(
        resource_type: &ResourceType,
        name: &ResourceName,
        aliases: &[ResourceName],
        ttl: Option<Duration>,
        canonical: &[u8],
    ) -> Self {
        let mut hasher = Hasher::default();
        hasher.field(resource_type.type_url().as_bytes());
        hasher.field(name.as_str().as_bytes());
        hasher.field(&(aliases.len() as u64).to_le_bytes());
        for alias in aliases {
            hasher.field(alias.as_str().as_bytes());
        }
        hasher.field(&ttl.map_or(u128::MAX, |ttl| ttl.as_nanos()).to_le_bytes());
        hasher.field(canonical);
        hasher.finish()
    }

    /// Hashes a sequence of texts, each preceded by its length: different sequences give different inputs.
    #[must_use]
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_parts(texts.into_iter().map(str::as_bytes))
    }

    /// [`ContentHash::of_texts`] for byte strings.
    #[must_use]
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Hasher::default();
        for part in parts {
            hasher.field(part);
        }
        hasher.finish()
    }

    /// The hash's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The hash's bytes, to store them.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The hash of stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 80 bits as text: short enough to read, and no fleet publishes 2^40 contents of one resource.
        self.0[..10].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Default)]
struct Hasher(blake3::Hasher);

impl Hasher {
    fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> ContentHash {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        ContentHash(short)
    }
}

// === impl Resource ===

impl Resource {
    /// Returns true if a subscription to `name` matches this resource, by name or by alias (D-12).
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        self.name.as_str() == name || self.aliases.iter().any(|alias| alias.as_str() == name)
    }

    /// The name and version by which a client states that it holds this resource (D-5).
    #[must_use]
    pub fn held(&self) -> (&str, &str) {
        (self.name.as_str(), self.version.as_str())
    }

    /// The resource's name, then its aliases.
    pub fn known_as(&self) -> impl Iterator<Item = &ResourceName> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    /// A `ClusterLoadAssignment` without endpoints, for a cluster whose endpoints nobody published (O-7).
    #[must_use]
    pub fn empty_endpoints(name: &ResourceName) -> Self {
        use prost::Message as _;

        /// The one field of an empty assignment.
        #[derive(Clone, PartialEq, prost::Message)]
        struct LoadAssignment {
            #[prost(string, tag = "1")]
            cluster_name: String,
        }

        let value = LoadAssignment {
            cluster_name: name.to_string(),
        }
        .encode_to_vec();
        let content = ContentHash::of(&ResourceType::Endpoint, name, &[], None, &value);
        let any = prost_types::Any {
            type_url: ResourceType::Endpoint.type_url().to_owned(),
            value,
        };
        Self {
            name: name.clone(),
            version: Version::from(content),
            content,
            aliases: Box::default(),
            ttl: None,
            body: any.encode_to_vec().into(),
            references: Box::default(),
            places: Box::default(),
            warming: Warming::default(),
        }
    }

    /// A placeholder for a resource of which only the name and the version that a client holds are known.
    pub(crate) fn unknown(name: &ResourceName, version: &Version) -> Self {
        Self {
            name: name.clone(),
            version: version.clone(),
            content: ContentHash::of_texts([]),
            aliases: Box::default(),
            ttl: None,
            body: Bytes::new(),
            references: Box::default(),
            places: Box::default(),
            warming: Warming::default(),
        }
    }

    /// Returns true for a placeholder made by [`Resource::unknown`]. Any other resource has a body.
    pub(crate) fn is_unknown(&self) -> bool {
        self.body.is_empty()
    }

    /// The names of one type that the resource refers to.
    pub fn references_to<'a>(&'a self, to: &'a ResourceType) -> impl Iterator<Item = &'a ResourceName> {
        self.references
            .iter()
            .filter(move |reference| reference.resource_type == *to)
            .map(|reference| &reference.name)
    }
}

impl fmt::Debug for Resource {
    /// Omits the body, which may hold a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
