//! Responses that await their answer, and what the client held before in place of what they carry.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::view::ClientView;
use crate::{
    protocol::{Contents, Delivery},
    resource::{Resource, ResourceName, ResourceType, Warming},
    snapshot::{Snapshot, TypeResources},
};

/// The responses of one type that await their answer, oldest first.
#[derive(Debug, Default)]
pub(in crate::protocol) struct InFlight {
    /// One at most in SotW, but for clusters that an Envoy is warming (S-15, O-5).
    responses: VecDeque<Box<Sent>>,
    /// Of clusters: endpoints that the client accepted since the oldest of them, by the number of their response.
    endpoints: VecDeque<(u64, Contents)>,
}

/// Responses of endpoints that are remembered while clusters await their answer: what is forgotten proves nothing.
const ENDPOINTS: usize = 64;

/// One response that awaits its answer.
#[derive(Debug)]
pub(in crate::protocol) struct Sent {
    pub(in crate::protocol) delivery: Delivery,
    /// Its place among the responses of the stream.
    pub(in crate::protocol) number: u64,
    pub(in crate::protocol) step: Step,
    pub(in crate::protocol) snapshot: Arc<Snapshot>,
    pub(in crate::protocol) resources: Contents,
    /// Of these, the ones that were new to the client or had another version.
    pub(in crate::protocol) changed: Contents,
    pub(in crate::protocol) removed: Vec<ResourceName>,
    pub(in crate::protocol) replaced: Replaced,
    pub(in crate::protocol) sent_at: Instant,
}

/// What the client held before a response, and holds until it has accepted it.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol) struct Replaced {
    /// The set of resources it was at before.
    pub(in crate::protocol) from: Option<Arc<TypeResources>>,
    /// Resources that it held otherwise than that set says, or that the response takes away.
    pub(in crate::protocol) others: Vec<Arc<Resource>>,
    /// Names under which it did not hold what that set says: it refused it, or was not sent it.
    pub(in crate::protocol) not_held: Vec<ResourceName>,
    /// It held something whose content is not known.
    pub(in crate::protocol) unknown: bool,
}

/// What a response is to the order of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Step {
    /// Adds or changes: what newly refers to it waits for its ACK.
    Make,
    /// Removes: what it referred to is removed after its ACK.
    Break,
    /// Answers a request: nothing waits for it (O-2).
    Answer,
    /// Renews what the client holds: neither its ACK nor its NACK says anything of content (T-3).
    Heartbeat,
}

// === impl InFlight ===

impl InFlight {
    pub(in crate::protocol) fn is_empty(&self) -> bool {
        self.responses.is_empty()
    }

    pub(in crate::protocol) fn len(&self) -> usize {
        self.responses.len()
    }

    pub(in crate::protocol) fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.responses.iter().map(AsRef::as_ref)
    }

    /// The response that was sent last.
    pub(in crate::protocol) fn last(&self) -> Option<&Sent> {
        self.responses.back().map(AsRef::as_ref)
    }

    pub(in crate::protocol) fn push(&mut self, sent: Box<Sent>) {
        // One at a time, mostly: nothing more is kept in reserve.
        self.responses.reserve_exact(1);
        self.responses.push_back(sent);
    }

    /// Where the response of this nonce is.
    pub(in crate::protocol) fn position(&self, nonce: &str) -> Option<usize> {
        self.responses.iter().position(|sent| sent.delivery.nonce.is(nonce))
    }

    /// The response of this nonce.
    pub(in crate::protocol) fn find(&self, nonce: &str) -> Option<&Sent> {
        self.iter().find(|sent| sent.delivery.nonce.is(nonce))
    }

    pub(in crate::protocol) fn remove(&mut self, at: usize) -> Option<Box<Sent>> {
        let sent = self.responses.remove(at);
        if self.responses.is_empty() {
            self.endpoints.clear();
        }
        sent
    }

    /// Notes endpoints that the client accepted while clusters await their answer.
    pub(in crate::protocol) fn note_endpoints(&mut self, endpoints: &Sent) {
        if self.responses.is_empty() {
            return;
        }
        if self.endpoints.len() == ENDPOINTS {
            self.endpoints.pop_front();
        }
        self.endpoints
            .push_back((endpoints.number, endpoints.resources.clone()));
    }

    /// Whether a cluster of a response is warm although the response was not answered: an Envoy asked for its endpoints, and
    /// accepted them since (O-5).
    pub(in crate::protocol) fn is_warm_by_endpoints(&self, sent: &Sent, cluster: &Resource) -> bool {
        let accepted = |name: &ResourceName| {
            let mut since = self.endpoints.iter().filter(|(number, _)| *number > sent.number);
            // Endpoints that are asked for apart come later.
            since.any(|(_, endpoints)| endpoints.get(name).is_some_and(|found| found.references.is_empty()))
        };
        let mut endpoints = cluster.references_to(&ResourceType::Endpoint);
        cluster.warming == Warming::WithEndpoints && endpoints.all(accepted)
    }

    /// Of responses after the one of this number: what it carried was refused, so the client goes on with what it had before.
    pub(in crate::protocol) fn note_refused(&mut self, number: u64, refused: &Contents, view: &ClientView) {
        for later in self.responses.iter_mut().filter(|sent| sent.number > number) {
            for name in refused.iter().map(|resource| &resource.name) {
                if later.changed.get(name).is_some() || later.removed.contains(name) {
                    later.replaced.not_held.push(name.clone());
                    later.replaced.others.extend(view.before_refusal(name).cloned());
                }
            }
        }
    }

    /// Takes the responses before this place, oldest first.
    pub(in crate::protocol) fn take_before(&mut self, at: usize) -> impl Iterator<Item = Box<Sent>> {
        self.responses.drain(..at)
    }
}

// === impl Sent ===

impl Sent {
    /// Whether it is new to the client in this response.
    pub(in crate::protocol) fn changes(&self, name: &ResourceName) -> bool {
        self.changed.get(name).is_some()
    }

    /// What the client may still hold in place of what the response carries or takes away.
    pub(in crate::protocol) fn replaced(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let from = self.replaced.from.as_ref();
        let changed = from.into_iter().flat_map(|from| {
            let changed = self.changed.iter();
            let held = changed.filter(|resource| !self.replaced.not_held.contains(&resource.name));
            held.filter_map(|resource| from.named(resource.name.as_str()))
        });
        // These are exact, where both are there.
        self.replaced.others.iter().chain(changed)
    }

    /// What the client was sent before, and is sent once more as it was.
    pub(in crate::protocol) fn repeated(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let is_same = |resource: &&Arc<Resource>| {
            let before = self.replaced.from.as_ref();
            let before = before.and_then(|from| from.named(resource.name.as_str()));
            before.is_some_and(|before| before.version == resource.version) && !self.changes(&resource.name)
        };
        self.resources.iter().filter(is_same)
    }
}
