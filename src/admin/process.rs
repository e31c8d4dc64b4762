//! The process as its services use it: spawns their work, and handles its panics.

use std::future::Future;

use tokio::{sync::mpsc, task::JoinError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;
use tracing::error;

use super::status;
use crate::{
    metrics::{PanicMetrics, PanicPart},
    readiness::Readiness,
};

/// The process that the services run in.
#[derive(Clone, Debug)]
pub struct Process {
    /// The reasons why the process is not ready yet.
    pub readiness: Readiness,
    /// Counts panics in spawned work.
    pub panics: PanicMetrics,
    /// Spawns tasks.
    pub tracker: TaskTracker,
    /// Cancelled at shutdown, which ends watches.
    pub shutdown: CancellationToken,
}

// === impl Process ===

impl Process {
    /// Spawns the sender of a stream. It runs until it is done or the process shuts down; if it panics, the stream ends
    /// with INTERNAL.
    pub(super) fn feed<T: Send + 'static>(
        &self,
        events: mpsc::Sender<Result<T, Status>>,
        feed: impl Future<Output = ()> + Send + 'static,
    ) {
        let process = self.clone();
        self.tracker.spawn(async move {
            let fed = process.panics.caught(PanicPart::Admin, feed);
            let Some(fed) = process.shutdown.run_until_cancelled(fed).await else {
                // A slow reader learns of the end from the connection.
                events
                    .try_send(Err(Status::unavailable("the server is shutting down")))
                    .ok();
                return;
            };
            if fed.is_none() {
                error!("the sender of a stream panicked: the stream ends");
                let told = events.send(Err(Status::internal(
                    "the server failed at this stream: its log says how",
                )));
                process.shutdown.run_until_cancelled(told).await;
            }
        });
    }

    /// The status of a call whose spawned work panicked or was cancelled.
    pub(super) fn broken(&self, work: &JoinError) -> Status {
        if work.is_panic() {
            self.panics.count(PanicPart::Admin);
        }
        status::of_join(work)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn dies() {
        panic!("of nothing in particular");
    }

    fn process() -> Process {
        Process {
            readiness: Readiness::default(),
            panics: PanicMetrics::default(),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn stream_whose_feed_panics_ends_with_internal() {
        let process = process();
        let (events, mut stream) = mpsc::channel(1);
        let said = events.clone();
        process.feed(events, async move {
            said.send(Ok(1_u8)).await.ok();
            dies();
        });
        assert_eq!(stream.recv().await.unwrap().unwrap(), 1);
        assert_eq!(stream.recv().await.unwrap().unwrap_err().code(), Code::Internal);
        assert!(stream.recv().await.is_none());
        assert_eq!(process.panics.of(PanicPart::Admin), 1);
    }

    #[tokio::test]
    async fn stream_ends_with_the_process() {
        let process = process();
        let (events, mut stream) = mpsc::channel::<Result<u8, Status>>(1);
        process.feed(events, std::future::pending());
        process.shutdown.cancel();
        assert_eq!(stream.recv().await.unwrap().unwrap_err().code(), Code::Unavailable);
        assert!(stream.recv().await.is_none());
    }

    #[tokio::test]
    async fn work_that_panics_is_counted() {
        let process = process();
        let work = process.tracker.spawn_blocking(dies);
        let status = process.broken(&work.await.unwrap_err());
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(process.panics.of(PanicPart::Admin), 1);
    }
}
