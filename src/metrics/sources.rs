//! What is counted of what publishes by itself. Kept by the file source and the endpoint registry.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{Change, FolderLabel, Table};

/// Counters of the file source. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct FilesMetrics {
    reloads: Table<(FolderLabel,), Counter>,
}

/// Counters of the endpoint registry. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct RegistryMetrics {
    changes: Table<(Change,), Counter>,
}

// === impl FilesMetrics ===

impl FilesMetrics {
    /// Exposes all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_source_reloads",
            "Folders that were read because something in them changed, by what became of it",
            self.reloads.clone(),
        );
    }

    /// A folder was taken, and stands so since.
    pub fn reloaded(&self, state: FolderLabel) {
        self.reloads.at((state,)).inc();
    }
}

// === impl RegistryMetrics ===

impl RegistryMetrics {
    /// Exposes all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_registry_changes",
            "What happened to endpoints that register themselves",
            self.changes.clone(),
        );
    }

    /// This happened to so many endpoints.
    pub fn changed(&self, change: Change, endpoints: usize) {
        self.changes.at((change,)).inc_by(endpoints as u64);
    }
}
