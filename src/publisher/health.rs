//! Whether the store works: what `/readyz` says of it. A store that fails is noticed by who publishes, and by a look now and then.

use tokio::sync::watch;

use super::Publisher;
use crate::revision::StoreError;

impl Publisher {
    /// Whether the store works, and its changes.
    #[must_use]
    pub fn store_works(&self) -> watch::Receiver<bool> {
        self.works.subscribe()
    }

    /// Looks whether the store works. One that failed is written to: a disk that was full is seen to have room by nothing else.
    /// Blocks on the store.
    pub fn probe_store(&self) {
        let worked = *self.works.borrow();
        match self.store.probe(!worked) {
            Ok(()) => self.set_store_works(true),
            Err(error) => {
                if worked {
                    tracing::error!(%error, "the store failed");
                }
                self.set_store_works(false);
            }
        }
    }

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
