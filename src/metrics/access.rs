//! Counters of access control. The authority counts.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{DenialLabel, PortLabel, ReloadLabel, Table};

/// Counters of the authority. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct AccessMetrics {
    denied: Table<(PortLabel, DenialLabel), Counter>,
    reloads: Table<(ReloadLabel,), Counter>,
    audit_failures: Counter,
}

// === impl AccessMetrics ===

impl AccessMetrics {
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_access_denied",
            "Calls, streams and secrets that were refused because of the caller",
            self.denied.clone(),
        );
        registry.register(
            "xds_access_reloads",
            "Reloads of changed rules, tokens or keys, by outcome",
            self.reloads.clone(),
        );
        registry.register(
            "xds_audit_errors",
            "Events that could not be written to the audit log",
            self.audit_failures.clone(),
        );
    }

    /// Counts a refusal.
    pub fn denied(&self, port: PortLabel, reason: DenialLabel) {
        self.denied.at((port, reason)).inc();
    }

    /// Counts a reload of the rules, tokens or keys.
    pub fn reloaded(&self, outcome: ReloadLabel) {
        self.reloads.at((outcome,)).inc();
    }

    /// Counts an event that could not be written.
    pub fn audit_failed(&self) {
        self.audit_failures.inc();
    }
}
