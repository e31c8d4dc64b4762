//! One layer of settings: what the flags and the environment say, or what the file says. What a layer does not say, the
//! one below decides.
//!
//! The same structs are the flags (clap) and the keys of the file (serde), so that neither can have what the other lacks:
//! `--fleet-max-nodes`, `CHANCERY_FLEET_MAX_NODES` and `fleet: {max_nodes: …}` are one field.

mod audit;
mod limits;
mod ports;
mod protocol;
mod shared;
mod store;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

pub use self::{
    audit::AuditLayer,
    limits::LimitsLayer,
    ports::{AdminLayer, ConnectionsLayer, HttpLayer, PortName},
    protocol::ProtocolLayer,
    shared::SharedLayer,
    store::StoreLayer,
};
use super::{LogFormat, RulesMode, value::ByteSize, value::Share, value::Span};
use crate::{access::AccessConfig, node::GroupRule, tls::ClientAuth};

/// Everything that can be set.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// Where xDS clients connect; port 0 picks a free one
    #[arg(long, env = "CHANCERY_XDS_ADDR", value_name = "ADDR:PORT")]
    pub xds_addr: Option<SocketAddr>,
    /// Where the admin API listens; port 0 picks a free one
    #[arg(long, env = "CHANCERY_ADMIN_ADDR", value_name = "ADDR:PORT")]
    pub admin_addr: Option<SocketAddr>,
    /// Where xDS over REST and the endpoint registry are; without --probe-addr also /livez, /readyz and /metrics; port 0
    /// picks a free one
    #[arg(long, env = "CHANCERY_HTTP_ADDR", value_name = "ADDR:PORT")]
    pub http_addr: Option<SocketAddr>,
    /// Where /livez, /readyz and /metrics are, and nothing else; port 0 picks a free one
    #[arg(long, env = "CHANCERY_PROBE_ADDR", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_addr: Option<SocketAddr>,
    /// Ports that may be reached from other machines without TLS
    #[arg(long, env = "CHANCERY_INSECURE", value_name = "PORT", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<Vec<PortName>>,
    /// Keep snapshots in this directory, across restarts
    #[arg(long, env = "CHANCERY_DATA_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Keep snapshots in memory: a restart forgets them
    #[arg(long, env = "CHANCERY_EPHEMERAL", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", conflicts_with = "data_dir")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    /// How the data directory is kept.
    #[command(flatten)]
    #[serde(skip_serializing_if = "StoreLayer::is_empty")]
    pub store: StoreLayer,
    /// Publish what the folders of this directory say, one for each group
    #[arg(long, env = "CHANCERY_FILES", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<PathBuf>,
    /// Revisions of each group that are kept to go back to
    #[arg(long, env = "CHANCERY_KEEP_REVISIONS", value_name = "COUNT")]
    pub keep_revisions: Option<NonZeroUsize>,
    /// How long a shutdown may take before it is forced
    #[arg(long, env = "CHANCERY_SHUTDOWN_GRACE", value_name = "DURATION")]
    pub shutdown_grace: Option<Span>,
    /// What is logged, and how.
    #[command(flatten)]
    pub log: LogLayer,
    /// What a publish must keep to.
    #[command(flatten)]
    pub admission: AdmissionLayer,
    /// How xDS clients are served.
    #[command(flatten)]
    pub xds: XdsLayer,
    /// How the admin API is reached.
    #[command(flatten)]
    pub admin: AdminLayer,
    /// How the HTTP port is reached.
    #[command(flatten)]
    pub http: HttpLayer,
    /// What connections may be open.
    #[command(flatten)]
    pub connections: ConnectionsLayer,
    /// What may be sent by a client, whoever it is.
    #[command(flatten)]
    pub limits: LimitsLayer,
    /// How nodes that poll over REST are treated.
    #[command(flatten)]
    pub rest: RestLayer,
    /// The endpoint registry.
    #[command(flatten)]
    pub registry: RegistryLayer,
    /// What clients that report load are asked for.
    #[command(flatten)]
    pub lrs: LrsLayer,
    /// How a change is ordered.
    #[command(flatten)]
    pub ordering: OrderingLayer,
    /// What differs between clients, and what they are told.
    #[command(flatten)]
    pub protocol: ProtocolLayer,
    /// How the shared group is served.
    #[command(flatten)]
    pub shared: SharedLayer,
    /// What is remembered of nodes.
    #[command(flatten)]
    pub fleet: FleetLayer,
    /// The audit log.
    #[command(flatten)]
    pub audit: AuditLayer,
    /// Who may be which node, and who may do what; only in the file
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessConfig>,
    /// Rules that put nodes into groups; only in the file
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupRule>>,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogLayer {
    /// What is logged: a level, or filters as in `info,chancery::admin=debug`
    #[arg(id = "log_level", long = "log-level", env = "CHANCERY_LOG", value_name = "FILTER")]
    pub level: Option<String>,
    /// How log lines look
    #[arg(
        id = "log_format",
        long = "log-format",
        env = "CHANCERY_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    pub format: Option<LogFormat>,
}

/// What a publish must keep to.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionLayer {
    /// Refuse publishes with warnings unless they say `--allow-warnings`
    #[arg(id = "admission_deny_warnings", long = "admission-deny-warnings", env = "CHANCERY_ADMISSION_DENY_WARNINGS",
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub deny_warnings: Option<bool>,
    /// The share of a group's resources that a publish may remove unless it says `--allow-removals`
    #[arg(
        id = "admission_max_removal_share",
        long = "admission-max-removal-share",
        env = "CHANCERY_ADMISSION_MAX_REMOVAL_SHARE",
        value_name = "SHARE"
    )]
    pub max_removal_share: Option<Share>,
    /// Let files remove whatever they say, though nobody confirms it
    #[arg(id = "admission_files_allow_removals", long = "admission-files-allow-removals",
          env = "CHANCERY_ADMISSION_FILES_ALLOW_REMOVALS", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub files_allow_removals: Option<bool>,
    /// Bytes of one published document
    #[arg(
        id = "admission_max_document_bytes",
        long = "admission-max-document-bytes",
        env = "CHANCERY_ADMISSION_MAX_DOCUMENT_BYTES",
        value_name = "SIZE"
    )]
    pub max_document_bytes: Option<ByteSize>,
    /// Bytes of one encoded resource
    #[arg(
        id = "admission_max_resource_bytes",
        long = "admission-max-resource-bytes",
        env = "CHANCERY_ADMISSION_MAX_RESOURCE_BYTES",
        value_name = "SIZE"
    )]
    pub max_resource_bytes: Option<ByteSize>,
    /// Bytes of all encoded resources of a snapshot
    #[arg(
        id = "admission_max_snapshot_bytes",
        long = "admission-max-snapshot-bytes",
        env = "CHANCERY_ADMISSION_MAX_SNAPSHOT_BYTES",
        value_name = "SIZE"
    )]
    pub max_snapshot_bytes: Option<ByteSize>,
    /// Values of one document: keys, scalars, lists and mappings
    #[arg(
        id = "admission_max_document_values",
        long = "admission-max-document-values",
        env = "CHANCERY_ADMISSION_MAX_DOCUMENT_VALUES",
        value_name = "COUNT"
    )]
    pub max_document_values: Option<usize>,
    /// Resources of a snapshot
    #[arg(
        id = "admission_max_resources",
        long = "admission-max-resources",
        env = "CHANCERY_ADMISSION_MAX_RESOURCES",
        value_name = "COUNT"
    )]
    pub max_resources: Option<usize>,
    /// Whether a violation of the rules in Envoy's protos refuses a publish, or is a warning
    #[arg(
        id = "admission_rules",
        long = "admission-rules",
        env = "CHANCERY_ADMISSION_RULES",
        value_name = "MODE"
    )]
    pub rules: Option<RulesMode>,
}

/// How xDS clients are served.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct XdsLayer {
    /// The certificate of this port, with those between it and its CA (PEM); followed as it changes
    #[arg(
        id = "xds_tls_cert",
        long = "xds-tls-cert",
        env = "CHANCERY_XDS_TLS_CERT",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(
        id = "xds_tls_key",
        long = "xds-tls-key",
        env = "CHANCERY_XDS_TLS_KEY",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// CAs that sign the certificates of clients: PEM, or a SPIFFE trust bundle
    #[arg(
        id = "xds_client_ca",
        long = "xds-client-ca",
        env = "CHANCERY_XDS_CLIENT_CA",
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Certificates of clients that were revoked: a list (CRL) of each of these CAs, PEM or DER; followed as it changes
    #[arg(id = "xds_crl", long = "xds-crl", env = "CHANCERY_XDS_CRL", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Whether a client must show a certificate: require where there is a CA, else none
    #[arg(
        id = "xds_client_auth",
        long = "xds-client-auth",
        env = "CHANCERY_XDS_CLIENT_AUTH",
        value_name = "MODE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
    /// Streams open at once over all connections
    #[arg(
        id = "xds_max_streams",
        long = "xds-max-streams",
        env = "CHANCERY_XDS_MAX_STREAMS",
        value_name = "COUNT"
    )]
    pub max_streams: Option<usize>,
    /// Streams open at once on one connection
    #[arg(
        id = "xds_max_streams_per_connection",
        long = "xds-max-streams-per-connection",
        env = "CHANCERY_XDS_MAX_STREAMS_PER_CONNECTION",
        value_name = "COUNT"
    )]
    pub max_streams_per_connection: Option<u32>,
    /// Bytes of one request of a client
    #[arg(
        id = "xds_max_request_bytes",
        long = "xds-max-request-bytes",
        env = "CHANCERY_XDS_MAX_REQUEST_BYTES",
        value_name = "SIZE"
    )]
    pub max_request_bytes: Option<ByteSize>,
    /// Ping a connection that was quiet for so long
    #[arg(
        id = "xds_keepalive_interval",
        long = "xds-keepalive-interval",
        env = "CHANCERY_XDS_KEEPALIVE_INTERVAL",
        value_name = "DURATION"
    )]
    pub keepalive_interval: Option<Span>,
    /// Close a connection whose ping is unanswered for so long
    #[arg(
        id = "xds_keepalive_timeout",
        long = "xds-keepalive-timeout",
        env = "CHANCERY_XDS_KEEPALIVE_TIMEOUT",
        value_name = "DURATION"
    )]
    pub keepalive_timeout: Option<Span>,
    /// End a stream whose client makes no room for what it was sent for so long
    #[arg(
        id = "xds_send_timeout",
        long = "xds-send-timeout",
        env = "CHANCERY_XDS_SEND_TIMEOUT",
        value_name = "DURATION"
    )]
    pub send_timeout: Option<Span>,
    /// End a stream that is so old, give or take a tenth, so that its client opens another
    #[arg(
        id = "xds_max_stream_age",
        long = "xds-max-stream-age",
        env = "CHANCERY_XDS_MAX_STREAM_AGE",
        value_name = "DURATION"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_stream_age: Option<Span>,
    /// How long a stream may take to send its first request
    #[arg(
        id = "xds_first_request_timeout",
        long = "xds-first-request-timeout",
        env = "CHANCERY_XDS_FIRST_REQUEST_TIMEOUT",
        value_name = "DURATION"
    )]
    pub first_request_timeout: Option<Span>,
    /// Over how long streams are ended at shutdown; shorter than the shutdown grace
    #[arg(
        id = "xds_drain",
        long = "xds-drain",
        env = "CHANCERY_XDS_DRAIN",
        value_name = "DURATION"
    )]
    pub drain: Option<Span>,
    /// Streams that may begin a second over all connections; 0 for no limit
    #[arg(
        id = "xds_new_streams_per_second",
        long = "xds-new-streams-per-second",
        env = "CHANCERY_XDS_NEW_STREAMS_PER_SECOND",
        value_name = "COUNT"
    )]
    pub new_streams_per_second: Option<u32>,
    /// Requests of one stream that are read a second; 0 for no limit
    #[arg(
        id = "xds_requests_per_second",
        long = "xds-requests-per-second",
        env = "CHANCERY_XDS_REQUESTS_PER_SECOND",
        value_name = "COUNT"
    )]
    pub requests_per_second: Option<u32>,
}

/// How a change is ordered on aggregated streams.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderingLayer {
    /// Make before break on aggregated streams
    #[arg(id = "ordering_enabled", long = "ordering-enabled", env = "CHANCERY_ORDERING_ENABLED", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enabled: Option<bool>,
    /// Groups without make before break, comma-separated
    #[arg(
        id = "ordering_off_groups",
        long = "ordering-off-groups",
        env = "CHANCERY_ORDERING_OFF_GROUPS",
        value_name = "GROUP,…",
        value_delimiter = ','
    )]
    pub off_groups: Option<Vec<String>>,
    /// How long a step that adds or changes waits for the ACK of an earlier one
    #[arg(
        id = "ordering_make_timeout",
        long = "ordering-make-timeout",
        env = "CHANCERY_ORDERING_MAKE_TIMEOUT",
        value_name = "DURATION"
    )]
    pub make_timeout: Option<Span>,
    /// How long removals wait after everything else was ACKed
    #[arg(
        id = "ordering_removal_delay",
        long = "ordering-removal-delay",
        env = "CHANCERY_ORDERING_REMOVAL_DELAY",
        value_name = "DURATION"
    )]
    pub removal_delay: Option<Span>,
    /// How long a removed cluster is held for a route configuration that still names it
    #[arg(
        id = "ordering_hold_cap",
        long = "ordering-hold-cap",
        env = "CHANCERY_ORDERING_HOLD_CAP",
        value_name = "DURATION"
    )]
    pub hold_cap: Option<Span>,
}

/// How nodes that poll over REST are treated.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestLayer {
    /// Answer nodes that poll over REST
    #[arg(id = "rest_enabled", long = "rest-enabled", env = "CHANCERY_REST_ENABLED", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enabled: Option<bool>,
    /// How long a node that stops polling over REST still counts as connected
    #[arg(
        id = "rest_poll_timeout",
        long = "rest-poll-timeout",
        env = "CHANCERY_REST_POLL_TIMEOUT",
        value_name = "DURATION"
    )]
    pub poll_timeout: Option<Span>,
}

/// The endpoint registry.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryLayer {
    /// Let services register their endpoints on the HTTP port
    #[arg(id = "registry_enabled", long = "registry-enabled", env = "CHANCERY_REGISTRY_ENABLED", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enabled: Option<bool>,
}

/// What clients that report load are asked for.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LrsLayer {
    /// How long a load report collects
    #[arg(
        id = "lrs_interval",
        long = "lrs-interval",
        env = "CHANCERY_LRS_INTERVAL",
        value_name = "DURATION"
    )]
    pub interval: Option<Span>,
}

/// What is remembered of nodes.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetLayer {
    /// Nodes remembered at once, connected or not
    #[arg(
        id = "fleet_max_nodes",
        long = "fleet-max-nodes",
        env = "CHANCERY_FLEET_MAX_NODES",
        value_name = "COUNT"
    )]
    pub max_nodes: Option<usize>,
    /// Bytes kept of the message of a NACK
    #[arg(
        id = "fleet_max_nack_message_bytes",
        long = "fleet-max-nack-message-bytes",
        env = "CHANCERY_FLEET_MAX_NACK_MESSAGE_BYTES",
        value_name = "SIZE"
    )]
    pub max_nack_message_bytes: Option<ByteSize>,
    /// Clusters kept of a node's last load report
    #[arg(
        id = "fleet_max_load_clusters",
        long = "fleet-max-load-clusters",
        env = "CHANCERY_FLEET_MAX_LOAD_CLUSTERS",
        value_name = "COUNT"
    )]
    pub max_load_clusters: Option<usize>,
    /// How long a node is remembered after its last stream ended
    #[arg(
        id = "fleet_forget_after",
        long = "fleet-forget-after",
        env = "CHANCERY_FLEET_FORGET_AFTER",
        value_name = "DURATION"
    )]
    pub forget_after: Option<Span>,
    /// How long a response may go unanswered before the status of its node names it
    #[arg(
        id = "fleet_unanswered_after",
        long = "fleet-unanswered-after",
        env = "CHANCERY_FLEET_UNANSWERED_AFTER",
        value_name = "DURATION"
    )]
    pub unanswered_after: Option<Span>,
}

// === impl Layer ===

impl Layer {
    /// What this layer says, and where it says nothing what `below` says. `data_dir` and `ephemeral` are one choice: the
    /// upper layer that makes it makes it whole.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        let chosen = self.data_dir.is_some() || self.ephemeral == Some(true);
        Self {
            xds_addr: self.xds_addr.or(below.xds_addr),
            admin_addr: self.admin_addr.or(below.admin_addr),
            http_addr: self.http_addr.or(below.http_addr),
            probe_addr: self.probe_addr.or(below.probe_addr),
            insecure: self.insecure.or(below.insecure),
            admin: self.admin.or(below.admin),
            http: self.http.or(below.http),
            connections: self.connections.or(below.connections),
            data_dir: if chosen { self.data_dir } else { below.data_dir },
            ephemeral: if chosen {
                self.ephemeral
            } else {
                self.ephemeral.or(below.ephemeral)
            },
            store: self.store.or(below.store),
            files: self.files.or(below.files),
            keep_revisions: self.keep_revisions.or(below.keep_revisions),
            shutdown_grace: self.shutdown_grace.or(below.shutdown_grace),
            log: self.log.or(below.log),
            admission: self.admission.or(below.admission),
            xds: self.xds.or(below.xds),
            limits: self.limits.or(below.limits),
            rest: self.rest.or(below.rest),
            registry: self.registry.or(below.registry),
            lrs: self.lrs.or(below.lrs),
            ordering: self.ordering.or(below.ordering),
            protocol: self.protocol.or(below.protocol),
            shared: self.shared.or(below.shared),
            fleet: self.fleet.or(below.fleet),
            audit: self.audit.or(below.audit),
            access: self.access.or(below.access),
            groups: self.groups.or(below.groups),
        }
    }
}

impl LogLayer {
    fn or(self, below: Self) -> Self {
        Self {
            level: self.level.or(below.level),
            format: self.format.or(below.format),
        }
    }
}

impl AdmissionLayer {
    fn or(self, below: Self) -> Self {
        Self {
            deny_warnings: self.deny_warnings.or(below.deny_warnings),
            max_removal_share: self.max_removal_share.or(below.max_removal_share),
            files_allow_removals: self.files_allow_removals.or(below.files_allow_removals),
            max_document_bytes: self.max_document_bytes.or(below.max_document_bytes),
            max_resource_bytes: self.max_resource_bytes.or(below.max_resource_bytes),
            max_snapshot_bytes: self.max_snapshot_bytes.or(below.max_snapshot_bytes),
            max_document_values: self.max_document_values.or(below.max_document_values),
            max_resources: self.max_resources.or(below.max_resources),
            rules: self.rules.or(below.rules),
        }
    }
}

impl XdsLayer {
    fn or(self, below: Self) -> Self {
        Self {
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            client_ca: self.client_ca.or(below.client_ca),
            crl: self.crl.or(below.crl),
            client_auth: self.client_auth.or(below.client_auth),
            max_streams: self.max_streams.or(below.max_streams),
            max_streams_per_connection: self.max_streams_per_connection.or(below.max_streams_per_connection),
            max_request_bytes: self.max_request_bytes.or(below.max_request_bytes),
            keepalive_interval: self.keepalive_interval.or(below.keepalive_interval),
            keepalive_timeout: self.keepalive_timeout.or(below.keepalive_timeout),
            send_timeout: self.send_timeout.or(below.send_timeout),
            max_stream_age: self.max_stream_age.or(below.max_stream_age),
            first_request_timeout: self.first_request_timeout.or(below.first_request_timeout),
            drain: self.drain.or(below.drain),
            new_streams_per_second: self.new_streams_per_second.or(below.new_streams_per_second),
            requests_per_second: self.requests_per_second.or(below.requests_per_second),
        }
    }
}

impl OrderingLayer {
    fn or(self, below: Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            off_groups: self.off_groups.or(below.off_groups),
            make_timeout: self.make_timeout.or(below.make_timeout),
            removal_delay: self.removal_delay.or(below.removal_delay),
            hold_cap: self.hold_cap.or(below.hold_cap),
        }
    }
}

impl RegistryLayer {
    fn or(self, below: Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
        }
    }
}

impl RestLayer {
    fn or(self, below: Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            poll_timeout: self.poll_timeout.or(below.poll_timeout),
        }
    }
}

impl LrsLayer {
    fn or(self, below: Self) -> Self {
        Self {
            interval: self.interval.or(below.interval),
        }
    }
}

impl FleetLayer {
    fn or(self, below: Self) -> Self {
        Self {
            max_nodes: self.max_nodes.or(below.max_nodes),
            max_nack_message_bytes: self.max_nack_message_bytes.or(below.max_nack_message_bytes),
            max_load_clusters: self.max_load_clusters.or(below.max_load_clusters),
            forget_after: self.forget_after.or(below.forget_after),
            unanswered_after: self.unanswered_after.or(below.unanswered_after),
        }
    }
}
