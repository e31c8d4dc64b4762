//! Panics that were caught: each is a fault of this program, whatever it was asked.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

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
        self.count(port.into());
    }

    /// What comes of a future; `None` where it panics, which is counted. It is not looked at again then.
    pub async fn caught<F: Future>(&self, part: PanicPart, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Some),
            Err(_) => {
                self.count(part);
                Poll::Ready(None)
            }
        })
        .await
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

impl From<PortLabel> for PanicPart {
    fn from(port: PortLabel) -> Self {
        match port {
            PortLabel::Xds => Self::Xds,
            PortLabel::Admin => Self::Admin,
            PortLabel::Http => Self::Http,
            PortLabel::Probe => Self::Probe,
        }
    }
}
