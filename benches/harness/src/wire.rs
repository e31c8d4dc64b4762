//! The messages that the harness encodes or decodes completely, by their field numbers in Envoy's protos and in
//! `proto/chancery/admin/v1/`. The load generator parses responses by hand instead: see `load::parser`.

use std::collections::HashMap;

use prost::Message;

/// The served type URLs.
pub(crate) mod type_url {
    pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    pub(crate) const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    pub(crate) const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
    pub(crate) const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    pub(crate) const CONNECTION_MANAGER: &str =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    pub(crate) const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: bytes::Bytes,
}

/// `envoy.service.discovery.v3.DiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DiscoveryRequest {
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    pub(crate) resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) response_nonce: String,
}

/// `envoy.service.discovery.v3.DiscoveryResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DiscoveryResponse {
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) resources: Vec<Any>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaDiscoveryRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<Node>,
    #[prost(string, tag = "2")]
    pub(crate) type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) resource_names_subscribe: Vec<String>,
    #[prost(map = "string, string", tag = "5")]
    pub(crate) initial_resource_versions: HashMap<String, String>,
    #[prost(string, tag = "6")]
    pub(crate) response_nonce: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaDiscoveryResponse {
    #[prost(string, tag = "1")]
    pub(crate) system_version_info: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) resources: Vec<Resource>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) resource: Option<Any>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

/// `envoy.config.core.v3.Node`, with the fields that an Envoy sets.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) cluster: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) locality: Option<Locality>,
    #[prost(string, tag = "6")]
    pub(crate) user_agent_name: String,
    #[prost(message, optional, tag = "8")]
    pub(crate) user_agent_build_version: Option<BuildVersion>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) extensions: Vec<Extension>,
    #[prost(string, repeated, tag = "10")]
    pub(crate) client_features: Vec<String>,
}

/// `envoy.config.core.v3.Locality`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Locality {
    #[prost(string, tag = "1")]
    pub(crate) region: String,
    #[prost(string, tag = "2")]
    pub(crate) zone: String,
}

/// `envoy.config.core.v3.BuildVersion`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BuildVersion {
    #[prost(message, optional, tag = "1")]
    pub(crate) version: Option<SemanticVersion>,
}

/// `envoy.type.v3.SemanticVersion`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct SemanticVersion {
    #[prost(uint32, tag = "1")]
    pub(crate) major_number: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) minor_number: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) patch: u32,
}

/// `envoy.config.core.v3.Extension`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Extension {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) category: String,
}

// === chancery.admin.v1 ===

/// `Document`; only the binary format is used.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Document {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) content: bytes::Bytes,
    #[prost(int32, tag = "3")]
    pub(crate) format: i32,
}

impl Document {
    /// `FORMAT_BINARY`: an encoded `DiscoveryResponse`.
    pub(crate) const BINARY: i32 = 3;
}

/// `PublishOptions`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PublishOptions {
    #[prost(string, tag = "3")]
    pub(crate) version_info: String,
    #[prost(bool, tag = "7")]
    pub(crate) allow_removals: bool,
}

/// `ReplaceSnapshotRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReplaceSnapshotRequest {
    #[prost(string, tag = "1")]
    pub(crate) group: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) documents: Vec<Document>,
    #[prost(message, optional, tag = "4")]
    pub(crate) options: Option<PublishOptions>,
}

/// `PatchSnapshotRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PatchSnapshotRequest {
    #[prost(string, tag = "1")]
    pub(crate) group: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) documents: Vec<Document>,
    #[prost(message, optional, tag = "5")]
    pub(crate) options: Option<PublishOptions>,
}

/// The used fields of `PublishResponse`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct PublishResponse {
    #[prost(uint64, tag = "2")]
    pub(crate) revision: u64,
    #[prost(bool, tag = "3")]
    pub(crate) changed: bool,
}

/// `ListNodesRequest`, of all groups.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ListNodesRequest {}

/// `ListNodesResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListNodesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<NodeStatus>,
}

/// The used fields of `NodeStatus`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeStatus {
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(crate) streams: Vec<bytes::Bytes>,
}

// === the control pipe of the peers that are ours ===

/// A command to a peer on its standard input, each after its length in four bytes, high byte first.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Command {
    /// One of the values in `op`.
    #[prost(uint32, tag = "1")]
    pub(crate) op: u32,
    /// The groups of the command; nodes are in the group of their `cluster`.
    #[prost(string, repeated, tag = "2")]
    pub(crate) groups: Vec<String>,
    /// `version_info` of the changed type.
    #[prost(string, tag = "3")]
    pub(crate) version: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) resources: Vec<Resource>,
}

/// The values of [`Command::op`].
pub(crate) mod op {
    /// The groups have exactly these resources.
    pub(crate) const REPLACE: u32 = 0;
    /// The groups have these resources in place of those with the same names.
    pub(crate) const PATCH: u32 = 1;
    /// Return free memory to the system, as far as the runtime can.
    pub(crate) const TRIM: u32 = 2;
}

/// A peer's answer to a [`Command`], on its standard output after its length.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Reply {
    /// Empty on success.
    #[prost(string, tag = "1")]
    pub(crate) error: String,
    /// Time of the cache's own publishing call in microseconds, without decoding.
    #[prost(uint64, tag = "2")]
    pub(crate) micros: u64,
}
