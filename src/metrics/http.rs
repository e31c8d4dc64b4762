//! Counters of the HTTP port.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{HttpRefusal, Table};

/// Counters of the HTTP port. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct HttpMetrics {
    refused: Table<(HttpRefusal,), Counter>,
}

// === impl HttpMetrics ===

impl HttpMetrics {
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_http_requests_refused",
            "Requests to the HTTP port that its guard refused",
            self.refused.clone(),
        );
    }

    /// Counts a refused request.
    pub fn refused(&self, reason: HttpRefusal) {
        self.refused.at((reason,)).inc();
    }
}
