//! What the fleet says of a node, as owned values.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::StreamInfo;
use crate::{
    node::{NodeGroup, NodeId},
    protocol::{Nonce, Standing, Subscription},
    resource::{ResourceName, ResourceType, Version},
    snapshot::Revision,
};

/// One node, over all its streams.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// `node.id`.
    pub id: NodeId,
    /// `node.cluster`.
    pub cluster: String,
    /// The group it belongs to.
    pub group: NodeGroup,
    /// As in `envoy 1.40.0`.
    pub user_agent: String,
    /// When the last stream ended; for a connected node, when the newest began or was last heard of.
    pub last_seen: SystemTime,
    /// The open streams, oldest first.
    pub streams: Vec<StreamStatus>,
    /// One row per type over all streams, in send order; what the last stream left where none is open.
    pub types: Vec<TypeStatus>,
    /// Its last load report; `None` where it never sent one.
    pub load: Option<Arc<LoadReport>>,
}

/// What a node last reported over LRS (C-2).
#[derive(Clone, Debug, PartialEq)]
pub struct LoadReport {
    /// When it came.
    pub time: SystemTime,
    /// The busiest clusters, at most [`Limits::load_clusters`](super::Limits::load_clusters), busiest first.
    pub clusters: Vec<ClusterLoad>,
    /// Clusters of the report that are left out above.
    pub omitted: usize,
    /// Reports received since the node is remembered.
    pub total: u64,
}

/// One cluster of a load report, summed over its localities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterLoad {
    /// `cluster_name`.
    pub cluster: String,
    /// `cluster_service_name`: the EDS name where it differs.
    pub service: String,
    /// How long the report was collected.
    pub interval: Duration,
    /// Requests begun.
    pub issued: u64,
    /// Requests that ended well.
    pub successful: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests under way at the end of the interval.
    pub in_progress: u64,
    /// Requests dropped on purpose.
    pub dropped: u64,
}

/// One open stream.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// Unique within the process.
    pub id: u64,
    /// How it is served.
    pub info: StreamInfo,
    /// When it began.
    pub opened: SystemTime,
    /// One row per subscribed type, in send order.
    pub types: Vec<TypeStatus>,
    /// The newest revision that the stream holds whole and ACKed.
    pub synced: Option<Revision>,
    /// The revision for which everything was done that a refusal does not stand in the way of; `None` where nothing is
    /// refused.
    pub blocked: Option<Revision>,
    /// What waits and what is held, to lose no traffic.
    pub standing: Standing,
}

/// One type on a stream.
#[derive(Clone, Debug)]
pub struct TypeStatus {
    /// Which type.
    pub resource_type: ResourceType,
    /// Whether all resources are subscribed.
    pub wildcard: bool,
    /// How many names are subscribed.
    pub names: usize,
    /// Some of them.
    pub sample: Vec<ResourceName>,
    /// What is subscribed, whole; to nothing where no stream is open.
    pub subscription: Subscription,
    /// The last response.
    pub sent: Option<DeliveryStatus>,
    /// The last response that was ACKed.
    pub acked: Option<DeliveryStatus>,
    /// REST: the last response after which the node asked again with an earlier version (H-4).
    pub unconfirmed: Option<DeliveryStatus>,
    /// The newest NACK of which something is refused still; where nothing is, the last one.
    pub nack: Option<NackStatus>,
    /// How many resources are refused: sent, refused, and neither accepted, replaced nor gone since (O-20).
    pub refused: usize,
    /// Some of them.
    pub refused_sample: Vec<ResourceName>,
    /// Whether nothing is refused any more: without this, what was refused and then taken back would look refused until
    /// something else is sent.
    pub mended: bool,
    /// The oldest response that is unanswered for longer than [`Limits::unanswered_after`](super::Limits::unanswered_after)
    /// (S-15).
    pub unanswered: Option<Unanswered>,
    /// How many names are asked for in vain (E-7).
    pub missing: usize,
    /// Some of them.
    pub missing_sample: Vec<ResourceName>,
    /// The last response, where it was larger than many clients take (L-13): its bytes.
    pub large: Option<usize>,
    /// Responses sent.
    pub sent_total: u64,
    /// NACKs received.
    pub nack_total: u64,
}

/// A response and when it was sent or ACKed.
#[derive(Clone, Debug)]
pub struct DeliveryStatus {
    /// Its version.
    pub version: Version,
    /// Its nonce.
    pub nonce: Nonce,
    /// The publish it was made from.
    pub revision: Revision,
    /// When.
    pub time: SystemTime,
}

/// A response that the node should have answered by now.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// Which response, and when it was sent.
    pub delivery: DeliveryStatus,
    /// How long ago that was.
    pub age: Duration,
}

/// A refusal in the node's own words.
#[derive(Clone, Debug)]
pub struct NackStatus {
    /// What was refused, and when the refusal came.
    pub delivery: DeliveryStatus,
    /// `error_detail.code`.
    pub code: i32,
    /// `error_detail.message`, cut to a bounded length.
    pub message: String,
}

/// How far a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeState {
    /// Subscribed, nothing sent yet.
    NotSent,
    /// Sent, not answered yet.
    Stale,
    /// The last response was ACKed, and nothing is refused.
    Synced,
    /// REST: asked for again with an earlier version than was sent: rejected, or not yet applied.
    Unconfirmed,
    /// Something is refused: from the NACK until it is accepted, replaced or gone, whatever else is sent and ACKed.
    Error,
}

// === impl NodeStatus ===

impl NodeStatus {
    /// Whether a stream is open.
    #[must_use]
    pub const fn connected(&self) -> bool {
        !self.streams.is_empty()
    }
}

// === impl TypeStatus ===

impl TypeStatus {
    /// How far it is.
    #[must_use]
    pub fn state(&self) -> TypeState {
        let Some(sent) = &self.sent else {
            return TypeState::NotSent;
        };
        let is_last = |delivery: &DeliveryStatus| delivery.nonce == sent.nonce;
        let last_was_refused = self.nack.as_ref().is_some_and(|nack| is_last(&nack.delivery));
        if self.refused > 0 || (last_was_refused && !self.mended) {
            TypeState::Error
        } else if last_was_refused || self.acked.as_ref().is_some_and(is_last) {
            TypeState::Synced
        } else if self.unconfirmed.as_ref().is_some_and(is_last) {
            TypeState::Unconfirmed
        } else {
            TypeState::Stale
        }
    }
}
