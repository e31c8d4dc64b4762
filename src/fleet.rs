//! The status of every node: per stream and type, the subscription, what was sent, ACKed and NACKed, and why.
//!
//! Streams write through a [`StreamGuard`]; the admin API reads owned [`NodeStatus`] values. A node is forgotten
//! [`Limits::forget_after`] after the end of its last stream. All records are bounded: see [`Limits`].

mod info;
mod limits;
mod moment;
mod record;
mod refusals;
mod row;
mod status;
mod stream;
mod verdict;
mod words;

use std::{
    collections::{BTreeMap, BinaryHeap},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use dashmap::DashMap;
use tokio::sync::watch;

pub use self::{
    info::{Protocol, StreamInfo},
    limits::Limits,
    moment::Moment,
    status::{
        ClusterLoad, DeliveryStatus, LoadReport, NackStatus, NodeStatus, StreamStatus, TypeState, TypeStatus,
        Unanswered,
    },
    verdict::{NodeOutcome, Refusal, Verdict},
};
use self::{
    record::{ChangeMark, NodeRecord},
    stream::{StreamRecord, Trouble},
};
use crate::{
    metrics::ServingMetrics,
    node::{Node, NodeGroup, NodeId},
    protocol::{Delivery, Outcome},
    resource::ResourceType,
    snapshot::Revision,
};

/// The divisor for the part of the records that is freed at once when they are full.
const SPARE: usize = 64;

/// The nodes that are connected, and those that left recently.
#[derive(Debug)]
pub struct Fleet {
    limits: Limits,
    nodes: DashMap<NodeId, NodeRecord>,
    next_stream: AtomicU64,
    open_streams: AtomicUsize,
    /// Counts the changes of nodes. A stream's record counts its own changes.
    changes: AtomicU64,
    /// Wakes the watches.
    news: watch::Sender<()>,
    metrics: Arc<ServingMetrics>,
}

/// The numbers of nodes by status, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Nodes with an open stream.
    pub connected: usize,
    /// Nodes without an open stream that are still remembered.
    pub gone: usize,
    /// Connected nodes that refuse resources of some type.
    pub refusing: usize,
    /// Connected nodes with a response unanswered for longer than [`Limits::unanswered_after`].
    pub unanswered: usize,
    /// Connected nodes that polled over REST with an earlier version than they were sent: rejected, or not yet applied.
    pub unconfirmed: usize,
}

/// The properties by which nodes are selected, besides the id.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The node's group.
    pub group: &'a NodeGroup,
    /// True if a stream of the node is open.
    pub connected: bool,
}

/// The record of one open stream. Dropping the guard ends the record.
#[derive(Debug)]
pub struct StreamGuard {
    fleet: Arc<Fleet>,
    node: NodeId,
    record: Arc<StreamRecord>,
}

/// Reads the changes since its last look.
#[derive(Debug)]
pub struct FleetWatch {
    fleet: Arc<Fleet>,
    news: watch::Receiver<()>,
    /// The nodes that were returned and not yet reported as forgotten, with the change mark of each.
    known: BTreeMap<NodeId, ChangeMark>,
    group: Option<NodeGroup>,
}

/// A change that a [`FleetWatch`] returns.
#[derive(Clone, Debug)]
pub enum FleetChange {
    /// The node's current status.
    Node(Box<NodeStatus>),
    /// The node is no longer remembered.
    Forgotten(NodeId),
}

// === impl Fleet ===

impl Fleet {
    /// A fleet without nodes. `metrics` counts what is recorded.
    #[must_use]
    pub fn new(limits: Limits, metrics: Arc<ServingMetrics>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            nodes: DashMap::new(),
            next_stream: AtomicU64::new(1),
            open_streams: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            news: watch::Sender::new(()),
            metrics,
        })
    }

    /// Records a stream whose first request named `node`.
    #[must_use]
    pub fn open_stream(self: &Arc<Self>, node: &Node, group: &NodeGroup, info: StreamInfo) -> StreamGuard {
        let now = SystemTime::now();
        if !self.nodes.contains_key(&node.id) {
            self.make_room();
        }
        let id = self.next_stream.fetch_add(1, Ordering::Relaxed);
        self.metrics.opened(info.protocol.into());
        let record = Arc::new(StreamRecord::new(id, info, now, self.limits));
        self.open_streams.fetch_add(1, Ordering::Relaxed);
        self.nodes
            .entry(node.id.clone())
            .or_insert_with(|| NodeRecord::new(node, group, now))
            .open(node, group, Arc::clone(&record), self.tick());
        self.wake();
        StreamGuard {
            fleet: Arc::clone(self),
            node: node.id.clone(),
            record,
        }
    }

    /// The status of one node; `None` if it is neither connected nor remembered.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<NodeStatus> {
        self.nodes.get(id).map(|record| record.status(id))
    }

    /// The number of the node's open streams.
    #[must_use]
    pub fn streams_of(&self, id: &NodeId) -> usize {
        self.nodes.get(id).map_or(0, |record| record.open_streams())
    }

    /// The status of every node, or of every node of `group`, sorted by id.
    #[must_use]
    pub fn nodes(&self, group: Option<&NodeGroup>) -> Vec<NodeStatus> {
        let mut all: Vec<NodeStatus> = self
            .nodes
            .iter()
            .filter(|entry| group.is_none_or(|group| entry.value().group() == group))
            .map(|entry| entry.value().status(entry.key()))
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The first `most` nodes after the id `after` that `wanted` accepts, sorted by id, and true if there are more.
    /// Looks at every node, and allocates only for the returned ones.
    #[must_use]
    pub fn page(
        &self,
        after: Option<&str>,
        most: usize,
        wanted: impl Fn(&NodeId, Standing<'_>) -> bool,
    ) -> (Vec<NodeStatus>, bool) {
        // A heap of the smallest ids: its top, the greatest, gives way to a smaller one.
        let mut first = BinaryHeap::with_capacity(most.min(self.nodes.len()) + 1);
        let mut more = false;
        for entry in &self.nodes {
            let (id, record) = entry.pair();
            let standing = Standing {
                group: record.group(),
                connected: record.gone_since().is_none(),
            };
            if after.is_some_and(|after| id.as_str() <= after) || !wanted(id, standing) {
                continue;
            }
            first.push(id.clone());
            if first.len() > most {
                more = true;
                first.pop();
            }
        }
        let ids = first.into_sorted_vec();
        // A node that was forgotten in between is left out.
        (ids.iter().filter_map(|id| self.node(id)).collect(), more)
    }

    /// The verdict of the nodes on each revision, sorted by id; only nodes of `group` if given. `current` is the
    /// revision that all nodes are advanced to. A node that was never advanced to a revision has no verdict on it.
    #[must_use]
    pub fn outcomes(
        &self,
        group: Option<&NodeGroup>,
        revisions: &[Revision],
        current: Option<Revision>,
    ) -> Vec<Vec<NodeOutcome>> {
        let mut outcomes: Vec<Vec<NodeOutcome>> = vec![Vec::new(); revisions.len()];
        for entry in &self.nodes {
            let (id, record) = entry.pair();
            if group.is_some_and(|group| record.group() != group) {
                continue;
            }
            for (list, verdict) in outcomes.iter_mut().zip(record.verdicts(revisions, current)) {
                list.extend(verdict.map(|verdict| NodeOutcome {
                    node: id.clone(),
                    connected: record.gone_since().is_none(),
                    verdict,
                }));
            }
        }
        for list in &mut outcomes {
            list.sort_by(|a, b| a.node.cmp(&b.node));
        }
        outcomes
    }

    /// The number of open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open_streams.load(Ordering::Relaxed)
    }

    /// Counts nodes by status. Looks at every stream.
    #[must_use]
    pub fn census(&self, now: Instant) -> Census {
        let mut census = Census::default();
        for record in &self.nodes {
            if record.gone_since().is_some() {
                census.gone += 1;
                continue;
            }
            let Trouble {
                refuses,
                unanswered,
                unconfirmed,
            } = record.trouble(now);
            census.connected += 1;
            census.refusing += usize::from(refuses);
            census.unanswered += usize::from(unanswered);
            census.unconfirmed += usize::from(unconfirmed);
        }
        census
    }

    /// The number of nodes that are connected or remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns true if no node is connected or remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Records a load report. It is dropped if the node is neither connected nor remembered.
    pub fn record_load(&self, node: &NodeId, clusters: Vec<ClusterLoad>) {
        if let Some(mut record) = self.nodes.get_mut(node) {
            record.load(clusters, self.limits.load_clusters, SystemTime::now(), self.tick());
        }
        self.metrics.reported();
        self.wake();
    }

    /// Forgets the nodes whose last stream ended [`Limits::forget_after`] before `now`.
    pub fn expire(&self, now: Instant) {
        let before = self.nodes.len();
        self.nodes.retain(|_, record| {
            let gone_for = record.gone_since().map(|since| now.saturating_duration_since(since));
            gone_for.is_none_or(|gone| gone < self.limits.forget_after)
        });
        if self.nodes.len() != before {
            self.wake();
        }
    }

    /// Watches the nodes, or those of `group`. The first [`FleetWatch::changes`] returns all of them.
    #[must_use]
    pub fn watch(self: &Arc<Self>, group: Option<NodeGroup>) -> FleetWatch {
        FleetWatch {
            fleet: Arc::clone(self),
            news: self.news.subscribe(),
            known: BTreeMap::new(),
            group,
        }
    }

    /// If the records are full, forgets the nodes that left first, and some more than needed: the search is costly.
    fn make_room(&self) {
        let most = self.limits.nodes;
        let nodes = self.nodes.len();
        if nodes < most {
            return;
        }
        let mut gone: Vec<(Instant, NodeId)> = self
            .nodes
            .iter()
            .filter_map(|entry| entry.value().gone_since().map(|since| (since, entry.key().clone())))
            .collect();
        let surplus = nodes - most + 1 + most / SPARE;
        if surplus < gone.len() {
            gone.select_nth_unstable(surplus - 1);
            gone.truncate(surplus);
        }
        for (_, id) in gone {
            self.nodes.remove_if(&id, |_, record| record.gone_since().is_some());
        }
    }

    /// The number of the next change.
    fn tick(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Wakes the watches. Called once readers can see the change.
    fn wake(&self) {
        if self.news.receiver_count() > 0 {
            self.news.send_replace(());
        }
    }
}

// === impl StreamGuard ===

impl StreamGuard {
    /// The stream's number, for logs.
    #[must_use]
    pub fn stream_id(&self) -> u64 {
        self.record.id()
    }

    /// Records an outcome that happened now.
    pub fn record(&self, outcome: &Outcome) {
        self.record_at(outcome, Moment::now());
    }

    /// Records an outcome that happened at `now`. Locks the record of this stream only.
    pub fn record_at(&self, outcome: &Outcome, now: Moment) {
        self.record.record(outcome, now, &self.fleet.metrics);
        self.fleet.wake();
    }

    /// Counts the bytes of the response that was just sent.
    pub fn count_bytes(&self, kind: &ResourceType, bytes: usize) {
        self.fleet.metrics.weighed(self.record.protocol(), kind.into(), bytes);
    }

    /// Records that the response just sent was larger than many clients accept (L-13).
    pub fn record_large(&self, delivery: &Delivery, bytes: usize) {
        self.record.record_large(delivery, bytes);
        self.fleet.wake();
    }

    /// Records that the node polled over REST with an earlier version than it was sent, without an error detail (H-4).
    pub fn record_unconfirmed(&self, delivery: &Delivery) {
        self.record.record_unconfirmed(delivery, SystemTime::now());
        self.fleet.wake();
    }

    /// Records that a request of the node arrived, without another change.
    pub fn record_heard(&self) {
        self.record.record_heard(SystemTime::now());
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.fleet.open_streams.fetch_sub(1, Ordering::Relaxed);
        self.fleet.metrics.closed(self.record.protocol());
        if let Some(mut node) = self.fleet.nodes.get_mut(&self.node) {
            node.close(&self.record, Moment::now(), self.fleet.tick());
        }
        self.fleet.wake();
    }
}

// === impl FleetWatch ===

impl FleetWatch {
    /// The changes since the last call: each changed node once, with its current status.
    pub fn changes(&mut self) -> Vec<FleetChange> {
        self.news.mark_unchanged();
        let mut found = Vec::new();
        let mut present: BTreeMap<NodeId, ChangeMark> = BTreeMap::new();
        for entry in &self.fleet.nodes {
            let (id, record) = entry.pair();
            if self.group.as_ref().is_some_and(|group| record.group() != group) {
                continue;
            }
            // Read before the status, so that a change in between is returned again.
            let mark = record.changed_at();
            present.insert(id.clone(), mark);
            if self.known.get(id) != Some(&mark) {
                found.push(FleetChange::Node(Box::new(record.status(id))));
            }
        }
        let gone = self.known.keys().filter(|id| !present.contains_key(*id));
        found.extend(gone.cloned().map(FleetChange::Forgotten));
        self.known = present;
        found
    }

    /// Waits for a change since the last [`FleetWatch::changes`]. Never returns once the fleet is dropped.
    pub async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
