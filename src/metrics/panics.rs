//! Caught panics. Each is a bug in this program, whatever the request was.

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

/// Counts panics. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct PanicMetrics {
    panics: Table<(PanicPart,), Counter>,
}

// === impl PanicMetrics ===

impl PanicMetrics {
    /// Adds the counter to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("xds_panics", "Panics that were caught", self.panics.clone());
    }

    /// Counts a panic in a request to this port.
    pub fn of_port(&self, port: PortLabel) {
        self.count(port.into());
    }

    /// The output of a future; `None` if it panics, which is counted and ends it.
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

    /// Counts a panic.
    pub fn count(&self, part: PanicPart) {
        self.panics.at((part,)).inc();
    }

    /// The number of panics of a part.
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
