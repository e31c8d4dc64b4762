//! What is counted of publishes. Kept by the publisher.

use std::time::Duration;

use prometheus_client::{
    metrics::counter::Counter,
    registry::{Registry, Unit},
};

use super::{Histogram, Operation, PublishOutcome, Severity, Table};

/// Counters of what is published. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct PublishMetrics {
    publishes: Table<(Operation, PublishOutcome), Counter>,
    took: Table<(Operation,), Histogram>,
    findings: Table<(Severity,), Counter>,
    store_errors: Counter,
}

// === impl PublishMetrics ===

impl PublishMetrics {
    /// Exposes all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_publishes",
            "Publishes, by what became of them",
            self.publishes.clone(),
        );
        registry.register_with_unit(
            "xds_publish",
            "How long publishes took, until they were durable and served",
            Unit::Seconds,
            self.took.clone(),
        );
        registry.register("xds_findings", "Findings of validation", self.findings.clone());
        registry.register(
            "xds_store_errors",
            "Times that the store could not read or write",
            self.store_errors.clone(),
        );
    }

    /// A publish came to its end.
    pub fn published(&self, operation: Operation, outcome: PublishOutcome, took: Duration) {
        self.publishes.at((operation, outcome)).inc();
        self.took.at((operation,)).observe(took);
    }

    /// Validation found so many.
    pub fn found(&self, severity: Severity, findings: usize) {
        self.findings.at((severity,)).inc_by(findings as u64);
    }

    /// The store failed.
    pub fn store_failed(&self) {
        self.store_errors.inc();
    }
}
