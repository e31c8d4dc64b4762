//! The state that the services of the admin API share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::Status;

use super::process::Process;
use crate::{fleet::Fleet, protocol::Policies, publisher::Publisher, source::Files};

/// The number of surveys that run at once; each visits every node.
const SURVEYS: usize = 2;
/// The number of events that a slow reader may leave unread before its watch waits.
pub(super) const WATCH_BUFFER: usize = 64;

pub(super) struct Shared {
    pub(super) publisher: Arc<Publisher>,
    pub(super) fleet: Arc<Fleet>,
    /// The file source; `None` if it is off.
    pub(super) files: Option<Files>,
    /// The policies of the xDS streams, for rehearsals.
    pub(super) policies: Policies,
    pub(super) process: Process,
    /// Permits for surveys.
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

    /// Runs a function that visits every node on a blocking thread, so that the reactor keeps serving; few of them run
    /// at once.
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
