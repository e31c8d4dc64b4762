//! Notes that the store works, or fails, as `/readyz` tells it. A publish notices it, and a look now and then.

use super::Publisher;
use crate::revision::StoreError;

impl Publisher {
    /// Counts where the store failed.
    pub(super) fn heard<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        read.inspect_err(|error| match error {
            // Nothing of the store: whoever asked has gone, or asked for what there is not.
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
