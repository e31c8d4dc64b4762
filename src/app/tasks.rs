//! Tasks without which the process is not what it seems: where one dies, the process ends in order, and whoever runs it starts it
//! again.

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

use crate::metrics::{PanicMetrics, PanicPart};

/// The place where such tasks are spawned.
#[derive(Clone, Debug)]
pub(super) struct Vital {
    pub(super) tracker: TaskTracker,
    pub(super) panics: PanicMetrics,
    /// Told once one died.
    pub(super) failed: CancellationToken,
}

// === impl Vital ===

impl Vital {
    /// Runs the task to its end, be it a panic.
    pub(super) fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<()>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let vital = self.clone();
        self.tracker.spawn(async move {
            if vital.panics.caught(PanicPart::Task, task).await.is_none() {
                vital.fail(name);
            }
        })
    }

    /// Something that the process needs is there no longer.
    pub(super) fn fail(&self, name: &'static str) {
        error!(task = name, "a task died that the process needs: the process ends");
        self.failed.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dies() {
        panic!("of nothing in particular");
    }

    #[tokio::test]
    async fn task_that_dies_ends_the_process_and_one_that_ends_does_not() {
        let vital = Vital {
            tracker: TaskTracker::new(),
            panics: PanicMetrics::default(),
            failed: CancellationToken::new(),
        };
        vital.spawn("ends", async {}).await.unwrap();
        assert!(!vital.failed.is_cancelled());
        vital.spawn("dies", async { dies() }).await.unwrap();
        assert!(vital.failed.is_cancelled());
        assert_eq!(vital.panics.of(PanicPart::Task), 1);
    }
}
