//! Settings: flags over environment over config file over defaults, each parsed into valid types once.
//!
//! `docs/configuration.md` lists them all; a test holds it to that.

mod file;
mod layer;
mod value;

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use self::{
    file::Spot,
    layer::{
        AdminLayer, AdmissionLayer, AuditLayer, ConnectionsLayer, FleetLayer, HttpLayer, Layer, LimitsLayer, LogLayer,
        LrsLayer, OrderingLayer, PortName, ProtocolLayer, RegistryLayer, RestLayer, SharedLayer, StoreLayer, XdsLayer,
    },
    value::{ByteSize, Share, Span, ValueError},
};
use crate::{
    access::{AccessConfig, Policy as AccessPolicy, RuleError as AccessError},
    admission::{self, Severity},
    audit::AuditSettings,
    fleet,
    node::{GroupSet, Grouping, NodeGroup, RuleError},
    protocol::{Ordering, Policy, PollLimits},
    publisher::RemovalGuard,
    resource::UnknownType,
    revision::DEFAULT_RETENTION,
    tls::TlsSettings,
    transport::{self, LrsSettings, Rate, XdsSettings},
};

/// What `chancery serve` runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where xDS clients connect.
    pub xds_addr: SocketAddr,
    /// Where the admin API listens.
    pub admin_addr: SocketAddr,
    /// Where xDS over REST and the endpoint registry are.
    pub http_addr: SocketAddr,
    /// Where probes and metrics are; `None` where the HTTP port has them.
    pub probe_addr: Option<SocketAddr>,
    /// TLS of the ports.
    pub tls: PortsTls,
    /// Ports that others can reach without TLS, as the settings allow.
    pub open: Vec<(PortName, SocketAddr)>,
    /// What connections may be open.
    pub connections: ConnectionSettings,
    /// Where snapshots are kept.
    pub store: StoreSettings,
    /// The keys that seal it; `None` where it is not sealed.
    pub key_file: Option<PathBuf>,
    /// The directory whose folders are published; `None` for no files.
    pub files: Option<PathBuf>,
    /// How many revisions of each group are kept.
    pub keep_revisions: NonZeroUsize,
    /// How xDS clients are served; which node belongs to which group.
    pub xds: XdsSettings,
    /// Groups to which the shared one is enough while they have no snapshot of their own.
    pub sufficed: GroupSet,
    /// Names by which the HTTP port is called beside those of the loopback.
    pub allowed_hosts: Vec<String>,
    /// Whether nodes that poll over REST are answered.
    pub rest: bool,
    /// Whether services may register endpoints.
    pub registry: bool,
    /// How long a node that stops polling over REST counts as connected.
    pub poll_timeout: Duration,
    /// What nodes that poll over REST may ask for.
    pub polls: PollLimits,
    /// What a publish must keep to.
    pub admission: admission::Limits,
    /// Whether warnings refuse a publish that does not allow them.
    pub deny_warnings: bool,
    /// What a publish may remove that does not confirm it.
    pub removals: RemovalGuard,
    /// What is remembered of nodes.
    pub fleet: fleet::Limits,
    /// Bytes of memory above which newcomers are refused; `None` for a part of what the control group may have, 0 for no end.
    pub memory: Option<usize>,
    /// How long a shutdown may take before it is forced.
    pub shutdown_grace: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Who may be which node, and who may do what.
    pub access: AccessConfig,
    /// The file that `access` came from, to be read again while the server runs.
    pub config: Option<PathBuf>,
    /// Where it is written who did what.
    pub audit: AuditSettings,
    /// Every setting as it came out, for people.
    effective: Layer,
}

/// TLS of the ports; `None` where one is spoken in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsTls {
    /// Of the xDS port.
    pub xds: Option<TlsSettings>,
    /// Of the admin API.
    pub admin: Option<TlsSettings>,
    /// Of the HTTP port.
    pub http: Option<TlsSettings>,
}

/// What connections may be open, and how long a silent one is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Connections of the xDS port.
    pub most: usize,
    /// Of one peer among them.
    pub most_of_peer: usize,
    /// Connections of each other port.
    pub most_of_others: usize,
    /// Bytes of the headers of a request over HTTP/2.
    pub header_bytes: usize,
    /// For the handshake and the first bytes.
    pub opening: Duration,
    /// For a byte over HTTP/1.1.
    pub idle: Duration,
    /// For a request over HTTP/1.1.
    pub request: Duration,
    /// For a peer to take in what waits for it.
    pub unread: Duration,
}

/// Where snapshots are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// In memory: a restart forgets them.
    Ephemeral,
    /// In a directory.
    DataDir(PathBuf),
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or filters as `tracing` knows them.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What a violation of the rules in Envoy's protos does to a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RulesMode {
    /// Refuse it.
    Error,
    /// Warn of it: for clients newer than this server's protos.
    Warn,
}

/// Settings that cannot be run with.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The config file cannot be read.
    #[error("config file {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The config file says something we do not understand.
    #[error("{spot}: {message}")]
    Parse {
        /// Where.
        spot: Spot,
        /// What is wrong.
        message: String,
    },
    /// Both stores were chosen.
    #[error("data_dir and ephemeral exclude each other")]
    TwoStores,
    /// Keys, and nothing to seal with them.
    #[error(
        "store.key_file seals a data directory, and nothing is kept in one: set data_dir, or leave the key file out"
    )]
    NothingToSeal,
    /// A setting names a type that is none.
    #[error("protocol settings: {0}")]
    Type(#[from] UnknownType),
    /// A name on demand without its type.
    #[error("protocol.on_demand: {0:?} is not of the form TYPE:NAME, as in cluster:tenant-*")]
    OnDemand(String),
    /// A grouping rule that can never name a group.
    #[error(transparent)]
    Groups(#[from] RuleError),
    /// A rule over who may do what cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Clients would report without a pause.
    #[error("lrs.interval must be longer than 0s")]
    LrsInterval,
    /// TLS of a port lacks a part.
    #[error("{port}.{has} needs {port}.{lacks}: set both, or neither")]
    TlsIncomplete {
        /// The port.
        port: &'static str,
        /// What is set.
        has: String,
        /// What is not.
        lacks: String,
    },
    /// A port that others can reach has no TLS.
    #[error(
        "{port}_addr {addr} can be reached from other machines, and {port} has no TLS: set {port}.tls_cert and \
         {port}.tls_key, listen on 127.0.0.1, or allow it with --insecure {port}"
    )]
    Insecure {
        /// The port.
        port: &'static str,
        /// Its address.
        addr: SocketAddr,
    },
    /// The log filter is malformed.
    #[error("log level {filter:?}: {reason}")]
    LogLevel {
        /// As given.
        filter: String,
        /// What is wrong.
        reason: String,
    },
}

/// The port of xDS where no address says another.
const XDS_PORT: u16 = 18_000;

// === impl Settings ===

impl Settings {
    /// Resolves flags and environment over the config file over the defaults.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] naming the first thing that is wrong.
    pub fn load(flags: Layer, config: Option<&Path>) -> Result<Self, SettingsError> {
        let file = config.map(file::read).transpose()?.unwrap_or_default();
        if file.data_dir.is_some() && file.ephemeral == Some(true) {
            return Err(SettingsError::TwoStores);
        }
        let settings = Self::resolve(flags.or(file))?;
        Ok(Self {
            config: config.map(Path::to_owned),
            ..settings
        })
    }

    /// The section `access` of a config file as it is now.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] naming the first thing that is wrong with the file.
    pub fn read_access(config: &Path) -> Result<AccessConfig, SettingsError> {
        Ok(file::read(config)?.access.unwrap_or_default())
    }

    /// Resolves one layer over the defaults.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] naming the first thing that is wrong.
    pub fn resolve(layer: Layer) -> Result<Self, SettingsError> {
        let mut effective = layer.or(Layer::default_values());
        let store = match (effective.data_dir.clone(), effective.ephemeral.unwrap_or_default()) {
            (Some(_), true) => return Err(SettingsError::TwoStores),
            (Some(dir), false) => StoreSettings::DataDir(dir),
            (None, _) => StoreSettings::Ephemeral,
        };
        if store == StoreSettings::Ephemeral && effective.store.key_file.is_some() {
            return Err(SettingsError::NothingToSeal);
        }
        effective.ephemeral = (store == StoreSettings::Ephemeral).then_some(true);
        let grace = effective.shutdown_grace.map_or(Duration::ZERO, |span| span.0);
        // Streams that are still being ended when the grace period is over would be cut.
        effective.xds.drain = effective.xds.drain.map(|span| Span(span.0.min(grace / 2)));
        let Layer {
            log,
            admission,
            ordering,
            fleet,
            limits,
            http: door,
            rest,
            registry,
            lrs,
            protocol,
            shared,
            ..
        } = effective.clone();
        let tls = PortsTls {
            xds: effective.xds.tls().settings()?,
            admin: effective.admin.tls().settings()?,
            http: effective.http.tls().settings()?,
        };
        // Whoever set up TLS, or does without it on purpose, means to be reached.
        let is_open = tls.xds.is_some() || effective.is_insecure(PortName::Xds);
        let ip = if is_open {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        let xds_addr = *effective
            .xds_addr
            .get_or_insert_with(|| SocketAddr::from((ip, XDS_PORT)));
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let admin_addr = effective.admin_addr.unwrap_or(local);
        let http_addr = effective.http_addr.unwrap_or(local);
        let mut open = Vec::new();
        for (port, addr, tls) in [
            (PortName::Xds, xds_addr, &tls.xds),
            (PortName::Admin, admin_addr, &tls.admin),
            (PortName::Http, http_addr, &tls.http),
        ] {
            effective.may_listen(port, addr, tls.as_ref())?;
            if tls.is_none() && !addr.ip().to_canonical().is_loopback() {
                open.push((port, addr));
            }
        }
        let policy = protocol.settings()?;
        let access = effective.access.clone().unwrap_or_default();
        AccessPolicy::new(&access)?;
        Ok(Self {
            xds_addr,
            admin_addr,
            http_addr,
            probe_addr: effective.probe_addr,
            tls,
            open,
            connections: effective.connections.settings(),
            store,
            key_file: effective.store.key_file.clone(),
            files: effective.files.clone(),
            keep_revisions: effective.keep_revisions.unwrap_or(DEFAULT_RETENTION),
            xds: XdsSettings {
                grouping: Grouping::new(effective.groups.clone().unwrap_or_default())?,
                lrs: limits.lrs(lrs.settings()?),
                limits: limits.xds(effective.xds.limits()),
                unordered: ordering.unordered(),
                ttl: protocol.ttl(),
                policy: Policy {
                    ordering: ordering.settings(),
                    limits: limits.stream(policy.limits),
                    ..policy
                },
            },
            sufficed: shared.sufficed(),
            allowed_hosts: door.allowed_hosts.unwrap_or_default(),
            rest: rest.enabled.unwrap_or_default(),
            registry: registry.enabled.unwrap_or_default(),
            poll_timeout: rest.poll_timeout.map_or(Duration::ZERO, |span| span.0),
            polls: limits.polls(PollLimits {
                polls: effective.xds.limits().streams,
                ..PollLimits::default()
            }),
            deny_warnings: admission.deny_warnings.unwrap_or_default(),
            removals: admission.removals(),
            admission: admission.limits(),
            fleet: fleet.limits(),
            memory: limits.memory.map(|size| size.0),
            shutdown_grace: grace,
            log: log.settings()?,
            access,
            config: None,
            audit: effective.audit.settings(),
            effective,
        })
    }

    /// Every setting as it came out, in the form of a config file. There are no secrets among them.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(&self.effective).unwrap_or_else(|error| format!("# {error}\n"))
    }
}

// === impl Layer ===

impl Layer {
    /// The defaults; where snapshots are kept has none.
    #[must_use]
    pub fn default_values() -> Self {
        let fleet = fleet::Limits::default();
        let limits = admission::Limits::default();
        Self {
            xds_addr: None,
            admin_addr: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 18001))),
            http_addr: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 18002))),
            probe_addr: None,
            insecure: None,
            data_dir: None,
            ephemeral: None,
            store: StoreLayer::default(),
            files: None,
            keep_revisions: Some(DEFAULT_RETENTION),
            shutdown_grace: Some(Span(Duration::from_secs(10))),
            log: LogLayer {
                level: Some("info".to_owned()),
                format: Some(LogFormat::Text),
            },
            admission: AdmissionLayer {
                deny_warnings: Some(false),
                max_removal_share: Some(Share(RemovalGuard::default().max_share)),
                files_allow_removals: Some(false),
                max_document_bytes: Some(ByteSize(limits.document_bytes)),
                max_resource_bytes: Some(ByteSize(limits.resource_bytes)),
                max_snapshot_bytes: Some(ByteSize(limits.total_bytes)),
                max_document_values: Some(limits.document_values),
                max_resources: Some(limits.resources),
                rules: Some(RulesMode::Error),
            },
            xds: XdsLayer::of(&transport::Limits::default()),
            admin: AdminLayer::default(),
            connections: ConnectionsLayer::of(&ConnectionSettings::default()),
            limits: LimitsLayer::default_values(),
            http: HttpLayer {
                allowed_hosts: Some(Vec::new()),
                ..HttpLayer::default()
            },
            registry: RegistryLayer { enabled: Some(false) },
            rest: RestLayer {
                enabled: Some(false),
                poll_timeout: Some(Span(Duration::from_secs(300))),
            },
            lrs: LrsLayer {
                interval: Some(Span(LrsSettings::default().interval)),
            },
            ordering: OrderingLayer::of(&Ordering::default()),
            protocol: ProtocolLayer::of(&Policy::default()),
            shared: SharedLayer::default_values(),
            fleet: FleetLayer {
                max_nodes: Some(fleet.nodes),
                max_nack_message_bytes: Some(ByteSize(fleet.nack_message_bytes)),
                max_load_clusters: Some(fleet.load_clusters),
                forget_after: Some(Span(fleet.forget_after)),
                unanswered_after: Some(Span(fleet.unanswered_after)),
            },
            audit: AuditLayer::of(&AuditSettings::default()),
            access: None,
            groups: None,
        }
    }
}

impl From<RulesMode> for Severity {
    fn from(mode: RulesMode) -> Self {
        match mode {
            RulesMode::Error => Self::Error,
            RulesMode::Warn => Self::Warning,
        }
    }
}

impl LogLayer {
    fn settings(self) -> Result<LogSettings, SettingsError> {
        let level = self.level.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
            return Err(SettingsError::LogLevel {
                filter: level,
                reason: error.to_string(),
            });
        }
        Ok(LogSettings {
            level,
            format: self.format.unwrap_or(LogFormat::Text),
        })
    }
}

impl AdmissionLayer {
    fn removals(&self) -> RemovalGuard {
        let defaults = RemovalGuard::default();
        RemovalGuard {
            max_share: self.max_removal_share.map_or(defaults.max_share, |share| share.0),
            trusts_files: self.files_allow_removals.unwrap_or(defaults.trusts_files),
            ..defaults
        }
    }

    fn limits(&self) -> admission::Limits {
        let mut limits = admission::Limits::default();
        let set = |limit: &mut usize, value: Option<usize>| *limit = value.unwrap_or(*limit);
        set(&mut limits.document_bytes, self.max_document_bytes.map(|size| size.0));
        set(&mut limits.resource_bytes, self.max_resource_bytes.map(|size| size.0));
        set(&mut limits.total_bytes, self.max_snapshot_bytes.map(|size| size.0));
        set(&mut limits.document_values, self.max_document_values);
        set(&mut limits.resources, self.max_resources);
        limits.rules = self.rules.map_or(limits.rules, Severity::from);
        limits
    }
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            most: 20_000,
            most_of_peer: 10_000,
            most_of_others: 512,
            header_bytes: 16 * 1024,
            opening: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            request: Duration::from_secs(60),
            unread: Duration::from_secs(60),
        }
    }
}

impl ConnectionsLayer {
    const fn of(settings: &ConnectionSettings) -> Self {
        Self {
            max: Some(settings.most),
            max_per_peer: Some(settings.most_of_peer),
            max_other: Some(settings.most_of_others),
            max_header_bytes: Some(ByteSize(settings.header_bytes)),
            opening_timeout: Some(Span(settings.opening)),
            idle_timeout: Some(Span(settings.idle)),
            request_timeout: Some(Span(settings.request)),
            unread_timeout: Some(Span(settings.unread)),
        }
    }

    fn settings(self) -> ConnectionSettings {
        let defaults = ConnectionSettings::default();
        let span = |value: Option<Span>, default: Duration| value.map_or(default, |span| span.0);
        ConnectionSettings {
            most: self.max.unwrap_or(defaults.most),
            most_of_peer: self.max_per_peer.unwrap_or(defaults.most_of_peer),
            most_of_others: self.max_other.unwrap_or(defaults.most_of_others),
            header_bytes: self.max_header_bytes.map_or(defaults.header_bytes, |size| size.0),
            opening: span(self.opening_timeout, defaults.opening),
            idle: span(self.idle_timeout, defaults.idle),
            request: span(self.request_timeout, defaults.request),
            unread: span(self.unread_timeout, defaults.unread),
        }
    }
}

impl XdsLayer {
    const fn of(limits: &transport::Limits) -> Self {
        Self {
            tls_cert: None,
            tls_key: None,
            client_ca: None,
            crl: None,
            client_auth: None,
            max_streams: Some(limits.streams),
            max_streams_per_connection: Some(limits.streams_per_connection),
            max_request_bytes: Some(ByteSize(limits.request_bytes)),
            keepalive_interval: Some(Span(limits.keepalive_interval)),
            keepalive_timeout: Some(Span(limits.keepalive_timeout)),
            send_timeout: Some(Span(limits.send_timeout)),
            max_stream_age: None,
            first_request_timeout: Some(Span(limits.first_request)),
            drain: Some(Span(limits.drain)),
            new_streams_per_second: Some(limits.new_streams.per_second),
            requests_per_second: Some(limits.requests.per_second),
        }
    }

    fn limits(&self) -> transport::Limits {
        let defaults = transport::Limits::default();
        let span = |value: Option<Span>, default: Duration| value.map_or(default, |span| span.0);
        transport::Limits {
            streams: self.max_streams.unwrap_or(defaults.streams),
            streams_per_connection: self
                .max_streams_per_connection
                .unwrap_or(defaults.streams_per_connection),
            request_bytes: self.max_request_bytes.map_or(defaults.request_bytes, |size| size.0),
            keepalive_interval: span(self.keepalive_interval, defaults.keepalive_interval),
            keepalive_timeout: span(self.keepalive_timeout, defaults.keepalive_timeout),
            send_timeout: span(self.send_timeout, defaults.send_timeout),
            max_stream_age: self.max_stream_age.map(|span| span.0),
            first_request: span(self.first_request_timeout, defaults.first_request),
            drain: span(self.drain, defaults.drain),
            new_streams: self.new_streams_per_second.map_or(defaults.new_streams, Rate::from),
            requests: self.requests_per_second.map_or(defaults.requests, Rate::from),
            ..defaults
        }
    }
}

impl OrderingLayer {
    const fn of(ordering: &Ordering) -> Self {
        Self {
            enabled: Some(ordering.enabled),
            off_groups: Some(Vec::new()),
            make_timeout: Some(Span(ordering.make_timeout)),
            removal_delay: Some(Span(ordering.removal_delay)),
            hold_cap: Some(Span(ordering.hold_cap)),
        }
    }

    fn settings(&self) -> Ordering {
        let defaults = Ordering::default();
        let span = |value: Option<Span>, default: Duration| value.map_or(default, |span| span.0);
        Ordering {
            enabled: self.enabled.unwrap_or(defaults.enabled),
            make_timeout: span(self.make_timeout, defaults.make_timeout),
            removal_delay: span(self.removal_delay, defaults.removal_delay),
            hold_cap: span(self.hold_cap, defaults.hold_cap),
            ..defaults
        }
    }

    /// The groups it is switched off for.
    fn unordered(&self) -> BTreeSet<NodeGroup> {
        let groups = self.off_groups.iter().flatten();
        groups.map(|group| NodeGroup::from(group.as_str())).collect()
    }
}

impl LrsLayer {
    fn settings(self) -> Result<LrsSettings, SettingsError> {
        let defaults = LrsSettings::default();
        let interval = self.interval.map_or(defaults.interval, |span| span.0);
        if interval.is_zero() {
            return Err(SettingsError::LrsInterval);
        }
        Ok(LrsSettings { interval, ..defaults })
    }
}

impl FleetLayer {
    fn limits(&self) -> fleet::Limits {
        let defaults = fleet::Limits::default();
        fleet::Limits {
            nodes: self.max_nodes.unwrap_or(defaults.nodes),
            nack_message_bytes: self
                .max_nack_message_bytes
                .map_or(defaults.nack_message_bytes, |size| size.0),
            load_clusters: self.max_load_clusters.unwrap_or(defaults.load_clusters),
            forget_after: self.forget_after.map_or(defaults.forget_after, |span| span.0),
            unanswered_after: self.unanswered_after.map_or(defaults.unanswered_after, |span| span.0),
        }
    }
}

#[cfg(test)]
mod tests;
