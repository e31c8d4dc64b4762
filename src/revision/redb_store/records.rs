//! Protobuf records of revisions on disk, each with a checksum or sealed.
//!
//! Fields are only ever added; a change of meaning needs a new format number.

use std::{sync::Arc, time::Duration};

use prost::Message;

use crate::{
    resource::{ContentHash, Place, Reference, Resource, ResourceName, ResourceType, Version, Warming},
    revision::{Origin, Receipt, ReceiptChange, StoredRevision, TypeSummary},
    snapshot::Revision,
};

/// Identifies an object: the hash of its content, as the snapshot computes it.
pub(super) type Hash = [u8; 16];

/// One revision. The lists of its types are separate objects, found by their hashes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RevisionRecord {
    #[prost(string, tag = "1")]
    pub(super) group: String,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<prost_types::Timestamp>,
    #[prost(string, tag = "3")]
    pub(super) author: String,
    #[prost(string, tag = "4")]
    pub(super) message: String,
    #[prost(bool, tag = "5")]
    pub(super) deleted: bool,
    #[prost(message, repeated, tag = "6")]
    pub(super) types: Vec<TypeRecord>,
    /// The concatenated hashes.
    #[prost(bytes = "vec", tag = "7")]
    pub(super) replaced: Vec<u8>,
    #[prost(string, tag = "8")]
    pub(super) owner: String,
    #[prost(bool, tag = "9")]
    pub(super) passing: bool,
    /// Empty in records of earlier releases, which have only `owner` and `passing`; those releases still read both.
    #[prost(string, tag = "10")]
    pub(super) origin: String,
}

/// The field of a [`RevisionRecord`] that says if the revision counts against the retention.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct PassingRecord {
    #[prost(bool, tag = "9")]
    pub(super) passing: bool,
}

/// The result of a publish with an idempotency key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReceiptRecord {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) request: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(super) revision: u64,
    #[prost(bool, tag = "4")]
    pub(super) changed: bool,
    #[prost(message, repeated, tag = "5")]
    pub(super) changes: Vec<ChangeRecord>,
}

/// The changes of one type.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ChangeRecord {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) added: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) changed: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) removed: Vec<String>,
}

/// One type of a revision.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeRecord {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(uint64, tag = "3")]
    pub(super) resources: u64,
    /// The hash of the type's resources, under which the `ListRecord` is stored.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) list: Vec<u8>,
    /// The hash of the names and contents alone; empty in records of earlier releases.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) content: Vec<u8>,
}

/// All resources of a type, as the root of a tree of inner nodes and leaves.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListRecord {
    /// The concatenated hashes.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) inner_nodes: Vec<u8>,
}

/// Neighbouring leaves of a type.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InnerRecord {
    /// The concatenated hashes.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) leaves: Vec<u8>,
}

/// Neighbouring resources of a type.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LeafRecord {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<EntryRecord>,
}

/// One resource of a leaf.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryRecord {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// Empty where the version is the content hash.
    #[prost(string, tag = "2")]
    pub(super) version: String,
    /// The content hash; the `ResourceRecord` is stored under it.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) content: Vec<u8>,
}

/// The content of a resource, stored under its content hash.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceRecord {
    #[prost(string, repeated, tag = "1")]
    pub(super) aliases: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) ttl: Option<TtlRecord>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) body: bytes::Bytes,
    #[prost(message, repeated, tag = "4")]
    pub(super) references: Vec<ReferenceRecord>,
    /// The places that the resource claims; none in records of earlier releases.
    #[prost(string, repeated, tag = "5")]
    pub(super) places: Vec<String>,
    /// For a cluster: 1 warms with its endpoints, 2 is ready at once; 0 in records of earlier releases.
    #[prost(uint32, tag = "6")]
    pub(super) warming: u32,
}

/// A time to live.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct TtlRecord {
    #[prost(uint64, tag = "1")]
    pub(super) seconds: u64,
    #[prost(uint32, tag = "2")]
    pub(super) nanos: u32,
}

/// A dependency of a resource.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ReferenceRecord {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
}

/// The hash that checks stored bytes.
pub(super) fn hash_of(bytes: &[u8]) -> Hash {
    let mut short = Hash::default();
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

/// Concatenates hashes.
pub(super) fn joined(hashes: impl Iterator<Item = ContentHash>) -> Vec<u8> {
    hashes.flat_map(ContentHash::to_bytes).collect()
}

/// Splits concatenated hashes; `None` where the last one is incomplete.
pub(super) fn hashes(joined: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = joined.as_chunks::<16>();
    rest.is_empty().then(|| hashes.to_vec())
}

// === impl RevisionRecord ===

impl RevisionRecord {
    /// `types` are the records of the revision's types.
    pub(super) fn new(revision: &StoredRevision, types: Vec<TypeRecord>) -> Self {
        Self {
            group: revision.group.as_str().to_owned(),
            time: Some(revision.time.into()),
            author: revision.author.clone(),
            message: revision.message.clone(),
            owner: revision.origin.owner().as_str().to_owned(),
            deleted: revision.types().is_none(),
            types,
            replaced: joined(revision.replaced.iter().copied()),
            passing: revision.origin.is_passing(),
            origin: revision.origin.as_str().to_owned(),
        }
    }

    /// The hash of the list of a type.
    pub(super) fn list(&self, type_url: &str) -> Option<Hash> {
        self.types.iter().find(|found| found.type_url == type_url)?.list()
    }

    /// `None` for an unknown origin.
    pub(super) fn origin(&self) -> Option<Origin> {
        match (self.origin.as_str(), self.owner.as_str()) {
            ("", "files") => Some(Origin::Files),
            ("", "") if self.passing => Some(Origin::Registry),
            ("", "") => Some(Origin::AdminApi),
            ("", _) => None,
            (origin, _) => Origin::from_stored(origin),
        }
    }

    pub(super) fn replaced(&self) -> Option<Vec<ContentHash>> {
        let hashes = hashes(&self.replaced)?;
        Some(hashes.into_iter().map(ContentHash::from_bytes).collect())
    }
}

// === impl ReceiptRecord ===

impl From<&Receipt> for ReceiptRecord {
    fn from(receipt: &Receipt) -> Self {
        Self {
            key: receipt.key.clone(),
            request: receipt.request.to_bytes().to_vec(),
            revision: receipt.revision.0,
            changed: receipt.changed,
            changes: receipt.changes.iter().map(ChangeRecord::from).collect(),
        }
    }
}

impl ReceiptRecord {
    /// `None` for a malformed record.
    pub(super) fn receipt(self) -> Option<Receipt> {
        Some(Receipt {
            key: self.key,
            request: ContentHash::from_bytes(self.request.as_slice().try_into().ok()?),
            revision: Revision(self.revision),
            changed: self.changed,
            changes: self
                .changes
                .into_iter()
                .map(ChangeRecord::change)
                .collect::<Option<_>>()?,
        })
    }
}

impl From<&ReceiptChange> for ChangeRecord {
    fn from(change: &ReceiptChange) -> Self {
        let names = |names: &[ResourceName]| names.iter().map(ToString::to_string).collect();
        Self {
            type_url: change.resource_type.type_url().to_owned(),
            version: change.version.to_string(),
            added: names(&change.added),
            changed: names(&change.changed),
            removed: names(&change.removed),
        }
    }
}

impl ChangeRecord {
    fn change(self) -> Option<ReceiptChange> {
        let names = |names: Vec<String>| names.into_iter().map(ResourceName::from).collect();
        Some(ReceiptChange {
            resource_type: ResourceType::from_type_url(&self.type_url)?,
            version: Version::from(self.version),
            added: names(self.added),
            changed: names(self.changed),
            removed: names(self.removed),
        })
    }
}

// === impl TypeRecord ===

impl TypeRecord {
    pub(super) fn summary(&self) -> Option<TypeSummary> {
        Some(TypeSummary {
            resource_type: ResourceType::from_type_url(&self.type_url)?,
            version: Version::from(self.version.as_str()),
            resources: usize::try_from(self.resources).ok()?,
            content: self.content.as_slice().try_into().ok().map(ContentHash::from_bytes),
        })
    }

    pub(super) fn list(&self) -> Option<Hash> {
        self.list.as_slice().try_into().ok()
    }
}

// === impl EntryRecord ===

impl EntryRecord {
    pub(super) fn new(resource: &Resource) -> Self {
        let plain = resource.version == Version::from(resource.content);
        Self {
            name: resource.name.as_str().to_owned(),
            version: if plain {
                String::new()
            } else {
                resource.version.to_string()
            },
            content: resource.content.to_bytes().to_vec(),
        }
    }

    pub(super) fn content(&self) -> Option<Hash> {
        self.content.as_slice().try_into().ok()
    }
}

// === impl ResourceRecord ===

impl ResourceRecord {
    pub(super) fn new(resource: &Resource) -> Self {
        Self {
            aliases: resource.aliases.iter().map(ToString::to_string).collect(),
            ttl: resource.ttl.map(|ttl| TtlRecord {
                seconds: ttl.as_secs(),
                nanos: ttl.subsec_nanos(),
            }),
            body: resource.body.clone(),
            references: resource
                .references
                .iter()
                .map(|reference| ReferenceRecord {
                    type_url: reference.resource_type.type_url().to_owned(),
                    name: reference.name.to_string(),
                })
                .collect(),
            places: resource.places.iter().map(ToString::to_string).collect(),
            warming: match resource.warming {
                Warming::Unseen => 0,
                Warming::WithEndpoints => 1,
                Warming::AtOnce => 2,
            },
        }
    }

    /// The resource of an entry; `None` if either record is malformed.
    pub(super) fn resource(self, entry: &EntryRecord) -> Option<Arc<Resource>> {
        let content = ContentHash::from_bytes(entry.content()?);
        let references: Option<Box<[Reference]>> =
            self.references.into_iter().map(ReferenceRecord::reference).collect();
        Some(Arc::new(Resource {
            name: ResourceName::from(entry.name.as_str()),
            version: if entry.version.is_empty() {
                Version::from(content)
            } else {
                Version::from(entry.version.as_str())
            },
            content,
            aliases: self.aliases.into_iter().map(ResourceName::from).collect(),
            ttl: self.ttl.map(|ttl| Duration::new(ttl.seconds, ttl.nanos)),
            body: self.body,
            references: references?,
            places: self.places.into_iter().map(Place::from).collect(),
            warming: match self.warming {
                1 => Warming::WithEndpoints,
                2 => Warming::AtOnce,
                _ => Warming::Unseen,
            },
        }))
    }
}

// === impl ReferenceRecord ===

impl ReferenceRecord {
    fn reference(self) -> Option<Reference> {
        Some(Reference {
            resource_type: ResourceType::from_type_url(&self.type_url)?,
            name: ResourceName::from(self.name),
        })
    }
}
