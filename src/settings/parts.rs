//! The settings of the server's parts, and the choices that settings offer.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    admission, audit::AuditSettings, fleet, node::GroupSet, protocol::PollLimits, publisher::RemovalGuard,
    tls::TlsSettings, transport::XdsSettings,
};

/// The settings of the server's parts, each a type of the module that obeys it. Its default is the setting's.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The xDS port: limits, groups, the protocol.
    pub xds: XdsSettings,
    /// Limits on nodes that poll over REST.
    pub polls: PollLimits,
    /// Limits on a publish.
    pub admission: admission::Limits,
    /// Limits on removals that nobody confirms.
    pub removals: RemovalGuard,
    /// Groups to which the shared one is enough while they have no snapshot of their own.
    pub sufficed: GroupSet,
    /// Limits on what is remembered of nodes.
    pub fleet: fleet::Limits,
    /// The audit log.
    pub audit: AuditSettings,
    /// The log.
    pub log: LogSettings,
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

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or filters as `tracing` knows them.
    pub level: String,
    /// The form of its lines.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The effect of a violation of the rules in Envoy's protos on a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RulesMode {
    /// Refuse it.
    Error,
    /// Warn of it: for clients newer than this server's protos.
    Warn,
}

/// A port that may be told to do without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortName {
    /// xDS over gRPC.
    Xds,
    /// The admin API.
    Admin,
    /// xDS over REST and the endpoint registry.
    Http,
}

// === impl PortName ===

impl PortName {
    /// As it is written in settings.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Xds => "xds",
            Self::Admin => "admin",
            Self::Http => "http",
        }
    }
}

// === impl LogSettings ===

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}
