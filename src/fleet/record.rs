//! The fleet's record of a node: the state of its open streams together, and the last state of its ended streams.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    ClusterLoad, LoadReport, Moment, NodeStatus, StreamStatus, TypeStatus, Verdict,
    stream::{StreamRecord, Trouble},
    verdict::{self, StreamVerdicts, Verdicts},
};
use crate::{
    node::{Node, NodeGroup, NodeId},
    protocol::Subscription,
    resource::ResourceType,
    snapshot::Revision,
    text::cut,
};

/// Bytes kept of each name in a load report; real names are shorter.
const LOAD_NAME_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct NodeRecord {
    cluster: String,
    group: NodeGroup,
    user_agent: String,
    last_seen: SystemTime,
    /// The end of the last stream that ended; `None` before the first end.
    ended: Option<Instant>,
    streams: Vec<Arc<StreamRecord>>,
    /// The rows of the last stream, as of its end.
    left: Vec<TypeStatus>,
    /// The verdicts of ended streams on the newest revisions.
    verdicts: Verdicts,
    load: Option<Arc<LoadReport>>,
    changed: u64,
}

/// A mark that differs before and after any change of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeMark {
    /// The number of the node's last own change. A stream that opens or ends is a change of the node.
    node: u64,
    /// The number of changes on all its streams.
    streams: u64,
}

// === impl NodeRecord ===

impl NodeRecord {
    pub(super) fn new(node: &Node, group: &NodeGroup, now: SystemTime) -> Self {
        Self {
            cluster: node.cluster.clone(),
            group: group.clone(),
            user_agent: node.user_agent.clone(),
            last_seen: now,
            ended: None,
            streams: Vec::new(),
            left: Vec::new(),
            verdicts: Verdicts::default(),
            load: None,
            changed: 0,
        }
    }

    /// Adds a stream. At a reconnect it overlaps the old one (L-9): both are kept, the newer sets the node's
    /// properties.
    pub(super) fn open(&mut self, node: &Node, group: &NodeGroup, stream: Arc<StreamRecord>, change: u64) {
        self.cluster.clone_from(&node.cluster);
        self.group = group.clone();
        self.user_agent.clone_from(&node.user_agent);
        self.last_seen = stream.opened();
        self.changed = change;
        self.streams.push(stream);
    }

    pub(super) fn close(&mut self, stream: &Arc<StreamRecord>, now: Moment, change: u64) {
        self.streams.retain(|open| open.id() != stream.id());
        self.last_seen = now.wall;
        self.ended = Some(now.steady);
        self.changed = change;
        self.verdicts.merge(stream.verdicts().verdicts);
        if self.streams.is_empty() {
            self.left = stream.status().types;
            for row in &mut self.left {
                // Nobody will answer, and the list of names need not be kept.
                row.unanswered = None;
                row.subscription = Subscription::default();
            }
        }
    }

    /// Keeps the `most` busiest clusters of a report.
    pub(super) fn load(&mut self, mut clusters: Vec<ClusterLoad>, most: usize, now: SystemTime, change: u64) {
        clusters.sort_by(|a, b| b.issued.cmp(&a.issued).then_with(|| a.cluster.cmp(&b.cluster)));
        let omitted = clusters.len().saturating_sub(most);
        clusters.truncate(most);
        for cluster in &mut clusters {
            cluster.cluster = cut(&cluster.cluster, LOAD_NAME_BYTES);
            cluster.service = cut(&cluster.service, LOAD_NAME_BYTES);
        }
        self.load = Some(Arc::new(LoadReport {
            time: now,
            clusters,
            omitted,
            total: self.load.as_ref().map_or(0, |last| last.total) + 1,
        }));
        self.changed = change;
    }

    pub(super) const fn open_streams(&self) -> usize {
        self.streams.len()
    }

    pub(super) const fn group(&self) -> &NodeGroup {
        &self.group
    }

    /// The end of the last stream; `None` while a stream is open.
    pub(super) fn gone_since(&self) -> Option<Instant> {
        self.ended.filter(|_| self.streams.is_empty())
    }

    /// The node's verdict on each revision. `current` is the revision that all nodes are advanced to.
    pub(super) fn verdicts(&self, revisions: &[Revision], current: Option<Revision>) -> Vec<Option<Verdict>> {
        let streams: Vec<StreamVerdicts> = self.streams.iter().map(|stream| stream.verdicts()).collect();
        let of =
            |revision: &Revision| verdict::of_node(&self.verdicts, &streams, *revision, current == Some(*revision));
        revisions.iter().map(of).collect()
    }

    /// The problems of the node on any of its streams.
    pub(super) fn trouble(&self, now: Instant) -> Trouble {
        let mut all = Trouble::default();
        for stream in &self.streams {
            let Trouble {
                refuses,
                unanswered,
                unconfirmed,
            } = stream.trouble(now);
            all.refuses |= refuses;
            all.unanswered |= unanswered;
            all.unconfirmed |= unconfirmed;
        }
        all
    }

    pub(super) fn changed_at(&self) -> ChangeMark {
        let streams = self.streams.iter().map(|stream| stream.changes());
        ChangeMark {
            node: self.changed,
            streams: streams.sum(),
        }
    }

    pub(super) fn status(&self, id: &NodeId) -> NodeStatus {
        let streams: Vec<StreamStatus> = self.streams.iter().map(|stream| stream.status()).collect();
        let heard = self.streams.iter().filter_map(|stream| stream.heard()).max();
        NodeStatus {
            id: id.clone(),
            cluster: self.cluster.clone(),
            group: self.group.clone(),
            user_agent: self.user_agent.clone(),
            last_seen: heard.unwrap_or(self.last_seen).max(self.last_seen),
            types: if streams.is_empty() {
                self.left.clone()
            } else {
                over_all(&streams)
            },
            load: self.load.clone(),
            streams,
        }
    }
}

/// One row per type: the row of the stream with the latest response.
fn over_all(streams: &[StreamStatus]) -> Vec<TypeStatus> {
    let mut rows: BTreeMap<&ResourceType, &TypeStatus> = BTreeMap::new();
    let sent_at = |row: &TypeStatus| row.sent.as_ref().map(|sent| sent.time);
    for row in streams.iter().flat_map(|stream| &stream.types) {
        let best = rows.entry(&row.resource_type).or_insert(row);
        if sent_at(row) >= sent_at(best) {
            *best = row;
        }
    }
    let mut rows: Vec<TypeStatus> = rows.into_values().cloned().collect();
    for row in &mut rows {
        let same = streams.iter().flat_map(|stream| &stream.types);
        let unanswered = same.filter(|other| other.resource_type == row.resource_type);
        let oldest = unanswered
            .filter_map(|other| other.unanswered.as_ref())
            .max_by_key(|late| late.age);
        row.unanswered = oldest.cloned();
    }
    rows
}
