//! The input of an admission, and its limits.

use std::time::Duration;

use bytes::Bytes;

use super::Severity;
use crate::resource::ResourceName;

/// The format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2 with Envoy's file-based discovery layout: a mapping with `resources`.
    Yaml,
    /// The same in JSON.
    Json,
    /// An encoded `envoy.service.discovery.v3.DiscoveryResponse`.
    Binary,
}

/// A file, or another text with several resources.
#[derive(Clone, Debug)]
pub struct Document {
    /// The name in findings: the path of the file.
    pub name: String,
    /// The bytes, undecoded.
    pub content: Bytes,
    /// The format of the bytes.
    pub format: Format,
}

/// An encoded resource from the API.
#[derive(Clone, Debug)]
pub struct RawResource {
    /// The name, for types without a name field; otherwise it must equal the resource's own.
    pub name: Option<ResourceName>,
    /// Other names that match subscriptions (D-12).
    pub aliases: Vec<ResourceName>,
    /// The time for which a client may keep the resource without a heartbeat (T-1).
    pub ttl: Option<Duration>,
    /// The encoded resource, which is served byte for byte.
    pub any: prost_types::Any,
}

/// All documents and resources of one publish.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// Documents with resources.
    pub documents: Vec<Document>,
    /// Encoded resources.
    pub resources: Vec<RawResource>,
}

/// Limits on the cost of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document, 64 MiB: its tree takes about ten times as much memory while it is read.
    pub document_bytes: usize,
    /// Values of one document, 2 000 000: keys, scalars, lists and mappings. Each takes about a hundred bytes while it
    /// is read, so a document of mostly brackets needs many times its own size.
    pub document_values: usize,
    /// Encoded bytes of one resource, 16 MiB: Envoy decodes a response as one message, and larger ones stall its main
    /// thread.
    pub resource_bytes: usize,
    /// Resources of one candidate, 250 000: several times the largest fleets known.
    pub resources: usize,
    /// Encoded bytes of all resources together, 256 MiB: snapshots are held in memory, several revisions at a time.
    pub total_bytes: usize,
    /// Bytes of a name or alias, 2048: `xdstp` names with context parameters are long; anything longer is a mistake.
    pub name_bytes: usize,
    /// Nesting depth of `Any`s, the resource's own included, 16: each restarts protobuf's own recursion limit, so
    /// without a limit a small resource could exhaust the stack of every program that prints it.
    pub any_depth: usize,
    /// Nesting depth of messages, across `Any`s, 100: protobuf's own limit for one message, beyond which Envoy could
    /// not decode it.
    pub message_depth: usize,
    /// Errors kept, and warnings kept, 1000 each; a rejection is sent to the publisher. More are only counted.
    pub findings: usize,
    /// The severity of violations of the rules in Envoy's protos: a warning serves clients newer than these protos.
    pub rules: Severity,
}

// === impl Format ===

impl Format {
    /// The format of a file by its ending: `.json`; `.pb` or `.binpb`; YAML otherwise.
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
