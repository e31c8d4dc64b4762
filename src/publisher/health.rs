//! Notes if the store works, for `/readyz`. Publishes and periodic probes report to it.

use super::Publisher;
use crate::revision::StoreError;

impl Publisher {
    /// Counts errors of the store.
    pub(super) fn heard<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        read.inspect_err(|error| match error {
            // These errors are no fault of the store: the caller has gone, or asked for something that does not exist.
            StoreError::Interrupted(_) | StoreError::NoBackup => self.metrics.store_failed(),
            _ => self.on_store_failure(),
        })
    }

    pub(super) fn on_store_failure(&self) {
        self.metrics.store_failed();
        self.set_store_works(false);
    }

    pub(super) fn set_store_works(&self, works: bool) {
        self.works
            .send_if_modified(|known| std::mem::replace(known, works) != works);
    }
}
