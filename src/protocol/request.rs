//! Requests, SotW and delta, as edits of a stream's records.

use std::borrow::Cow;

use super::{ProtocolError, Session, policy::Policy, subscription::Names};
use crate::{
    proto::{
        discovery::{DeltaDiscoveryRequest, DiscoveryRequest, ResourceLocator},
        google::rpc,
    },
    resource::{ResourceType, Version, xdstp},
};

/// A SotW request: what of a [`DiscoveryRequest`] a session takes, borrowed from wherever it lies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SotwRequest<'a> {
    /// The node's id, where the request has a node.
    pub node_id: Option<&'a str>,
    /// `type_url`.
    pub type_url: &'a str,
    /// `version_info`.
    pub version: &'a str,
    /// `response_nonce`.
    pub nonce: &'a str,
    /// `error_detail`: makes it a NACK.
    pub error: Option<rpc::Status>,
    /// `resource_names`, and the names of locators.
    pub names: Vec<Cow<'a, str>>,
}

/// A delta request: what of a [`DeltaDiscoveryRequest`] a session takes, borrowed from wherever it lies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeltaRequest<'a> {
    /// The node's id, where the request has a node.
    pub node_id: Option<&'a str>,
    /// `type_url`.
    pub type_url: &'a str,
    /// `response_nonce`.
    pub nonce: &'a str,
    /// `error_detail`: makes it a NACK.
    pub error: Option<rpc::Status>,
    /// `resource_names_subscribe`, and the names of locators.
    pub subscribe: Vec<Cow<'a, str>>,
    /// `resource_names_unsubscribe`, and the names of locators.
    pub unsubscribe: Vec<Cow<'a, str>>,
    /// `initial_resource_versions`, in any order; of equal names the last one counts.
    pub presented: Vec<(Cow<'a, str>, &'a str)>,
}

impl Session {
    /// Takes a SotW request: an ACK, a NACK, a change of subscription, or several of them in one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] ends the stream.
    pub fn on_sotw_request(&mut self, mut request: SotwRequest<'_>) -> Result<(), ProtocolError> {
        canonicalize(&mut request.names);
        let kind = self.accept(request.node_id, request.type_url)?;
        let names: Vec<&str> = texts(&request.names).collect();
        self.check_names(&kind, names.iter().copied())?;
        let (index, first) = self.enter(&kind)?;
        if first {
            // S-4: a fresh subscription, whatever nonce it carries.
            let presented = Some(request.version).filter(|version| !version.is_empty());
            self.types[index].presented = presented.map(Version::from);
            self.recall_type(index);
        } else if !request.nonce.is_empty() {
            let answered = self.types[index].in_flight.find(request.nonce);
            let old_version = answered
                .is_some_and(|sent| !request.version.is_empty() && sent.delivery.version.as_str() != request.version);
            if request.error.is_none() && old_version && names.is_empty() {
                self.on_ignored(index, request.nonce);
            } else {
                self.on_nonce(index, request.nonce, request.version, request.error);
            }
        }
        self.types[index].list = None;
        // S-12: the subscription is recorded whatever the nonce.
        let legacy = has_legacy_wildcard(&self.policy, &kind);
        let edit = self.types[index].subscription.replace(&names, legacy, &self.names);
        self.subscribe(index, edit, first)?;
        self.claim_children(index, first);
        Ok(())
    }

    /// Takes a delta request.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] ends the stream.
    pub fn on_delta_request(&mut self, mut request: DeltaRequest<'_>) -> Result<(), ProtocolError> {
        canonicalize(&mut request.subscribe);
        canonicalize(&mut request.unsubscribe);
        let kind = self.accept(request.node_id, request.type_url)?;
        self.check_names(&kind, texts(&request.subscribe))?;
        let (index, first) = self.enter(&kind)?;
        if !first && !request.nonce.is_empty() {
            self.on_nonce(index, request.nonce, "", request.error);
        }
        let legacy = first && has_legacy_wildcard(&self.policy, &kind);
        let was_wildcard = self.types[index].subscription.is_wildcard();
        let (subscribe, unsubscribe) = (texts(&request.subscribe), texts(&request.unsubscribe));
        let subscription = &mut self.types[index].subscription;
        let mut edit = subscription.edit(subscribe, unsubscribe, legacy, &self.names);
        if was_wildcard && subscription.is_wildcard() && !edit.dropped.is_empty() {
            // D-9: the client does not know whether the wildcard still covers what it gave up by name.
            edit.dropped.extend(edit.asked.iter().cloned());
            edit.asked = std::mem::take(&mut edit.dropped).into();
        }
        if !first || request.presented.is_empty() {
            self.subscribe(index, edit, first)?;
        } else if let Some(goal) = self.goal_if_held(index, &request.presented) {
            edit.asked = Names::default();
            self.subscribe(index, edit, first)?;
            self.come_back_in_sync(index, &goal);
        } else {
            let presented = self.believed(index, request.presented);
            // D-5: what the client holds in this version is not asked for, though it is listed.
            edit.asked = presented.lacking(&edit.asked);
            self.subscribe(index, edit, first)?;
            self.come_back(index, &presented);
        }
        self.claim_children(index, first);
        Ok(())
    }
}

// === impl SotwRequest ===

impl<'a> From<&'a DiscoveryRequest> for SotwRequest<'a> {
    fn from(request: &'a DiscoveryRequest) -> Self {
        Self {
            node_id: request.node.as_ref().map(|node| node.id.as_str()),
            type_url: &request.type_url,
            version: &request.version_info,
            nonce: &request.response_nonce,
            error: request.error_detail.clone(),
            names: names(&request.resource_names, &request.resource_locators),
        }
    }
}

// === impl DeltaRequest ===

impl<'a> From<&'a DeltaDiscoveryRequest> for DeltaRequest<'a> {
    fn from(request: &'a DeltaDiscoveryRequest) -> Self {
        let presented = request.initial_resource_versions.iter();
        Self {
            node_id: request.node.as_ref().map(|node| node.id.as_str()),
            type_url: &request.type_url,
            nonce: &request.response_nonce,
            error: request.error_detail.clone(),
            subscribe: names(&request.resource_names_subscribe, &request.resource_locators_subscribe),
            unsubscribe: names(
                &request.resource_names_unsubscribe,
                &request.resource_locators_unsubscribe,
            ),
            presented: presented
                .map(|(name, version)| (Cow::from(name), version.as_str()))
                .collect(),
        }
    }
}

/// a locator is a name; the dynamic parameters in it are not used by any client.
fn names<'a>(names: &'a [String], locators: &'a [ResourceLocator]) -> Vec<Cow<'a, str>> {
    let locators = locators.iter().map(|locator| &locator.name);
    names.iter().chain(locators).map(Cow::from).collect()
}

fn texts<'a>(names: &'a [Cow<'_, str>]) -> impl ExactSizeIterator<Item = &'a str> {
    names.iter().map(AsRef::as_ref)
}

fn has_legacy_wildcard(policy: &Policy, kind: &ResourceType) -> bool {
    policy.legacy_wildcard.contains(kind)
}

/// clients write the same name in several ways.
fn canonicalize(names: &mut [Cow<'_, str>]) {
    names.iter_mut().for_each(xdstp::canonicalize_cow);
}
