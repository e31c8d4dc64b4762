//! What is counted of who was let in. Kept by the authority.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{DenialLabel, PortLabel, ReloadLabel, Table};

/// Counters of the authority. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct AccessMetrics {
    denied: Table<(PortLabel, DenialLabel), Counter>,
    reloads: Table<(ReloadLabel,), Counter>,
    audit_failures: Counter,
}

// === impl AccessMetrics ===

impl AccessMetrics {
    /// Exposes all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_access_denied",
            "Calls, streams and secrets that were refused for who asked",
            self.denied.clone(),
        );
        registry.register(
            "xds_access_reloads",
            "Times that rules, tokens or keys changed, by whether they could be used",
            self.reloads.clone(),
        );
        registry.register(
            "xds_audit_errors",
            "Events that could not be written to the audit log",
            self.audit_failures.clone(),
        );
    }

    /// Somebody was refused.
    pub fn denied(&self, port: PortLabel, reason: DenialLabel) {
        self.denied.at((port, reason)).inc();
    }

    /// The rules were read again.
    pub fn reloaded(&self, outcome: ReloadLabel) {
        self.reloads.at((outcome,)).inc();
    }

    /// An event could not be written.
    pub fn audit_failed(&self) {
        self.audit_failures.inc();
    }
}
