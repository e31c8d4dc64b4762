//! The fleet's status of a node, as owned values.

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

/// The status of one node, over all its streams.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// `node.id`.
    pub id: NodeId,
    /// `node.cluster`.
    pub cluster: String,
    /// The node's group.
    pub group: NodeGroup,
    /// As in `envoy 1.40.0`.
    pub user_agent: String,
    /// The end of the last stream; for a connected node, the start of its newest stream or its last request.
    pub last_seen: SystemTime,
    /// The open streams, oldest first.
    pub streams: Vec<StreamStatus>,
    /// One row per type over all streams, in send order; if no stream is open, the rows of the last one.
    pub types: Vec<TypeStatus>,
    /// The last load report; `None` if there was none.
    pub load: Option<Arc<LoadReport>>,
}

/// The last load report of a node over LRS (C-2).
#[derive(Clone, Debug, PartialEq)]
pub struct LoadReport {
    /// The time of its arrival.
    pub time: SystemTime,
    /// The busiest clusters, at most [`Limits::load_clusters`](super::Limits::load_clusters), busiest first.
    pub clusters: Vec<ClusterLoad>,
    /// Clusters of the report that `clusters` leaves out.
    pub omitted: usize,
    /// Reports received since the node was first recorded.
    pub total: u64,
}

/// One cluster of a load report, summed over its localities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterLoad {
    /// `cluster_name`.
    pub cluster: String,
    /// `cluster_service_name`: the EDS name if it differs.
    pub service: String,
    /// The time over which the counts were collected.
    pub interval: Duration,
    /// Requests begun.
    pub issued: u64,
    /// Requests that succeeded.
    pub successful: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests under way at the end of the interval.
    pub in_progress: u64,
    /// Requests that the client dropped deliberately.
    pub dropped: u64,
}

/// The status of one open stream.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// The stream's number, unique within the process.
    pub id: u64,
    /// The stream's protocol, scope and peer.
    pub info: StreamInfo,
    /// The time of its start.
    pub opened: SystemTime,
    /// One row per subscribed type, in send order.
    pub types: Vec<TypeStatus>,
    /// The newest revision that the client holds completely and ACKed.
    pub synced: Option<Revision>,
    /// The revision of which everything was sent that no refusal blocks; `None` if nothing is refused.
    pub blocked: Option<Revision>,
    /// The changes that wait, and the removals that are held back (O-3).
    pub standing: Standing,
}

/// The status of one type on a stream.
#[derive(Clone, Debug)]
pub struct TypeStatus {
    /// The type.
    pub resource_type: ResourceType,
    /// True if all resources are subscribed.
    pub wildcard: bool,
    /// The number of subscribed names.
    pub names: usize,
    /// Some of the subscribed names.
    pub sample: Vec<ResourceName>,
    /// The whole subscription; empty if no stream is open.
    pub subscription: Subscription,
    /// The last response.
    pub sent: Option<DeliveryStatus>,
    /// The last response that was ACKed.
    pub acked: Option<DeliveryStatus>,
    /// REST: the last response after which the node polled again with an earlier version (H-4).
    pub unconfirmed: Option<DeliveryStatus>,
    /// The newest NACK with a resource that is still refused; if there is none, the last NACK.
    pub nack: Option<NackStatus>,
    /// The number of refused resources: refused, and neither accepted, replaced nor gone since (O-20).
    pub refused: usize,
    /// Some of the refused names.
    pub refused_sample: Vec<ResourceName>,
    /// True if nothing is refused any more. Without it, a withdrawn refusal would show until the next response.
    pub mended: bool,
    /// The oldest response that is unanswered for longer than
    /// [`Limits::unanswered_after`](super::Limits::unanswered_after) (S-15).
    pub unanswered: Option<Unanswered>,
    /// The number of subscribed names that do not exist (E-7).
    pub missing: usize,
    /// Some of the missing names.
    pub missing_sample: Vec<ResourceName>,
    /// The size in bytes of the last response, if it was larger than many clients accept (L-13).
    pub large: Option<usize>,
    /// Responses sent.
    pub sent_total: u64,
    /// NACKs received.
    pub nack_total: u64,
}

/// A response, and the time at which it was sent or answered.
#[derive(Clone, Debug)]
pub struct DeliveryStatus {
    /// The version of the response.
    pub version: Version,
    /// The nonce of the response.
    pub nonce: Nonce,
    /// The revision from which the response was made.
    pub revision: Revision,
    /// The time at which it was sent or answered.
    pub time: SystemTime,
}

/// A response that is unanswered for too long.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// The response, and the time at which it was sent.
    pub delivery: DeliveryStatus,
    /// The time since then.
    pub age: Duration,
}

/// A NACK with the node's message.
#[derive(Clone, Debug)]
pub struct NackStatus {
    /// The refused response, and the time of the NACK.
    pub delivery: DeliveryStatus,
    /// `error_detail.code`.
    pub code: i32,
    /// `error_detail.message`, cut to [`Limits::nack_message_bytes`](super::Limits::nack_message_bytes).
    pub message: String,
}

/// The state of a type on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeState {
    /// Subscribed, and nothing was sent yet.
    NotSent,
    /// Sent, and not answered yet.
    Stale,
    /// The last response was ACKed, and nothing is refused.
    Synced,
    /// REST: polled again with an earlier version than was sent: rejected, or not yet applied.
    Unconfirmed,
    /// A resource is refused: from the NACK until it is accepted, replaced or gone, whatever else is sent and ACKed.
    Error,
}

// === impl NodeStatus ===

impl NodeStatus {
    /// Returns true if a stream is open.
    #[must_use]
    pub const fn connected(&self) -> bool {
        !self.streams.is_empty()
    }
}

// === impl TypeStatus ===

impl TypeStatus {
    /// The state of the type.
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
