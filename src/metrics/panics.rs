//! Panics that were caught: each is a fault of this program, whatever it was asked.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{
    labels::{PanicPart, PortLabel},
    table::Table,
};

/// Counts panics. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct PanicMetrics {
    panics: Table<(PanicPart,), Counter>,
}

// === impl PanicMetrics ===

impl PanicMetrics {
    /// Exposes the counter.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("xds_panics", "Panics that were caught", self.panics.clone());
    }

    /// A request to this port panicked.
    pub fn of_port(&self, port: PortLabel) {
        self.count(match port {
            PortLabel::Xds => PanicPart::Xds,
            PortLabel::Admin => PanicPart::Admin,
            PortLabel::Http => PanicPart::Http,
            PortLabel::Probe => PanicPart::Probe,
        });
    }

    /// Something panicked.
    pub fn count(&self, part: PanicPart) {
        self.panics.at((part,)).inc();
    }

    /// How many there were of a part.
    #[must_use]
    pub fn of(&self, part: PanicPart) -> u64 {
        self.panics.at((part,)).get()
    }
}
