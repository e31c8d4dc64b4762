//! The requests of the model's Envoy: one record per type, as in its gRPC mux.
//!
//! While a cluster warms, CDS is paused: neither an ACK of CDS nor its first request on a new stream is sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{super::super::fixture::*, Client};
use crate::{
    proto::{
        discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
        google::rpc,
    },
    protocol::{Response, Variant},
    resource::{ResourceName, ResourceType, Version},
};

/// A request on its way.
#[derive(Debug)]
pub(in super::super) enum Request {
    Sotw(DiscoveryRequest),
    Delta(DeltaDiscoveryRequest),
}

/// The record of one type.
#[derive(Default)]
pub(super) struct Mux {
    /// The names that the Envoy asks for, from its parents.
    pub(super) names: BTreeSet<ResourceName>,
    /// The names that the server was sent on this stream.
    told: BTreeSet<ResourceName>,
    pub(super) is_wildcard: bool,
    /// The type was requested on any stream.
    was_asked: bool,
    /// The type was requested on this stream.
    is_open: bool,
    /// The list of names must be sent even if it is unchanged.
    pub(super) repeat: bool,
    /// SotW: the version that was accepted last.
    version: String,
    /// SotW: the nonce of the last response on this stream.
    nonce: String,
    /// Delta: the versions of the resources of accepted responses.
    versions: BTreeMap<ResourceName, Version>,
    /// Answers not sent yet; in SotW only the last one counts.
    answers: VecDeque<Answer>,
    responses: usize,
}

struct Answer {
    nonce: String,
    error: Option<String>,
}

// === impl Mux ===

impl Mux {
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) const fn has_heard(&self) -> bool {
        self.responses > 0
    }

    pub(super) const fn has_heard_once(&self) -> bool {
        self.responses == 1
    }

    /// Records a response: accepted, or refused with this message. No version of a refused one is recorded.
    pub(super) fn note(&mut self, response: &Response, error: Option<String>) {
        self.responses += 1;
        let nonce = response.delivery.nonce.to_string();
        self.nonce.clone_from(&nonce);
        if error.is_none() {
            self.version = response.delivery.version.to_string();
            for name in &response.removed {
                self.versions.remove(name);
            }
            let versions = response.resources.iter().map(|r| (r.name.clone(), r.version.clone()));
            self.versions.extend(versions);
        }
        self.answers.push_back(Answer { nonce, error });
    }

    pub(super) fn presents(&self, name: &ResourceName) -> bool {
        self.versions.contains_key(name)
    }

    fn is_due(&self) -> bool {
        let is_used = self.is_wildcard || !self.names.is_empty() || self.was_asked;
        let has_news = !self.is_open || self.names != self.told || self.repeat || !self.answers.is_empty();
        is_used && has_news
    }

    fn sotw(&mut self, kind: &ResourceType) -> DiscoveryRequest {
        let names: Vec<&str> = self.names.iter().map(ResourceName::as_str).collect();
        let nonce = if self.is_open { self.nonce.as_str() } else { "" };
        let mut request = sotw(kind, &names, &self.version, nonce);
        let last = self.answers.drain(..).next_back();
        request.error_detail = last.and_then(|answer| answer.error).map(refusal);
        request
    }

    fn delta(&mut self, kind: &ResourceType) -> Vec<DeltaDiscoveryRequest> {
        let list = |names: &BTreeSet<ResourceName>, but: &BTreeSet<ResourceName>| -> Vec<String> {
            names.difference(but).map(ToString::to_string).collect()
        };
        self.versions
            .retain(|name, _| self.is_wildcard || self.names.contains(name));
        let mut first = DeltaDiscoveryRequest {
            type_url: kind.type_url().into(),
            resource_names_subscribe: list(&self.names, &self.told),
            resource_names_unsubscribe: list(&self.told, &self.names),
            ..DeltaDiscoveryRequest::default()
        };
        if !self.is_open {
            let versions = self.versions.iter();
            first.initial_resource_versions = versions
                .map(|(name, version)| (name.to_string(), version.to_string()))
                .collect();
        }
        let is_empty = self.is_open && self.names == self.told;
        let answer = |answer: Answer| DeltaDiscoveryRequest {
            type_url: kind.type_url().into(),
            response_nonce: answer.nonce,
            error_detail: answer.error.map(refusal),
            ..DeltaDiscoveryRequest::default()
        };
        let answers = self.answers.drain(..).map(answer);
        Some(first).filter(|_| !is_empty).into_iter().chain(answers).collect()
    }
}

fn refusal(message: String) -> rpc::Status {
    rpc::Status {
        code: 13,
        message,
        details: Vec::new(),
    }
}

impl Client {
    /// The requests that are due now, starting with the type at index `first`.
    pub(in super::super) fn requests(&mut self, first: usize) -> Vec<Request> {
        let is_paused = self.is_warming();
        let variant = self.variant;
        let mut kinds: Vec<ResourceType> = self.mux.keys().cloned().collect();
        let first = first % kinds.len().max(1);
        kinds.rotate_left(first);
        let mut requests = Vec::new();
        for kind in kinds {
            let is_sotw_hosts = variant == Variant::Sotw && kind == VirtualHost;
            if (kind == Cluster && is_paused) || is_sotw_hosts {
                continue;
            }
            let Some(mux) = self.mux.get_mut(&kind).filter(|mux| mux.is_due()) else {
                continue;
            };
            match variant {
                Variant::Sotw => requests.push(Request::Sotw(mux.sotw(&kind))),
                Variant::Delta => requests.extend(mux.delta(&kind).into_iter().map(Request::Delta)),
            }
            mux.told.clone_from(&mux.names);
            (mux.is_open, mux.was_asked, mux.repeat) = (true, true, false);
        }
        requests
    }

    /// Ends the stream: the next requests are the first ones of another stream.
    pub(in super::super) fn cut_off(&mut self) {
        for mux in self.mux.values_mut() {
            mux.is_open = false;
            mux.repeat = false;
            mux.told.clear();
            mux.nonce.clear();
            mux.answers.clear();
        }
        if self.variant == Variant::Delta {
            for kind in [Cluster, Listener, ScopedRoute, VirtualHost] {
                let held = self.all_of(&kind);
                let Some(mux) = self.mux.get(&kind) else { continue };
                let unknown = held.into_keys().filter(|name| !mux.presents(name));
                self.orphans.extend(unknown.map(|name| (kind.clone(), name)));
            }
        }
    }
}
