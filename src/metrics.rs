//! Metrics: counters of serving, of the publisher and of the sources, and their text for Prometheus.
//!
//! Each module counts into its own counters, and `app` registers them. Every label is a closed set, and all its series
//! exist from the start: to count is to add to a number, without a look-up, a lock or an allocation.

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

/// All metrics of the process.
pub struct Metrics {
    registry: RwLock<Registry>,
}

/// The format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4, which every reader accepts.
    Classic,
    /// OpenMetrics 1.0.0, which Prometheus prefers.
    OpenMetrics,
}

// === impl Metrics ===

impl Metrics {
    /// Metrics of the process and the build. Other metrics are added by [`Metrics::register`].
    #[must_use]
    pub fn new(version: &'static str, started: SystemTime) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::new(version, started)));
        Self {
            registry: RwLock::new(registry),
        }
    }

    /// Adds metrics to the registry.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The text of all metrics, with their current values. Takes some milliseconds if thousands of nodes are connected.
    ///
    /// # Errors
    ///
    /// The encoder's error type; writing to a string never fails.
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
    /// The `content-type` of the text.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format for a reader with this `Accept` header.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }
}
