//! What every connected node has: per stream and type, what is subscribed, sent, ACKed and NACKed, in the node's own
//! words.
//!
//! Streams write through a [`StreamGuard`]; the admin API reads owned [`NodeStatus`] values. A node is forgotten some time
//! after its last stream ended. Bounded: see [`Limits`].

mod moment;
mod record;
mod refusals;
mod row;
mod status;
mod stream;
mod verdict;

use std::{
    collections::{BTreeMap, BinaryHeap},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use dashmap::DashMap;
use tokio::sync::watch;

pub use self::moment::Moment;
pub use self::status::{
    ClusterLoad, DeliveryStatus, LoadReport, NackStatus, NodeStatus, StreamStatus, TypeState, TypeStatus, Unanswered,
};
pub use self::verdict::{NodeOutcome, Refusal, Verdict};
use self::{
    record::{ChangeMark, NodeRecord},
    stream::{StreamRecord, Trouble},
};
use crate::{
    connection::Pace,
    metrics::{self, ServingMetrics},
    node::{Node, NodeGroup, NodeId},
    protocol::{Delivery, Outcome, Variant},
    resource::ResourceType,
    snapshot::Revision,
};

/// What part of full books is freed at once.
const SPARE: usize = 64;

/// Bounds of the books.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes remembered at once, connected or not. Connected ones are bounded by the streams that are let in; beyond this
    /// number the longest gone are forgotten first.
    pub nodes: usize,
    /// Bytes kept of a NACK's message: Envoy's are some hundred, a hostile client's are not.
    pub nack_message_bytes: usize,
    /// Clusters kept of a load report, the busiest: what a person looks at, not a time series.
    pub load_clusters: usize,
    /// How long a node is remembered after its last stream ended.
    pub forget_after: Duration,
    /// How long a response may go unanswered before it is named: longer than Envoy's `initial_fetch_timeout` of 15 s, for
    /// which a warming cluster withholds its ACK.
    pub unanswered_after: Duration,
}

/// The nodes, connected and recently gone.
#[derive(Debug)]
pub struct Fleet {
    limits: Limits,
    nodes: DashMap<NodeId, NodeRecord>,
    next_stream: AtomicU64,
    open_streams: AtomicUsize,
    /// Numbers the changes of nodes; what changes on a stream is counted by its own record.
    changes: AtomicU64,
    /// Wakes the watches.
    news: watch::Sender<()>,
    metrics: Arc<ServingMetrics>,
}

/// How many nodes stand how, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Nodes with a stream.
    pub connected: usize,
    /// Nodes that are remembered.
    pub gone: usize,
    /// Connected nodes that refuse something of some type.
    pub refusing: usize,
    /// Connected nodes that have not answered for longer than [`Limits::unanswered_after`].
    pub unanswered: usize,
    /// Connected nodes that asked again over REST with an earlier version than they were sent: rejected, or not yet applied.
    pub unconfirmed: usize,
}

/// How a stream carries state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A stream of messages over gRPC.
    Grpc(Variant),
    /// One request after the other over REST: not a stream, but asked for by one node again and again (H).
    Rest,
}

/// How a stream is served.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Whether its client takes in what it is sent; `None` where nobody looks.
    pub pace: Option<Arc<Pace>>,
    /// SotW, delta or REST.
    pub protocol: Protocol,
    /// ADS, or a service of one type.
    pub aggregated: bool,
    /// The peer's address, as text for people.
    pub peer: String,
}

/// What a node can be chosen by, besides its id.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Its group.
    pub group: &'a NodeGroup,
    /// Whether a stream of it is open.
    pub connected: bool,
}

/// One open stream's entry in the books; dropping it takes the stream out.
#[derive(Debug)]
pub struct StreamGuard {
    fleet: Arc<Fleet>,
    node: NodeId,
    record: Arc<StreamRecord>,
}

/// Reads what changed since it last looked.
#[derive(Debug)]
pub struct FleetWatch {
    fleet: Arc<Fleet>,
    news: watch::Receiver<()>,
    /// The nodes handed out and not yet reported as forgotten, each as of which change.
    known: BTreeMap<NodeId, ChangeMark>,
    group: Option<NodeGroup>,
}

/// What a [`FleetWatch`] hands out.
#[derive(Clone, Debug)]
pub enum FleetChange {
    /// The node as it is now.
    Node(Box<NodeStatus>),
    /// The node is no longer remembered.
    Forgotten(NodeId),
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 100_000,
            nack_message_bytes: 4096,
            load_clusters: 50,
            forget_after: Duration::from_secs(600),
            unanswered_after: Duration::from_secs(30),
        }
    }
}

// === impl Protocol ===

impl From<Protocol> for metrics::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Grpc(Variant::Sotw) => Self::Sotw,
            Protocol::Grpc(Variant::Delta) => Self::Delta,
            Protocol::Rest => Self::Rest,
        }
    }
}

// === impl Fleet ===

impl Fleet {
    /// Empty books. What is entered is counted in `metrics`.
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

    /// Enters a stream whose first request named `node`.
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

    /// One node; `None` where it is neither connected nor remembered.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<NodeStatus> {
        self.nodes.get(id).map(|record| record.status(id))
    }

    /// How many streams of the node are open.
    #[must_use]
    pub fn streams_of(&self, id: &NodeId) -> usize {
        self.nodes.get(id).map_or(0, |record| record.open_streams())
    }

    /// Every node, sorted by id; of one group where given.
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

    /// The first nodes behind an id, sorted, that are wanted by their id and record; whether there are more. Costs a look at every
    /// node, and memory for those of the page alone.
    #[must_use]
    pub fn page(
        &self,
        after: Option<&str>,
        most: usize,
        wanted: impl Fn(&NodeId, Standing<'_>) -> bool,
    ) -> (Vec<NodeStatus>, bool) {
        // The greatest on top, to give way to a smaller one.
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
        // A node that went meanwhile is left out.
        (ids.iter().filter_map(|id| self.node(id)).collect(), more)
    }

    /// What the nodes made of each revision, sorted by id; those of one group where given. `current` is the one of them that
    /// all are brought to. A node that was never up to a revision is not listed with it.
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

    /// How many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open_streams.load(Ordering::Relaxed)
    }

    /// How many nodes stand how. Looks at every stream.
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
                owes,
                unconfirmed,
            } = record.trouble(now);
            census.connected += 1;
            census.refusing += usize::from(refuses);
            census.unanswered += usize::from(owes);
            census.unconfirmed += usize::from(unconfirmed);
        }
        census
    }

    /// How many nodes are connected or remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node is connected or remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Enters a load report. One of a node that has no xDS stream, and had none lately, is not kept.
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

    /// Watches the nodes, of one group where given. The first [`FleetWatch::changes`] hands out all of them.
    #[must_use]
    pub fn watch(self: &Arc<Self>, group: Option<NodeGroup>) -> FleetWatch {
        FleetWatch {
            fleet: Arc::clone(self),
            news: self.news.subscribe(),
            known: BTreeMap::new(),
            group,
        }
    }

    /// Forgets the nodes that are gone longest where the books are full: as many as there are too many, and some more,
    /// since finding them looks at every node.
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

    /// Numbers a change of a node.
    fn tick(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Wakes the watches; called after the change can be read.
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

    /// Enters what happened now.
    pub fn record(&self, outcome: &Outcome) {
        self.record_at(outcome, Moment::now());
    }

    /// Enters what happened at this moment. Touches this stream's record only.
    pub fn record_at(&self, outcome: &Outcome, now: Moment) {
        self.record.enter(outcome, now, &self.fleet.metrics);
        self.fleet.wake();
    }

    /// What the response just sent came to.
    pub fn count_bytes(&self, kind: &ResourceType, bytes: usize) {
        self.fleet.metrics.weighed(self.record.protocol(), kind.into(), bytes);
    }

    /// Enters that the response just sent was larger than many clients take (L-13).
    pub fn record_large(&self, delivery: &Delivery, bytes: usize) {
        self.record.enter_large(delivery, bytes);
        self.fleet.wake();
    }

    /// Enters that the node came back with an earlier version than it was sent, without a word of why: over REST it cannot
    /// say more (H-4).
    pub fn record_unconfirmed(&self, delivery: &Delivery) {
        self.record.enter_unconfirmed(delivery, SystemTime::now());
        self.fleet.wake();
    }

    /// Enters that the node was heard of, and nothing else happened.
    pub fn record_heard(&self) {
        self.record.enter_heard(SystemTime::now());
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
    /// What changed since the last call, each node once, as it is now.
    pub fn changes(&mut self) -> Vec<FleetChange> {
        self.news.mark_unchanged();
        let mut found = Vec::new();
        let mut present: BTreeMap<NodeId, ChangeMark> = BTreeMap::new();
        for entry in &self.fleet.nodes {
            let (id, record) = entry.pair();
            if self.group.as_ref().is_some_and(|group| record.group() != group) {
                continue;
            }
            // Before the status is read: what changes in between is handed out once more.
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

    /// Waits until something changed since the last [`FleetWatch::changes`]. Never returns once the fleet is gone.
    pub async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
