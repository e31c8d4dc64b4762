//! Vital tasks: if one dies, the process shuts down in order, and its supervisor starts it again.

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

use crate::metrics::{PanicMetrics, PanicPart};

/// Spawns vital tasks.
#[derive(Clone, Debug)]
pub(super) struct Vital {
    pub(super) tracker: TaskTracker,
    pub(super) panics: PanicMetrics,
    /// Cancelled once a task died.
    pub(super) failed: CancellationToken,
}

// === impl Vital ===

impl Vital {
    /// Runs a task to its end or its panic.
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

    /// Reports that a vital task died.
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
