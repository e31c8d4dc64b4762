//! Counters of the sources: the folders of files and the endpoint registry.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::{Change, FolderLabel, Table};

/// Counters of the file source. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FilesMetrics {
    reloads: Table<(FolderLabel,), Counter>,
}

/// Counters of the endpoint registry. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RegistryMetrics {
    changes: Table<(Change,), Counter>,
}

// === impl FilesMetrics ===

impl FilesMetrics {
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_source_reloads",
            "Reloads of changed folders, by the new state of the folder",
            self.reloads.clone(),
        );
    }

    /// Counts a reload of a folder by its new state.
    pub fn reloaded(&self, state: FolderLabel) {
        self.reloads.at((state,)).inc();
    }
}

// === impl RegistryMetrics ===

impl RegistryMetrics {
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_registry_changes",
            "Changes of registered endpoints",
            self.changes.clone(),
        );
    }

    /// Counts a change of so many endpoints.
    pub fn changed(&self, change: Change, endpoints: usize) {
        self.changes.at((change,)).inc_by(endpoints as u64);
    }
}
