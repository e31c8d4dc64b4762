//! State that the services of the admin API share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::Status;

use super::process::Process;
use crate::{fleet::Fleet, protocol::Policies, publisher::Publisher, source::Files};

/// Looks at every node that run at once.
const SURVEYS: usize = 2;
/// Events that a watch may be behind by before the server waits for its reader.
pub(super) const WATCH_BUFFER: usize = 64;

/// State that the services share.
pub(super) struct Shared {
    pub(super) publisher: Arc<Publisher>,
    pub(super) fleet: Arc<Fleet>,
    /// `None` where no files are served.
    pub(super) files: Option<Files>,
    /// The policies that streams are served by, for rehearsals.
    pub(super) policies: Policies,
    pub(super) process: Process,
    /// Permits of looks at every node, of which few run at once.
    surveys: Arc<Semaphore>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(
        publisher: Arc<Publisher>,
        fleet: Arc<Fleet>,
        files: Option<Files>,
        policies: Policies,
        process: Process,
    ) -> Self {
        Self {
            publisher,
            fleet,
            files,
            policies,
            process,
            surveys: Arc::new(Semaphore::new(SURVEYS)),
        }
    }

    /// Does what looks at every node: apart from the reactor, which serves streams and probes meanwhile, and little of it at
    /// once.
    pub(super) async fn survey<R: Send + 'static>(
        &self,
        look: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Status> {
        let closed = |_| Status::unavailable("the server is shutting down");
        let permit = Arc::clone(&self.surveys).acquire_owned().await.map_err(closed)?;
        let looking = self.process.tracker.spawn_blocking(move || {
            let _permit = permit;
            look()
        });
        looking.await.map_err(|broken| self.process.broken(&broken))
    }
}
