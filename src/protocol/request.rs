//! Requests, SotW and delta, as edits of a stream's records.

use std::collections::HashMap;

use super::{ProtocolError, Session, policy::Policy};
use crate::{
    proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest, ResourceLocator},
    resource::{ResourceType, Version, xdstp},
};

impl Session {
    /// Takes a SotW request: an ACK, a NACK, a change of subscription, or several of them in one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] ends the stream.
    pub fn on_sotw_request(&mut self, mut request: DiscoveryRequest) -> Result<(), ProtocolError> {
        canonicalize(&mut request.resource_names, &mut request.resource_locators);
        let node_id = request.node.as_ref().map(|node| node.id.as_str());
        let kind = self.accept(node_id, &request.type_url)?;
        let mut names: Vec<&str> = request.resource_names.iter().map(String::as_str).collect();
        names.extend(locator_names(&request.resource_locators));
        self.check_names(&kind, names.iter().copied())?;
        let (index, first) = self.enter(&kind)?;
        if first {
            // S-4: a fresh subscription, whatever nonce it carries.
            let presented = Some(request.version_info).filter(|version| !version.is_empty());
            self.types[index].presented = presented.map(Version::from);
        } else if !request.response_nonce.is_empty() {
            let answered = self.types[index].in_flight.front();
            let old_version = answered.is_some_and(|sent| {
                sent.delivery.nonce.as_str() == request.response_nonce
                    && !request.version_info.is_empty()
                    && sent.delivery.version.as_str() != request.version_info
            });
            if request.error_detail.is_none() && old_version && names.is_empty() {
                self.on_ignored(index, &request.response_nonce);
            } else {
                self.on_nonce(index, &request.response_nonce, request.error_detail);
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
    pub fn on_delta_request(&mut self, mut request: DeltaDiscoveryRequest) -> Result<(), ProtocolError> {
        canonicalize(
            &mut request.resource_names_subscribe,
            &mut request.resource_locators_subscribe,
        );
        canonicalize(
            &mut request.resource_names_unsubscribe,
            &mut request.resource_locators_unsubscribe,
        );
        let node_id = request.node.as_ref().map(|node| node.id.as_str());
        let kind = self.accept(node_id, &request.type_url)?;
        let mut subscribe: Vec<&str> = request.resource_names_subscribe.iter().map(String::as_str).collect();
        subscribe.extend(locator_names(&request.resource_locators_subscribe));
        let mut unsubscribe: Vec<&str> = request.resource_names_unsubscribe.iter().map(String::as_str).collect();
        unsubscribe.extend(locator_names(&request.resource_locators_unsubscribe));
        self.check_names(&kind, subscribe.iter().copied())?;
        let (index, first) = self.enter(&kind)?;
        if !first && !request.response_nonce.is_empty() {
            self.on_nonce(index, &request.response_nonce, request.error_detail);
        }
        let legacy = first && has_legacy_wildcard(&self.policy, &kind);
        let was_wildcard = self.types[index].subscription.is_wildcard();
        let mut edit =
            self.types[index]
                .subscription
                .edit(subscribe.into_iter(), unsubscribe.into_iter(), legacy, &self.names);
        if was_wildcard && self.types[index].subscription.is_wildcard() && !edit.dropped.is_empty() {
            // D-9: the client does not know whether the wildcard still covers what it gave up by name.
            edit.dropped.extend(edit.asked.iter().cloned());
            edit.asked = std::mem::take(&mut edit.dropped).into();
        }
        let presented = first && !request.initial_resource_versions.is_empty();
        let held = presented_versions(&self.policy, &kind, request.initial_resource_versions);
        if presented {
            // D-5: what the client holds in this version is not asked for, though it is listed.
            let lacking = edit.asked.iter().filter(|name| !held.contains_key(name.as_str()));
            edit.asked = lacking.cloned().collect::<Vec<_>>().into();
        }
        self.subscribe(index, edit, first)?;
        if presented {
            let goal = self.goal.as_ref();
            let state = &mut self.types[index];
            state.answer = false;
            state.reconnect(&held, goal);
        }
        self.claim_children(index, first);
        Ok(())
    }

    /// Sends the children of parents that changed while the client was away, now that it asks for them (D-6).
    fn claim_children(&mut self, index: usize, first: bool) {
        if !first || self.owed_children.is_empty() {
            return;
        }
        let state = &mut self.types[index];
        let owed = std::mem::take(&mut self.owed_children);
        let (ours, others) = owed.into_iter().partition(|(kind, _)| *kind == state.kind);
        self.owed_children = others;
        for (_, name) in ours {
            if state.subscription.selects_name(&name) {
                state.held.remove(&name);
                state.resend.insert(name);
            }
        }
    }
}

/// What the client says it holds, by canonical names, as far as it is to be believed.
fn presented_versions(
    policy: &Policy,
    kind: &ResourceType,
    versions: HashMap<String, String>,
) -> HashMap<String, String> {
    let distrusted = policy.resend_presented.contains(kind);
    if !distrusted && !versions.keys().any(|name| xdstp::is_xdstp(name)) {
        return versions;
    }
    let canonical = |(mut name, version): (String, String)| {
        xdstp::canonicalize(&mut name);
        // No resource has an empty version: it is sent again, and removed where it is gone.
        let version = if distrusted { String::new() } else { version };
        (name, version)
    };
    versions.into_iter().map(canonical).collect()
}

fn has_legacy_wildcard(policy: &Policy, kind: &ResourceType) -> bool {
    policy.legacy_wildcard.contains(kind)
}

/// clients write the same name in several ways.
fn canonicalize(names: &mut [String], locators: &mut [ResourceLocator]) {
    let locators = locators.iter_mut().map(|locator| &mut locator.name);
    names.iter_mut().chain(locators).for_each(xdstp::canonicalize);
}

/// a locator is a name; the dynamic parameters in it are not used by any client.
fn locator_names(locators: &[ResourceLocator]) -> impl Iterator<Item = &str> {
    locators.iter().map(|locator| locator.name.as_str())
}
