//! The record of a running fleet: totals, and the times at which each commit reached its first, median and last node.
//!
//! A commit is a version: publishers number them 1, 2, 3 …. A node that receives version 9 after version 5 has then
//! received commits 6 to 9.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use super::{Behaviour, NodePlan, parser::Received};

/// Number of failures that are recorded.
const FAILURES: usize = 20;

/// The record that all nodes of a fleet share.
#[derive(Debug, Default)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    totals: Totals,
    /// Commit `n` is at index `n - first`.
    commits: Vec<Commit>,
    first_commit: u64,
    failures: Vec<String>,
}

/// Sums over the fleet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Healthy nodes, which are the ones that count for commits.
    pub(crate) nodes: usize,
    /// Healthy nodes that have received all expected resources.
    pub(crate) synced: usize,
    /// Responses received.
    pub(crate) pushes: u64,
    pub(crate) resources: u64,
    pub(crate) bytes: u64,
    /// Responses with a version that the same node had refused.
    pub(crate) resent: u64,
    /// Commits that have reached every healthy node, without a gap.
    pub(crate) delivered: u64,
    /// Streams that the server has ended.
    pub(crate) ended: usize,
}

/// One publish, and its times of arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    /// The time at which the publish was due.
    pub(crate) begun: Instant,
    /// The time from then until the publish was answered.
    pub(crate) answered: Option<Duration>,
    /// Number of nodes that have received the commit.
    arrived: usize,
    pub(crate) first: Option<Duration>,
    pub(crate) median: Option<Duration>,
    pub(crate) last: Option<Duration>,
}

// === impl Board ===

impl Board {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expect_nodes(&self, plans: &[NodePlan]) {
        self.lock().totals.nodes += plans.iter().filter(|plan| plan.counts()).count();
    }

    /// Records that commit `version` begins now. Versions increase by one; the first may be any.
    pub(crate) fn begin(&self, version: u64, begun: Instant) {
        let mut inner = self.lock();
        if inner.commits.is_empty() {
            inner.first_commit = version;
        }
        inner.commits.push(Commit {
            begun,
            answered: None,
            arrived: 0,
            first: None,
            median: None,
            last: None,
        });
    }

    /// Records that commit `version` was answered now.
    pub(crate) fn answered(&self, version: u64) {
        let mut inner = self.lock();
        let index = usize::try_from(version - inner.first_commit).expect("commits fit into memory");
        if let Some(commit) = inner.commits.get_mut(index) {
            commit.answered = Some(commit.begun.elapsed());
        }
    }

    /// Returns the commits so far, and starts with an empty list.
    pub(crate) fn take_commits(&self) -> Vec<Commit> {
        let mut inner = self.lock();
        inner.totals.delivered = 0;
        mem::take(&mut inner.commits)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.lock().totals
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.lock().failures.clone()
    }

    /// Returns once `done`.
    pub(crate) async fn wait(&self, done: impl Fn(&Totals) -> bool) {
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.lock();
                if done(&inner.totals) || !inner.failures.is_empty() {
                    return;
                }
            }
            // Some counts change without a notification, so they are checked now and then.
            tokio::select! {
                () = changed => {}
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    pub(super) fn failed(&self, failure: String) {
        let mut inner = self.lock();
        if inner.failures.len() < FAILURES {
            inner.failures.push(failure);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    pub(super) fn ended(&self) {
        self.lock().totals.ended += 1;
        self.changed.notify_waiters();
    }

    pub(super) fn synced(&self) {
        let mut inner = self.lock();
        inner.totals.synced += 1;
        let all = inner.totals.synced >= inner.totals.nodes;
        drop(inner);
        if all {
            self.changed.notify_waiters();
        }
    }

    /// Records a response. `step` has the commits before and after it, if the node counts.
    pub(super) fn received(&self, message: &Received, resent: bool, step: Option<(u64, u64)>) {
        let mut inner = self.lock();
        inner.totals.pushes += 1;
        inner.totals.resources += message.resources as u64;
        inner.totals.bytes += message.bytes as u64;
        inner.totals.resent += u64::from(resent);
        let complete = step.is_some_and(|(before, now)| inner.arrive(before, now));
        drop(inner);
        if complete {
            self.changed.notify_waiters();
        }
    }
}

impl Inner {
    /// Records that one more node has commits `before + 1` to `now`. Returns true if this completes one of them.
    fn arrive(&mut self, before: u64, now: u64) -> bool {
        let nodes = self.totals.nodes;
        let mut complete = false;
        let from = before.saturating_add(1).max(self.first_commit);
        for version in from..=now {
            let index = usize::try_from(version - self.first_commit).expect("commits fit into memory");
            let Some(commit) = self.commits.get_mut(index) else {
                return complete;
            };
            commit.arrived += 1;
            let elapsed = commit.begun.elapsed();
            if commit.arrived == 1 {
                commit.first = Some(elapsed);
            }
            if commit.arrived == nodes.div_ceil(2) {
                commit.median = Some(elapsed);
            }
            if commit.arrived == nodes {
                commit.last = Some(elapsed);
                self.totals.delivered += 1;
                complete = true;
            }
        }
        complete
    }
}

impl NodePlan {
    /// Returns true if the fleet waits for the node.
    pub(super) fn counts(&self) -> bool {
        self.behaviour == Behaviour::Healthy
    }
}
