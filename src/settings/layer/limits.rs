//! One layer of the limits on what a client may send before anybody knows whether it is one: over gRPC and over REST.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    protocol::{PollLimits, StreamLimits},
    settings::value::{ByteSize, Share, Span},
    transport::{self, LrsSettings},
};

/// What may be sent by a client, whoever it is.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsLayer {
    /// Memory of the process above which no stream is let in; 0 for no end
    #[arg(
        id = "limits_memory",
        long = "limits-memory",
        env = "CHANCERY_LIMITS_MEMORY",
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Bytes of what is used of a node that says who it is
    #[arg(
        id = "limits_max_node_bytes",
        long = "limits-max-node-bytes",
        env = "CHANCERY_LIMITS_MAX_NODE_BYTES",
        value_name = "SIZE"
    )]
    pub max_node_bytes: Option<ByteSize>,
    /// Names of one type that a stream may ask for
    #[arg(
        id = "limits_max_names",
        long = "limits-max-names",
        env = "CHANCERY_LIMITS_MAX_NAMES",
        value_name = "COUNT"
    )]
    pub max_names: Option<usize>,
    /// Bytes of one name, version or nonce of a request
    #[arg(
        id = "limits_max_name_bytes",
        long = "limits-max-name-bytes",
        env = "CHANCERY_LIMITS_MAX_NAME_BYTES",
        value_name = "SIZE"
    )]
    pub max_name_bytes: Option<ByteSize>,
    /// Types of resources on one stream
    #[arg(
        id = "limits_max_types",
        long = "limits-max-types",
        env = "CHANCERY_LIMITS_MAX_TYPES",
        value_name = "COUNT"
    )]
    pub max_types: Option<usize>,
    /// Bytes of all names on one stream
    #[arg(
        id = "limits_max_subscribed_bytes",
        long = "limits-max-subscribed-bytes",
        env = "CHANCERY_LIMITS_MAX_SUBSCRIBED_BYTES",
        value_name = "SIZE"
    )]
    pub max_subscribed_bytes: Option<ByteSize>,
    /// Bytes that the names of all streams take
    #[arg(
        id = "limits_max_total_subscribed_bytes",
        long = "limits-max-total-subscribed-bytes",
        env = "CHANCERY_LIMITS_MAX_TOTAL_SUBSCRIBED_BYTES",
        value_name = "SIZE"
    )]
    pub max_total_subscribed_bytes: Option<ByteSize>,
    /// Streams open at once of one node
    #[arg(
        id = "limits_max_streams_per_node",
        long = "limits-max-streams-per-node",
        env = "CHANCERY_LIMITS_MAX_STREAMS_PER_NODE",
        value_name = "COUNT"
    )]
    pub max_streams_per_node: Option<usize>,
    /// Streams open at once of one verified identity
    #[arg(
        id = "limits_max_streams_per_identity",
        long = "limits-max-streams-per-identity",
        env = "CHANCERY_LIMITS_MAX_STREAMS_PER_IDENTITY",
        value_name = "COUNT"
    )]
    pub max_streams_per_identity: Option<usize>,
    /// The share of what all clients share that one address may take
    #[arg(
        id = "limits_max_peer_share",
        long = "limits-max-peer-share",
        env = "CHANCERY_LIMITS_MAX_PEER_SHARE",
        value_name = "SHARE"
    )]
    pub max_peer_share: Option<Share>,
    /// Bytes of requests whose rest is still to come, over all connections
    #[arg(
        id = "limits_max_unfinished_bytes",
        long = "limits-max-unfinished-bytes",
        env = "CHANCERY_LIMITS_MAX_UNFINISHED_BYTES",
        value_name = "SIZE"
    )]
    pub max_unfinished_bytes: Option<ByteSize>,
    /// How long a request may be unfinished
    #[arg(
        id = "limits_request_timeout",
        long = "limits-request-timeout",
        env = "CHANCERY_LIMITS_REQUEST_TIMEOUT",
        value_name = "DURATION"
    )]
    pub request_timeout: Option<Span>,
    /// Bytes of one load report
    #[arg(
        id = "limits_max_load_report_bytes",
        long = "limits-max-load-report-bytes",
        env = "CHANCERY_LIMITS_MAX_LOAD_REPORT_BYTES",
        value_name = "SIZE"
    )]
    pub max_load_report_bytes: Option<ByteSize>,
    /// Clusters of one load report
    #[arg(
        id = "limits_max_load_report_clusters",
        long = "limits-max-load-report-clusters",
        env = "CHANCERY_LIMITS_MAX_LOAD_REPORT_CLUSTERS",
        value_name = "COUNT"
    )]
    pub max_load_report_clusters: Option<usize>,
    /// Bytes of one poll over REST
    #[arg(
        id = "limits_max_poll_bytes",
        long = "limits-max-poll-bytes",
        env = "CHANCERY_LIMITS_MAX_POLL_BYTES",
        value_name = "SIZE"
    )]
    pub max_poll_bytes: Option<ByteSize>,
    /// Names of one type that a node may poll for over REST
    #[arg(
        id = "limits_max_poll_names",
        long = "limits-max-poll-names",
        env = "CHANCERY_LIMITS_MAX_POLL_NAMES",
        value_name = "COUNT"
    )]
    pub max_poll_names: Option<usize>,
    /// Bytes of all names that nodes poll for over REST
    #[arg(
        id = "limits_max_polled_bytes",
        long = "limits-max-polled-bytes",
        env = "CHANCERY_LIMITS_MAX_POLLED_BYTES",
        value_name = "SIZE"
    )]
    pub max_polled_bytes: Option<ByteSize>,
}

// === impl LimitsLayer ===

impl LimitsLayer {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            memory: self.memory.or(below.memory),
            max_node_bytes: self.max_node_bytes.or(below.max_node_bytes),
            max_names: self.max_names.or(below.max_names),
            max_name_bytes: self.max_name_bytes.or(below.max_name_bytes),
            max_types: self.max_types.or(below.max_types),
            max_subscribed_bytes: self.max_subscribed_bytes.or(below.max_subscribed_bytes),
            max_total_subscribed_bytes: self.max_total_subscribed_bytes.or(below.max_total_subscribed_bytes),
            max_streams_per_node: self.max_streams_per_node.or(below.max_streams_per_node),
            max_streams_per_identity: self.max_streams_per_identity.or(below.max_streams_per_identity),
            max_peer_share: self.max_peer_share.or(below.max_peer_share),
            max_unfinished_bytes: self.max_unfinished_bytes.or(below.max_unfinished_bytes),
            request_timeout: self.request_timeout.or(below.request_timeout),
            max_load_report_bytes: self.max_load_report_bytes.or(below.max_load_report_bytes),
            max_load_report_clusters: self.max_load_report_clusters.or(below.max_load_report_clusters),
            max_poll_bytes: self.max_poll_bytes.or(below.max_poll_bytes),
            max_poll_names: self.max_poll_names.or(below.max_poll_names),
            max_polled_bytes: self.max_polled_bytes.or(below.max_polled_bytes),
        }
    }

    pub(in crate::settings) fn default_values() -> Self {
        let (stream, xds) = (StreamLimits::default(), transport::Limits::default());
        let (lrs, polls) = (LrsSettings::default(), PollLimits::default());
        Self {
            memory: None,
            max_node_bytes: Some(ByteSize(stream.node_bytes)),
            max_names: Some(stream.names_per_type),
            max_name_bytes: Some(ByteSize(stream.name_bytes)),
            max_types: Some(stream.types),
            max_subscribed_bytes: Some(ByteSize(stream.subscribed_bytes)),
            max_total_subscribed_bytes: Some(ByteSize(xds.subscribed_bytes)),
            max_streams_per_node: Some(xds.streams_per_node),
            max_streams_per_identity: Some(xds.streams_per_identity),
            max_peer_share: Some(Share(xds.peer_share)),
            max_unfinished_bytes: Some(ByteSize(xds.unfinished_bytes)),
            request_timeout: Some(Span(xds.request_timeout)),
            max_load_report_bytes: Some(ByteSize(lrs.request_bytes)),
            max_load_report_clusters: Some(lrs.clusters),
            max_poll_bytes: Some(ByteSize(polls.request_bytes)),
            max_poll_names: Some(polls.names),
            max_polled_bytes: Some(ByteSize(polls.remembered_bytes)),
        }
    }

    /// What one stream may ask for.
    pub(in crate::settings) fn stream(&self, limits: StreamLimits) -> StreamLimits {
        StreamLimits {
            node_bytes: self.max_node_bytes.map_or(limits.node_bytes, |size| size.0),
            names_per_type: self.max_names.unwrap_or(limits.names_per_type),
            name_bytes: self.max_name_bytes.map_or(limits.name_bytes, |size| size.0),
            types: self.max_types.unwrap_or(limits.types),
            subscribed_bytes: self.max_subscribed_bytes.map_or(limits.subscribed_bytes, |size| size.0),
            ..limits
        }
    }

    /// What the xDS port takes.
    pub(in crate::settings) fn xds(&self, limits: transport::Limits) -> transport::Limits {
        transport::Limits {
            streams_per_node: self.max_streams_per_node.unwrap_or(limits.streams_per_node),
            streams_per_identity: self.max_streams_per_identity.unwrap_or(limits.streams_per_identity),
            peer_share: self.max_peer_share.map_or(limits.peer_share, |share| share.0),
            subscribed_bytes: self
                .max_total_subscribed_bytes
                .map_or(limits.subscribed_bytes, |size| size.0),
            unfinished_bytes: self.max_unfinished_bytes.map_or(limits.unfinished_bytes, |size| size.0),
            request_timeout: self.request_timeout.map_or(limits.request_timeout, |span| span.0),
            ..limits
        }
    }

    /// What is taken of clients that report load.
    pub(in crate::settings) fn lrs(&self, settings: LrsSettings) -> LrsSettings {
        LrsSettings {
            request_bytes: self.max_load_report_bytes.map_or(settings.request_bytes, |size| size.0),
            clusters: self.max_load_report_clusters.unwrap_or(settings.clusters),
            ..settings
        }
    }

    /// What is taken of nodes that poll.
    pub(in crate::settings) fn polls(&self, limits: PollLimits) -> PollLimits {
        PollLimits {
            request_bytes: self.max_poll_bytes.map_or(limits.request_bytes, |size| size.0),
            request_timeout: self.request_timeout.map_or(limits.request_timeout, |span| span.0),
            names: self.max_poll_names.unwrap_or(limits.names),
            remembered_bytes: self.max_polled_bytes.map_or(limits.remembered_bytes, |size| size.0),
            peer_share: self.max_peer_share.map_or(limits.peer_share, |share| share.0),
            ..limits
        }
    }
}
