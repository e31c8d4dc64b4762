//! Outcomes: events that a session reports to the fleet, the logs and the metrics.

use super::{Delivery, Standing, Subscription};
use crate::{
    resource::{ResourceName, ResourceType},
    snapshot::Revision,
};

/// An event on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client subscribes to other resources than before.
    Subscribed {
        /// The type of the subscription.
        resource_type: ResourceType,
        /// The new subscription; shares its list of names with the stream.
        subscription: Subscription,
    },
    /// A response was handed to the transport.
    Sent(Delivery),
    /// The client accepted a response (S-6, D-3).
    Ack(Delivery),
    /// The client refused a response; nothing of the same content is sent again (S-7, D-15).
    Nack {
        /// The refused response.
        delivery: Delivery,
        /// `error_detail.code`: opaque, 13 from Envoy and 3 from gRPC.
        code: i32,
        /// `error_detail.message`, in the client's words.
        message: String,
    },
    /// A request named a nonce that is not outstanding; its subscription was recorded all the same (S-12, D-2).
    StaleNonce {
        /// The type of the request.
        resource_type: ResourceType,
    },
    /// S-6b: an Envoy without watches for the type ignored a response. It is neither ACKed nor NACKed, and no answer is
    /// due.
    Ignored(Delivery),
    /// The names that are requested and do not exist have changed (E-7).
    Missing {
        /// The type of the names.
        resource_type: ResourceType,
        /// The number of missing names.
        names: usize,
        /// Some of the missing names.
        sample: Vec<ResourceName>,
    },
    /// The refused resources have changed. A resource is refused from its NACK until it is accepted, replaced or gone
    /// (O-20). No names: everything that was refused is mended.
    Refused {
        /// The type of the resources.
        resource_type: ResourceType,
        /// The number of refused resources. Of a full state that was refused as a whole, only its new resources count.
        names: usize,
        /// Some of the refused names.
        sample: Vec<ResourceName>,
    },
    /// The client presented the current version, and was not sent it again (S-5, D-5).
    Presented(Delivery),
    /// The progress of a change is another than before: something waits or is held, or no longer does.
    Standing(Standing),
    /// Everything subscribed is as in this revision, and ACKed.
    Synced(Revision),
    /// Everything of this revision is done, except what a refusal blocks (O-4).
    Blocked(Revision),
}

/// The parts of an outcome that logs report.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutcomeReport<'a> {
    /// The event in a word or two.
    pub event: &'static str,
    /// The type of the event.
    pub resource_type: Option<&'a ResourceType>,
    /// The response of the event.
    pub delivery: Option<&'a Delivery>,
    /// The revision that was reached.
    pub revision: Option<Revision>,
    /// The new subscription.
    pub subscription: Option<&'a Subscription>,
    /// The number of names, and some of them.
    pub names: Option<(usize, &'a [ResourceName])>,
    /// The resources that wait or are held.
    pub standing: Option<&'a Standing>,
}

// === impl Outcome ===

impl Outcome {
    /// The parts of this outcome that logs report.
    #[must_use]
    pub fn report(&self) -> OutcomeReport<'_> {
        match self {
            Self::Subscribed {
                resource_type,
                subscription,
            } => OutcomeReport {
                resource_type: Some(resource_type),
                subscription: Some(subscription),
                ..OutcomeReport::of("subscribed")
            },
            Self::Sent(delivery) => OutcomeReport::of_delivery("sent", delivery),
            Self::Ack(delivery) => OutcomeReport::of_delivery("ACK", delivery),
            Self::Nack { delivery, .. } => OutcomeReport::of_delivery("NACK", delivery),
            Self::StaleNonce { resource_type } => OutcomeReport {
                resource_type: Some(resource_type),
                ..OutcomeReport::of("stale nonce")
            },
            Self::Ignored(delivery) => OutcomeReport::of_delivery("ignored", delivery),
            Self::Missing {
                resource_type,
                names,
                sample,
            } => OutcomeReport {
                resource_type: Some(resource_type),
                names: Some((*names, sample)),
                ..OutcomeReport::of("missing names")
            },
            Self::Refused {
                resource_type,
                names,
                sample,
            } => OutcomeReport {
                resource_type: Some(resource_type),
                names: Some((*names, sample)),
                ..OutcomeReport::of("refused")
            },
            Self::Presented(delivery) => OutcomeReport::of_delivery("already held", delivery),
            Self::Standing(standing) => OutcomeReport {
                standing: Some(standing),
                ..OutcomeReport::of("order")
            },
            Self::Synced(revision) => OutcomeReport {
                revision: Some(*revision),
                ..OutcomeReport::of("synced")
            },
            Self::Blocked(revision) => OutcomeReport {
                revision: Some(*revision),
                ..OutcomeReport::of("blocked by a refusal")
            },
        }
    }
}

// === impl OutcomeReport ===

impl<'a> OutcomeReport<'a> {
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
