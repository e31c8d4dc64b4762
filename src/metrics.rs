//! What is counted, for machines: counters of what is served, of the publisher and of the sources, and the text that
//! Prometheus reads of them.
//!
//! Each part counts and tells nobody; `app` registers the counters. Every label is a closed set whose series are there from
//! the start: counting looks nothing up, takes no lock and allocates nothing.

mod access;
mod connections;
mod gauges;
mod histogram;
mod http;
mod labels;
mod panics;
mod process;
mod publishing;
mod serving;
mod sources;
mod table;
mod text;

use std::{
    fmt,
    sync::{PoisonError, RwLock},
    time::SystemTime,
};

use prometheus_client::registry::Registry;

use self::process::Process;
pub use self::{
    access::AccessMetrics,
    connections::ConnectionMetrics,
    gauges::Gauges,
    histogram::Histogram,
    http::HttpMetrics,
    labels::{
        Change, ConnectionRefusal, DenialLabel, FolderLabel, HandshakeFailure, HttpRefusal, NodeLabel, Operation,
        PanicPart, PollLabel, PortLabel, Protocol, PublishOutcome, Refusal, ReloadLabel, RequestRefusal, Severity,
        Silence, StatusCode, TypeLabel, WithdrawnLabel,
    },
    panics::PanicMetrics,
    publishing::PublishMetrics,
    serving::ServingMetrics,
    sources::{FilesMetrics, RegistryMetrics},
    table::{Label, Labels, Table},
};

/// Everything that is exposed.
pub struct Metrics {
    registry: RwLock<Registry>,
}

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, 0.0.4: what every reader takes.
    Classic,
    /// OpenMetrics 1.0.0: what Prometheus asks for.
    OpenMetrics,
}

// === impl Metrics ===

impl Metrics {
    /// The process and what was built; everything else is to be registered.
    #[must_use]
    pub fn new(version: &'static str, started: SystemTime) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::new(version, started)));
        Self {
            registry: RwLock::new(registry),
        }
    }

    /// Exposes more.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Everything as it is now. Takes some milliseconds where many nodes are connected.
    ///
    /// # Errors
    ///
    /// None that writing to a text has; the encoder's type says otherwise.
    pub fn render(&self, format: Format) -> Result<String, fmt::Error> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let mut encoded = String::new();
        prometheus_client::encoding::text::encode(&mut encoded, &registry)?;
        Ok(match format {
            Format::OpenMetrics => encoded,
            Format::Classic => text::classic(&encoded),
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

// === impl Format ===

impl Format {
    /// What the text is called in a `content-type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What somebody who accepts this is given.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }
}
