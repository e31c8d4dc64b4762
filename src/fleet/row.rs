//! The fleet's record of one type on a stream.

use super::{DeliveryStatus, NackStatus, TypeStatus, refusals::Refusals};
use crate::{
    protocol::Subscription,
    resource::{ResourceName, ResourceType},
};

/// Names of a subscription that are shown.
const SAMPLE: usize = 16;

/// One type on a stream: a [`TypeStatus`] that uses little memory while nothing is refused.
#[derive(Debug)]
pub(super) struct TypeRecord {
    resource_type: ResourceType,
    subscription: Subscription,
    sent: Option<DeliveryStatus>,
    acked: Option<DeliveryStatus>,
    unconfirmed: Option<DeliveryStatus>,
    /// `None` if nothing was ever refused.
    refusals: Option<Box<Refusals>>,
    missing: usize,
    missing_sample: Box<[ResourceName]>,
    large: Option<usize>,
    sent_total: u64,
    nack_total: u64,
}

// === impl TypeRecord ===

impl TypeRecord {
    pub(super) fn new(resource_type: ResourceType) -> Self {
        Self {
            resource_type,
            subscription: Subscription::default(),
            sent: None,
            acked: None,
            unconfirmed: None,
            refusals: None,
            missing: 0,
            missing_sample: Box::default(),
            large: None,
            sent_total: 0,
            nack_total: 0,
        }
    }

    pub(super) const fn resource_type(&self) -> &ResourceType {
        &self.resource_type
    }

    pub(super) fn on_subscribed(&mut self, subscription: &Subscription) {
        self.subscription.clone_from(subscription);
    }

    pub(super) fn on_sent(&mut self, sent: DeliveryStatus) {
        self.sent = Some(sent);
        self.large = None;
        self.sent_total += 1;
    }

    /// Records that the client presented the current version.
    pub(super) fn on_presented(&mut self, held: DeliveryStatus) {
        self.acked = Some(held.clone());
        self.sent = Some(held);
    }

    pub(super) fn on_ack(&mut self, acked: DeliveryStatus) {
        self.acked = Some(acked);
        if let Some(refusals) = &mut self.refusals {
            refusals.on_ack();
        }
    }

    pub(super) fn on_nack(&mut self, nack: NackStatus) {
        self.nack_total += 1;
        self.refusals.get_or_insert_default().on_nack(nack);
    }

    pub(super) fn on_refused(&mut self, names: usize, sample: &[ResourceName]) {
        self.refusals.get_or_insert_default().on_refused(names, sample);
    }

    pub(super) fn on_missing(&mut self, names: usize, sample: &[ResourceName]) {
        self.missing = names;
        self.missing_sample = sample.into();
    }

    /// Records that the last response was larger than many clients accept.
    pub(super) const fn on_large(&mut self, bytes: usize) {
        self.large = Some(bytes);
    }

    /// Records that the node polled again with an earlier version than this one.
    pub(super) fn on_unconfirmed(&mut self, sent: DeliveryStatus) {
        self.unconfirmed = Some(sent);
    }

    /// Returns true if the node polled again with an earlier version than the last one sent.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.is_last(self.unconfirmed.as_ref())
    }

    /// The NACK to report.
    pub(super) fn nack(&self) -> Option<&NackStatus> {
        self.refusals.as_deref().and_then(Refusals::nack)
    }

    /// Returns true if resources are refused, or, if the session reports none, if the last response was refused.
    pub(super) fn refuses(&self) -> bool {
        self.refusals.as_deref().is_some_and(|refusals| {
            let nacked = refusals.nack().map(|nack| &nack.delivery);
            refusals.names() > 0 || (!refusals.mended() && self.is_last(nacked))
        })
    }

    /// Returns true if this is the last response.
    fn is_last(&self, delivery: Option<&DeliveryStatus>) -> bool {
        let nonce = delivery.map(|delivery| &delivery.nonce);
        nonce.is_some() && nonce == self.sent.as_ref().map(|sent| &sent.nonce)
    }

    pub(super) fn status(&self) -> TypeStatus {
        let names = self.subscription.names();
        let refusals = self.refusals.as_deref();
        TypeStatus {
            resource_type: self.resource_type.clone(),
            wildcard: self.subscription.is_wildcard(),
            names: names.len(),
            sample: names.iter().take(SAMPLE).cloned().collect(),
            subscription: self.subscription.clone(),
            sent: self.sent.clone(),
            acked: self.acked.clone(),
            unconfirmed: self.unconfirmed.clone(),
            nack: self.nack().cloned(),
            refused: refusals.map_or(0, Refusals::names),
            refused_sample: refusals.map_or_else(Vec::new, |refusals| refusals.sample().to_vec()),
            mended: refusals.is_none_or(Refusals::mended),
            unanswered: None,
            missing: self.missing,
            missing_sample: self.missing_sample.to_vec(),
            large: self.large,
            sent_total: self.sent_total,
            nack_total: self.nack_total,
        }
    }
}
