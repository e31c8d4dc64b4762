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
    /// How xDS clients are served; which node belongs to which group.
    pub xds: XdsSettings,
    /// What nodes that poll over REST may ask for.
    pub polls: PollLimits,
    /// What a publish must keep to.
    pub admission: admission::Limits,
    /// What a publish may remove that does not confirm it.
    pub removals: RemovalGuard,
    /// Groups to which the shared one is enough while they have no snapshot of their own.
    pub sufficed: GroupSet,
    /// What is remembered of nodes.
    pub fleet: fleet::Limits,
    /// Where it is written who did what.
    pub audit: AuditSettings,
    /// What is logged, and how.
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
