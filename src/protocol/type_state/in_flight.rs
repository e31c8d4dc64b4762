//! Responses that await their answer, and the resources that the client held before them.

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
    /// At most one in SotW, except for clusters that an Envoy is warming (S-15, O-5).
    responses: VecDeque<Box<Sent>>,
    /// For clusters: endpoints that the client accepted since the oldest response, each with its response's number.
    endpoints: VecDeque<(u64, Contents)>,
}

/// The number of remembered endpoint responses while clusters await their answer. A forgotten one proves nothing.
const ENDPOINTS: usize = 64;

/// One response that awaits its answer.
#[derive(Debug)]
pub(in crate::protocol) struct Sent {
    pub(in crate::protocol) delivery: Delivery,
    /// The position of the response among those of the stream.
    pub(in crate::protocol) number: u64,
    pub(in crate::protocol) purpose: Purpose,
    pub(in crate::protocol) snapshot: Arc<Snapshot>,
    pub(in crate::protocol) resources: Contents,
    /// Those of `resources` that were new to the client or had another version.
    pub(in crate::protocol) changed: Contents,
    pub(in crate::protocol) removed: Vec<ResourceName>,
    pub(in crate::protocol) replaced: Replaced,
    pub(in crate::protocol) sent_at: Instant,
}

/// The resources that the client held before a response, and holds until it has accepted the response.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol) struct Replaced {
    /// The set of resources that the client was at before.
    pub(in crate::protocol) from: Option<Arc<TypeResources>>,
    /// Resources that the client held and `from` lacks or has in another version, and those that the response removes.
    pub(in crate::protocol) others: Vec<Arc<Resource>>,
    /// Names under which the client did not hold the resource of `from`: it refused that resource, or was not sent it.
    pub(in crate::protocol) not_held: Vec<ResourceName>,
    /// The client held a resource of unknown content.
    pub(in crate::protocol) unknown: bool,
}

/// The purpose of a response in the order of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Purpose {
    /// The response adds or changes: a resource that newly refers to its resources waits for its ACK.
    Make,
    /// The response removes resources; the resources that they referred to are removed after its ACK.
    Break,
    /// The response answers a request: nothing waits for it (O-2).
    Answer,
    /// The response renews TTLs: its ACK or NACK says nothing about content (T-3).
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

    pub(in crate::protocol) fn last(&self) -> Option<&Sent> {
        self.responses.back().map(AsRef::as_ref)
    }

    pub(in crate::protocol) fn push(&mut self, sent: Box<Sent>) {
        // Mostly there is one response at a time, so no capacity is kept in reserve.
        self.responses.reserve_exact(1);
        self.responses.push_back(sent);
    }

    /// The index of the response with this nonce.
    pub(in crate::protocol) fn position(&self, nonce: &str) -> Option<usize> {
        self.responses.iter().position(|sent| sent.delivery.nonce.is(nonce))
    }

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

    /// Records endpoints that the client accepted while clusters await their answer.
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

    /// Returns true if a cluster of an unanswered response is warm: an Envoy accepted its endpoints since (O-5).
    pub(in crate::protocol) fn is_warm_by_endpoints(&self, sent: &Sent, cluster: &Resource) -> bool {
        let accepted = |name: &ResourceName| {
            let mut since = self.endpoints.iter().filter(|(number, _)| *number > sent.number);
            // Endpoints with references come later: their own endpoints (LEDS) are requested separately.
            since.any(|(_, endpoints)| endpoints.get(name).is_some_and(|found| found.references.is_empty()))
        };
        let mut endpoints = cluster.references_to(&ResourceType::Endpoint);
        cluster.warming == Warming::WithEndpoints && endpoints.all(accepted)
    }

    /// Updates the responses after this number: the client refused these resources, so it keeps the older ones.
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

    /// Takes the responses before this index, oldest first.
    pub(in crate::protocol) fn take_before(&mut self, at: usize) -> impl Iterator<Item = Box<Sent>> {
        self.responses.drain(..at)
    }
}

// === impl Sent ===

impl Sent {
    /// Returns true if the resource of this name is new to the client in this response.
    pub(in crate::protocol) fn changes(&self, name: &ResourceName) -> bool {
        self.changed.get(name).is_some()
    }

    /// The resources that the client may still hold in place of those that the response carries or removes.
    pub(in crate::protocol) fn replaced(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let from = self.replaced.from.as_ref();
        let changed = from.into_iter().flat_map(|from| {
            let changed = self.changed.iter();
            let held = changed.filter(|resource| !self.replaced.not_held.contains(&resource.name));
            held.filter_map(|resource| from.named(resource.name.as_str()))
        });
        // The entries in `others` are exact, so they come first.
        self.replaced.others.iter().chain(changed)
    }

    /// The resources that the client was sent before and is sent again unchanged.
    pub(in crate::protocol) fn repeated(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let is_same = |resource: &&Arc<Resource>| {
            let before = self.replaced.from.as_ref();
            let before = before.and_then(|from| from.named(resource.name.as_str()));
            before.is_some_and(|before| before.version == resource.version) && !self.changes(&resource.name)
        };
        self.resources.iter().filter(is_same)
    }
}
