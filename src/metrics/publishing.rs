//! Counters of publishes. The publisher counts.

use std::time::Duration;

use prometheus_client::{
    metrics::counter::Counter,
    registry::{Registry, Unit},
};

use super::{Histogram, Operation, PublishOutcome, Severity, Table};

/// Counters of publishes. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct PublishMetrics {
    publishes: Table<(Operation, PublishOutcome), Counter>,
    took: Table<(Operation,), Histogram>,
    findings: Table<(Severity,), Counter>,
    store_errors: Counter,
}

// === impl PublishMetrics ===

impl PublishMetrics {
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("xds_publishes", "Publishes, by outcome", self.publishes.clone());
        registry.register_with_unit(
            "xds_publish",
            "Duration of publishes, until they were durable and served",
            Unit::Seconds,
            self.took.clone(),
        );
        registry.register("xds_findings", "Findings of validation", self.findings.clone());
        registry.register(
            "xds_store_errors",
            "Failures of the store to read or write",
            self.store_errors.clone(),
        );
    }

    /// Counts a finished publish.
    pub fn published(&self, operation: Operation, outcome: PublishOutcome, took: Duration) {
        self.publishes.at((operation, outcome)).inc();
        self.took.at((operation,)).observe(took);
    }

    /// Counts findings of validation.
    pub fn found(&self, severity: Severity, findings: usize) {
        self.findings.at((severity,)).inc_by(findings as u64);
    }

    /// Counts a failure of the store.
    pub fn store_failed(&self) {
        self.store_errors.inc();
    }
}
