//! Lanes for work that would hold a runtime thread for too long, such as a request with hundreds of thousands of names.
//! Few run at once, so that other streams and the probes are served meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};

use tokio::runtime::{Handle, RuntimeFlavor};

/// Size in bytes from which a request runs in a lane: some ten thousand names.
pub(super) const LARGE: usize = 256 * 1024;

/// The pause before another look for a free lane.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// The limit of long work that runs at once.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// One lane, taken until it is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    taken: Arc<AtomicUsize>,
}

// === impl Lanes ===

impl Lanes {
    /// So many lanes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
        }
    }

    /// Takes a lane if one is free.
    pub(super) fn enter(&self) -> Option<Lane> {
        let add = |taken: usize| (taken < self.most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        taken.is_ok().then(|| Lane {
            taken: Arc::clone(&self.taken),
        })
    }

    /// Takes a lane once one is free.
    pub(super) async fn wait(&self) -> Lane {
        loop {
            if let Some(lane) = self.enter() {
                return lane;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Default for Lanes {
    /// One less than there are processors, so that one is free for short work such as probes.
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self::new(processors.saturating_sub(1).max(1))
    }
}

// === impl Lane ===

impl Lane {
    /// Runs long work. The runtime moves the other tasks of this thread to another thread, except in the tests'
    /// runtime, which has only one.
    pub(super) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
        if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
            tokio::task::block_in_place(work)
        } else {
            work()
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    #[test]
    fn as_much_runs_at_once_as_there_are_lanes() {
        let lanes = Lanes::new(2);
        let (one, two) = (lanes.enter().unwrap(), lanes.enter().unwrap());
        assert!(lanes.enter().is_none());
        two.run(|| assert!(lanes.enter().is_none()));
        assert_eq!(lanes.enter().unwrap().run(|| 7), 7);
        drop(one);
        assert_eq!(lanes.taken.load(Ordering::Acquire), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_go_on_while_one_takes_long() {
        let (go_on, wait) = std::sync::mpsc::channel();
        let lanes = Lanes::new(1);
        // If the work held the runtime's only thread, the second task would never run.
        let tracker = TaskTracker::new();
        let long = tracker.spawn(async move { lanes.enter().unwrap().run(|| wait.recv().unwrap()) });
        let other = tracker.spawn(async move { go_on.send(1).unwrap() });
        assert_eq!(long.await.unwrap(), 1);
        other.await.unwrap();
    }
}
