//! What a session reports to those who keep records: the fleet, logs and metrics.

use super::{Delivery, Standing, Subscription};
use crate::{
    resource::{ResourceName, ResourceType},
    snapshot::Revision,
};

/// What happened on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client asks for other resources than before.
    Subscribed {
        /// Of which type.
        resource_type: ResourceType,
        /// What it asks for; shares its list of names with the stream.
        subscription: Subscription,
    },
    /// A response was handed to the transport.
    Sent(Delivery),
    /// The client accepted a response (S-6, D-3).
    Ack(Delivery),
    /// The client refused a response; nothing of the same content is sent again (S-7, D-15).
    Nack {
        /// What it refused.
        delivery: Delivery,
        /// `error_detail.code`: opaque, 13 from Envoy and 3 from gRPC.
        code: i32,
        /// `error_detail.message`, in the client's words.
        message: String,
    },
    /// A request named a nonce that is not outstanding; its subscription was recorded all the same (S-12, D-2).
    StaleNonce {
        /// Of which type.
        resource_type: ResourceType,
    },
    /// An Envoy without watches for the type passed a response over: no ACK, no NACK, and no answer is due any more (S-6b).
    Ignored(Delivery),
    /// Other names than before are asked for in vain (E-7).
    Missing {
        /// Of which type.
        resource_type: ResourceType,
        /// How many.
        names: usize,
        /// Some of them.
        sample: Vec<ResourceName>,
    },
    /// Other resources than before are refused: sent, refused by the client, and neither accepted, replaced nor gone since
    /// (O-20). None at all once everything refused was mended.
    Refused {
        /// Of which type.
        resource_type: ResourceType,
        /// How many; of a full state that was refused whole, those that were new in it.
        names: usize,
        /// Some of them.
        sample: Vec<ResourceName>,
    },
    /// The client came with what is current, and was not sent it again (S-5, D-5).
    Presented(Delivery),
    /// The order of a change stands elsewhere than before: something waits or is held, or does no longer.
    Standing(Standing),
    /// Everything subscribed is as of this revision, and ACKed.
    Synced(Revision),
    /// Everything was done for this revision that a refusal does not stand in the way of (O-4).
    Blocked(Revision),
}
