//! What is counted of the HTTP port itself.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{HttpRefusal, Table};

/// Counters of the HTTP port. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct HttpMetrics {
    refused: Table<(HttpRefusal,), Counter>,
}

// === impl HttpMetrics ===

impl HttpMetrics {
    /// Exposes all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_http_requests_refused",
            "Requests to the HTTP port that were refused before anybody looked at them",
            self.refused.clone(),
        );
    }

    /// A request was refused.
    pub fn refused(&self, reason: HttpRefusal) {
        self.refused.at((reason,)).inc();
    }
}
