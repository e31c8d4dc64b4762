//! What is offered for admission, and the limits it is held to.

use std::time::Duration;

use bytes::Bytes;

use super::Severity;
use crate::resource::ResourceName;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2 with Envoy's file-based discovery layout: a mapping with `resources`.
    Yaml,
    /// The same in JSON.
    Json,
    /// An encoded `envoy.service.discovery.v3.DiscoveryResponse`.
    Binary,
}

/// A file, or whatever else came as one text.
#[derive(Clone, Debug)]
pub struct Document {
    /// What findings call it: the path of the file.
    pub name: String,
    /// The bytes, undecoded.
    pub content: Bytes,
    /// How to read them.
    pub format: Format,
}

/// A resource that came encoded, through the API.
#[derive(Clone, Debug)]
pub struct RawResource {
    /// The name, where the type has no field for it; else it must equal the resource's own.
    pub name: Option<ResourceName>,
    /// Other names that match subscriptions (D-12).
    pub aliases: Vec<ResourceName>,
    /// How long a client may keep it without hearing of it again (T-1).
    pub ttl: Option<Duration>,
    /// The resource itself; served byte for byte.
    pub any: prost_types::Any,
}

/// Everything that is to become, or to change, one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// Files.
    pub documents: Vec<Document>,
    /// Resources given one by one.
    pub resources: Vec<RawResource>,
}

/// Bounds on what one candidate may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document, 64 MiB: its tree takes some ten times as much while it is read.
    pub document_bytes: usize,
    /// Values of one document, 2 000 000: keys, scalars, lists and mappings. Each takes some hundred bytes while it is read, so
    /// that a document of little else than brackets needs many times its own size.
    pub document_values: usize,
    /// Encoded bytes of one resource, 16 MiB: Envoy takes a response as one message, and larger ones stall its main
    /// thread.
    pub resource_bytes: usize,
    /// Resources of a candidate, 250 000: some times the largest fleets known.
    pub resources: usize,
    /// Encoded bytes of all resources together, 256 MiB: snapshots are held in memory, several revisions at a time.
    pub total_bytes: usize,
    /// Bytes of a name or alias, 2048: `xdstp` names with context parameters are long, anything beyond is a mistake.
    pub name_bytes: usize,
    /// How many `Any`s may lie inside one another, the resource itself included, 16: each restarts protobuf's own
    /// recursion limit, so that without a bound a small resource exhausts the stack of every program that prints it.
    pub any_depth: usize,
    /// How many messages may lie inside one another, across `Any`s, 100: protobuf's own limit for one message, beyond
    /// which Envoy could not decode it.
    pub message_depth: usize,
    /// Errors kept, and warnings kept, 1000 each: a rejection is sent to the publisher; more are only counted.
    pub findings: usize,
    /// What a violation of the rules in Envoy's protos is, an error: a warning serves clients newer than these protos.
    pub rules: Severity,
}

// === impl Format ===

impl Format {
    /// By the ending of a file's name: `.json`; `.pb` or `.binpb`; YAML otherwise.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("json") => Self::Json,
            Some("pb" | "binpb") => Self::Binary,
            Some(_) | None => Self::Yaml,
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            document_bytes: 64 * MIB,
            document_values: 2_000_000,
            resource_bytes: 16 * MIB,
            resources: 250_000,
            total_bytes: 256 * MIB,
            name_bytes: 2048,
            any_depth: 16,
            message_depth: 100,
            findings: 1000,
            rules: Severity::Error,
        }
    }
}
