//! ACKs and NACKs: a request's nonce is matched to a response in flight, and settles it.

use std::sync::Arc;

use crate::{
    proto::google::rpc,
    protocol::{
        Outcome, Session, Variant,
        type_state::{Purpose, Sent},
    },
    resource::{Resource, ResourceType},
};

impl Session {
    /// Finds the response in flight that a request's nonce names, and settles it as ACK or NACK (S-6, D-3). `version`
    /// is the version that the client presents (SotW).
    pub(in crate::protocol) fn on_nonce(
        &mut self,
        index: usize,
        nonce: &str,
        version: &str,
        error: Option<rpc::Status>,
    ) {
        let state = &mut self.types[index];
        let Some(at) = state.in_flight.position(nonce) else {
            // The last response was already answered: a change of the subscription, or a repeated NACK. Other nonces
            // are stale.
            if state.last_nonce.as_ref().is_none_or(|last| !last.is(nonce)) {
                let resource_type = state.kind.clone();
                self.outcomes.push_back(Outcome::StaleNonce { resource_type });
            }
            return;
        };
        let mut sent = state.in_flight.remove(at).expect("the position was just found");
        if self.variant == Variant::Sotw {
            let open = self.settle_overtaken(index, at, version);
            if error.is_some() {
                sent.changed = sent.changed.with(open);
            }
        }
        match error {
            None => self.on_ack_of(index, sent),
            Some(status) => self.on_nack_of(index, sent, status),
        }
    }

    /// Settles the responses before the answered one. An Envoy that was sent further clusters while some were warming
    /// answers the newest response alone. It has accepted an earlier response if it presents that version (O-5).
    /// Returns the changed resources of the other earlier responses.
    fn settle_overtaken(&mut self, index: usize, before: usize, version: &str) -> Vec<Arc<Resource>> {
        let overtaken: Vec<Box<Sent>> = self.types[index].in_flight.take_before(before).collect();
        let mut open = Vec::new();
        for sent in overtaken {
            if sent.delivery.version.as_str() == version {
                self.on_ack_of(index, sent);
            } else {
                let state = &mut self.types[index];
                state.view.fall_back(sent.replaced().cloned());
                open.extend(sent.changed.iter().cloned());
                self.outcomes.push_back(Outcome::Ignored(sent.delivery));
            }
        }
        open
    }

    fn on_ack_of(&mut self, index: usize, sent: Box<Sent>) {
        if sent.purpose == Purpose::Heartbeat {
            return;
        }
        if self.types[index].kind == ResourceType::Endpoint && self.features.envoy {
            let clusters = self.types.iter_mut().find(|state| state.kind == ResourceType::Cluster);
            if let Some(clusters) = clusters {
                clusters.in_flight.note_endpoints(&sent);
            }
        }
        let state = &mut self.types[index];
        if self.features.ttl {
            state.beat.note_acked(&sent.delivery.version);
        }
        state.on_ack(self.variant, &sent);
        if state.in_flight.is_empty() && !state.refused.any() && state.view.is_plain() {
            self.memory.forget(&state.kind);
        }
        self.outcomes.push_back(Outcome::Ack(sent.delivery));
    }

    fn on_nack_of(&mut self, index: usize, sent: Box<Sent>, status: rpc::Status) {
        if sent.purpose != Purpose::Heartbeat {
            self.types[index].on_nack(self.variant, &sent, &status.message);
        }
        self.outcomes.push_back(Outcome::Nack {
            delivery: sent.delivery,
            code: status.code,
            message: status.message,
        });
    }

    /// S-6b: an Envoy without watches for the type answers with the new nonce and the old version, and has applied
    /// nothing. This is neither ACK nor NACK, and no reason to send anything.
    pub(in crate::protocol) fn on_ignored(&mut self, index: usize, nonce: &str) {
        let state = &mut self.types[index];
        if let Some(at) = state.in_flight.position(nonce)
            && let Some(sent) = state.in_flight.remove(at)
        {
            self.outcomes.push_back(Outcome::Ignored(sent.delivery));
        }
    }
}
