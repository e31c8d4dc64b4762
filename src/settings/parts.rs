//! The settings of the server's parts, and the values of settings that are choices.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    admission, audit::AuditSettings, fleet, node::GroupSet, protocol::PollLimits, publisher::RemovalGuard,
    tls::TlsSettings, transport::XdsSettings,
};

/// The settings of the server's parts, each in the type of its module. The default of a type is the default of the setting.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The xDS port: limits, groups, the protocol.
    pub xds: XdsSettings,
    /// Limits on nodes that poll over REST.
    pub polls: PollLimits,
    /// Limits on a publish.
    pub admission: admission::Limits,
    /// Limits on removals without a confirmation.
    pub removals: RemovalGuard,
    /// Groups whose nodes are served the shared group alone while they have no snapshot of their own.
    pub sufficed: GroupSet,
    /// Limits on the state of nodes.
    pub fleet: fleet::Limits,
    /// The audit log.
    pub audit: AuditSettings,
    /// The log.
    pub log: LogSettings,
}

/// TLS of the ports; `None` for a port without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsTls {
    /// TLS of the xDS port.
    pub xds: Option<TlsSettings>,
    /// TLS of the admin API.
    pub admin: Option<TlsSettings>,
    /// TLS of the HTTP port.
    pub http: Option<TlsSettings>,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or a filter in the syntax of `tracing`.
    pub level: String,
    /// The format of log lines.
    pub format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The effect of a violation of the rules in Envoy's protos on a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RulesMode {
    /// Refuse the publish.
    Error,
    /// Warn: for clients newer than this server's protos.
    Warn,
}

/// A port that a setting can allow to be open without TLS.
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
    /// The name in settings.
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
