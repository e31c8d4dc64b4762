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

/// An outcome as logs tell it: what it is called, and what of it is worth naming.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// In a word or two.
    pub event: &'static str,
    /// The type it is about.
    pub resource_type: Option<&'a ResourceType>,
    /// The response it is about.
    pub delivery: Option<&'a Delivery>,
    /// The revision that was reached.
    pub revision: Option<Revision>,
    /// The subscription that it came to.
    pub subscription: Option<&'a Subscription>,
    /// The number of names, and some of them.
    pub names: Option<(usize, &'a [ResourceName])>,
    /// The resources that wait or are held.
    pub standing: Option<&'a Standing>,
}

// === impl Outcome ===

impl Outcome {
    /// The outcome as logs tell it.
    #[must_use]
    pub fn told(&self) -> Told<'_> {
        match self {
            Self::Subscribed {
                resource_type,
                subscription,
            } => Told {
                resource_type: Some(resource_type),
                subscription: Some(subscription),
                ..Told::of("subscribed")
            },
            Self::Sent(delivery) => Told::of_delivery("sent", delivery),
            Self::Ack(delivery) => Told::of_delivery("ACK", delivery),
            Self::Nack { delivery, .. } => Told::of_delivery("NACK", delivery),
            Self::StaleNonce { resource_type } => Told {
                resource_type: Some(resource_type),
                ..Told::of("stale nonce")
            },
            Self::Ignored(delivery) => Told::of_delivery("ignored", delivery),
            Self::Missing {
                resource_type,
                names,
                sample,
            } => Told {
                resource_type: Some(resource_type),
                names: Some((*names, sample)),
                ..Told::of("asked for in vain")
            },
            Self::Refused {
                resource_type,
                names,
                sample,
            } => Told {
                resource_type: Some(resource_type),
                names: Some((*names, sample)),
                ..Told::of("refused")
            },
            Self::Presented(delivery) => Told::of_delivery("already held", delivery),
            Self::Standing(standing) => Told {
                standing: Some(standing),
                ..Told::of("order")
            },
            Self::Synced(revision) => Told {
                revision: Some(*revision),
                ..Told::of("synced")
            },
            Self::Blocked(revision) => Told {
                revision: Some(*revision),
                ..Told::of("blocked by what was refused")
            },
        }
    }
}

// === impl Told ===

impl<'a> Told<'a> {
    fn of(event: &'static str) -> Self {
        Self {
            event,
            ..Self::default()
        }
    }

    fn of_delivery(event: &'static str, delivery: &'a Delivery) -> Self {
        Self {
            resource_type: Some(&delivery.resource_type),
            delivery: Some(delivery),
            ..Self::of(event)
        }
    }
}
