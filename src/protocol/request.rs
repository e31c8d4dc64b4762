//! Requests, SotW and delta, as edits of a stream's records.
//!
//! A request borrows the bytes that it was received in. Its names are decoded only if the list differs from the last
//! one: nearly every SotW request repeats that list.

use std::borrow::Cow;

use super::{
    ProtocolError, Session, Variant,
    listing::{Listing, NameList},
    policy::Policy,
    presented::{Presented, PresentedVersion},
    subscription::{Edit, Names},
};
use crate::{
    proto::{
        discovery::{DeltaDiscoveryRequest, DiscoveryRequest, ResourceLocator},
        envoy::config::core::v3 as core,
        google::rpc,
    },
    resource::{ResourceType, Version, xdstp},
};

/// A request of either variant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// The node's id, where the request has a node.
    pub node_id: Option<Cow<'a, str>>,
    /// `type_url`.
    pub type_url: &'a str,
    /// SotW: `version_info`.
    pub version: &'a str,
    /// `response_nonce`.
    pub nonce: &'a str,
    /// `error_detail`, without its details: makes the request a NACK.
    pub error: Option<rpc::Status>,
    /// SotW: all names; delta: the names to subscribe. The names of locators are among them.
    pub names: NameList<'a>,
    /// Delta: names to unsubscribe, and the names of locators.
    pub unsubscribe: NameList<'a>,
    /// Delta: `initial_resource_versions`, in any order; of equal names the last one counts.
    pub presented: Listing<'a, (&'a str, &'a str)>,
}

impl Session {
    /// Takes a request: an ACK, a NACK, a change of the subscription, or several of these in one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] ends the stream.
    pub fn on_request(&mut self, request: &Request<'_>) -> Result<(), ProtocolError> {
        // L-3: a node without an id is treated like no node.
        let node_id = request.node_id.as_deref().filter(|id| !id.is_empty());
        let kind = self.accept(node_id, request.type_url)?;
        match self.variant {
            Variant::Sotw => self.on_sotw_request(&kind, request),
            Variant::Delta => self.on_delta_request(&kind, request),
        }
    }

    fn on_sotw_request(&mut self, kind: &ResourceType, request: &Request<'_>) -> Result<(), ProtocolError> {
        let known = self.types.iter().find(|state| state.kind == *kind);
        if known.is_some_and(|state| state.subscription.repeats(request.names.fingerprint())) {
            let (index, _) = self.find_or_add_type(kind)?;
            self.on_sotw_nonce(index, request);
            return Ok(());
        }
        let names = self.read_names(kind, &request.names)?;
        let (index, first) = self.find_or_add_type(kind)?;
        if first {
            // S-4: a first subscription is fresh, whatever nonce the request carries.
            let presented = Some(request.version).filter(|version| !version.is_empty());
            self.types[index].presented = presented.map(Version::from);
            self.recall_type(index);
        } else {
            self.on_sotw_nonce(index, request);
        }
        // S-12: the subscription is recorded, whatever the nonce.
        let legacy = has_legacy_wildcard(&self.policy, kind);
        let names: Vec<&str> = texts(&names).collect();
        let subscription = &mut self.types[index].subscription;
        let edit = subscription.replace(&names, legacy, &*self.names);
        subscription.note_written(request.names.fingerprint());
        self.subscribe(index, edit, first)?;
        self.claim_children(index, first);
        Ok(())
    }

    fn on_sotw_nonce(&mut self, index: usize, request: &Request<'_>) {
        if request.nonce.is_empty() {
            return;
        }
        let answered = self.types[index].in_flight.find(request.nonce);
        let old_version = answered
            .is_some_and(|sent| !request.version.is_empty() && sent.delivery.version.as_str() != request.version);
        if request.error.is_none() && old_version && request.names.is_empty() {
            self.on_ignored(index, request.nonce);
        } else {
            self.on_nonce(index, request.nonce, request.version, request.error.clone());
        }
    }

    fn on_delta_request(&mut self, kind: &ResourceType, request: &Request<'_>) -> Result<(), ProtocolError> {
        let subscribe = self.read_names(kind, &request.names)?;
        let unsubscribe = self.read_names(kind, &request.unsubscribe)?;
        if request.presented.len() > self.policy.limits.names_per_type {
            return Err(ProtocolError::TooManyNames(
                self.policy.limits.names_per_type,
                kind.clone(),
            ));
        }
        let (index, first) = self.find_or_add_type(kind)?;
        if !first && !request.nonce.is_empty() {
            self.on_nonce(index, request.nonce, "", request.error.clone());
        }
        if !first && subscribe.is_empty() && request.unsubscribe.is_empty() {
            return Ok(());
        }
        let legacy = first && has_legacy_wildcard(&self.policy, kind);
        let was_wildcard = self.types[index].subscription.is_wildcard();
        let subscription = &mut self.types[index].subscription;
        let mut edit = subscription.edit(texts(&subscribe), texts(&unsubscribe), legacy, &*self.names);
        if was_wildcard && subscription.is_wildcard() && !edit.dropped.is_empty() {
            // D-9: the client does not know whether the wildcard still covers the names that it unsubscribed from.
            edit.dropped.extend(edit.asked.iter().cloned());
            edit.asked = std::mem::take(&mut edit.dropped).into();
        }
        if first && !request.presented.is_empty() {
            self.on_presented(index, edit, request)?;
        } else {
            self.subscribe(index, edit, first)?;
        }
        if first {
            self.recall_left(index, request);
        }
        self.claim_children(index, first);
        Ok(())
    }

    /// Handles the first delta request of a type from a client that presents what it holds (D-5).
    fn on_presented(&mut self, index: usize, mut edit: Edit, request: &Request<'_>) -> Result<(), ProtocolError> {
        let presented = request.presented.to_vec().into_iter();
        let presented: Vec<PresentedVersion<'_>> = presented.map(|(name, version)| (name.into(), version)).collect();
        if let Some(goal) = self.goal_if_held(index, &presented) {
            edit.asked = Names::default();
            self.subscribe(index, edit, true)?;
            self.come_back_in_sync(index, &goal);
        } else {
            let presented = Presented::new(presented);
            let presented = if self.believes(&self.types[index].kind) {
                // D-5: a name that the client presents does not count as requested, though the request lists it.
                edit.asked = presented.lacking(&edit.asked);
                presented
            } else {
                presented.distrusted()
            };
            self.subscribe(index, edit, true)?;
            self.come_back(index, &presented);
        }
        Ok(())
    }

    /// The names of a list in canonical form. Fails if they are too many or too long (L-12).
    fn read_names<'a>(&self, kind: &ResourceType, list: &NameList<'a>) -> Result<Vec<Cow<'a, str>>, ProtocolError> {
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let limits = self.policy.limits;
        if list.len() > limits.names_per_type {
            return Err(ProtocolError::TooManyNames(limits.names_per_type, kind.clone()));
        }
        let names = canonical(list);
        let longest = texts(&names).map(str::len).max().unwrap_or(0);
        if longest > limits.name_bytes {
            return Err(ProtocolError::NameTooLong(longest, limits.name_bytes));
        }
        Ok(names)
    }
}

// === impl Request ===

impl<'a> From<&'a DiscoveryRequest> for Request<'a> {
    fn from(request: &'a DiscoveryRequest) -> Self {
        Self {
            node_id: node_id(request.node.as_ref()),
            type_url: &request.type_url,
            version: &request.version_info,
            nonce: &request.response_nonce,
            error: request.error_detail.as_ref().map(without_details),
            names: names(&request.resource_names, &request.resource_locators),
            ..Self::default()
        }
    }
}

impl<'a> From<&'a DeltaDiscoveryRequest> for Request<'a> {
    fn from(request: &'a DeltaDiscoveryRequest) -> Self {
        let presented = request.initial_resource_versions.iter();
        let presented = presented.map(|(name, version)| (name.as_str(), version.as_str()));
        Self {
            node_id: node_id(request.node.as_ref()),
            type_url: &request.type_url,
            nonce: &request.response_nonce,
            error: request.error_detail.as_ref().map(without_details),
            names: names(&request.resource_names_subscribe, &request.resource_locators_subscribe),
            unsubscribe: names(
                &request.resource_names_unsubscribe,
                &request.resource_locators_unsubscribe,
            ),
            presented: presented.collect::<Vec<_>>().into(),
            ..Self::default()
        }
    }
}

fn node_id(node: Option<&core::Node>) -> Option<Cow<'_, str>> {
    node.map(|node| node.id.as_str().into())
}

fn without_details(status: &rpc::Status) -> rpc::Status {
    rpc::Status {
        code: status.code,
        message: status.message.clone(),
        details: Vec::new(),
    }
}

/// a locator is a name. No client uses its dynamic parameters.
fn names<'a>(names: &'a [String], locators: &'a [ResourceLocator]) -> NameList<'a> {
    let locators = locators.iter().map(|locator| &locator.name);
    names
        .iter()
        .chain(locators)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .into()
}

fn texts<'a>(names: &'a [Cow<'_, str>]) -> impl ExactSizeIterator<Item = &'a str> {
    names.iter().map(AsRef::as_ref)
}

fn has_legacy_wildcard(policy: &Policy, kind: &ResourceType) -> bool {
    policy.legacy_wildcard.contains(kind)
}

/// clients write the same name in several ways.
fn canonical<'a>(list: &NameList<'a>) -> Vec<Cow<'a, str>> {
    let mut names: Vec<Cow<'a, str>> = list.to_vec().into_iter().map(Cow::Borrowed).collect();
    names.iter_mut().for_each(xdstp::canonicalize_cow);
    names
}
