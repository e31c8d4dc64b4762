//! Turns a draft into a response: its version and nonce, its errors, and its record in flight.

use std::{sync::Arc, time::Instant};

use crate::{
    protocol::{
        Contents, Delivery, ResourceError, Response, Session, Variant,
        respond::{
            draft::Draft,
            split::{Part, parts},
        },
        type_state::{Purpose, Replaced, Sent, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType, Version},
};

impl Session {
    /// Gives a draft its version and nonce, and records it as sent. Of a divided draft, further parts are queued.
    pub(super) fn finish(&mut self, index: usize, mut draft: Draft, now: Instant) -> Response {
        let errors = self.errors_of(index, &mut draft);
        let purpose = match (&self.types[index].kind, draft.purpose) {
            // O-3: endpoints that a changed cluster waits for block later steps; a mere change of endpoints does not.
            (ResourceType::Endpoint, Purpose::Make | Purpose::Answer) if draft.children => Purpose::Make,
            (ResourceType::Endpoint, Purpose::Make) => Purpose::Answer,
            (_, purpose) => purpose,
        };
        // L-13: in SotW absence means deletion, so a part would delete the resources of the other parts.
        let divided = self.variant == Variant::Delta && self.features.divided;
        let most = divided.then_some(self.policy.limits.response_bytes);
        let (first, rest) = parts(&mut draft, most);
        let Draft {
            changed,
            replaced,
            lead,
            ..
        } = draft;
        let further: Vec<_> = rest
            .into_iter()
            .map(|part| (part, changed.clone(), replaced.clone()))
            .collect();
        let mut first = self.record_sent(index, purpose, first, (changed, replaced), now);
        first.errors = errors;
        first.lead = lead;
        for (part, changed, replaced) in further {
            let part = self.record_sent(index, purpose, part, (changed, replaced), now);
            self.parts.push_back(part);
        }
        first
    }

    /// Records a part as sent. Each part stands for the whole change, which is open until the last part is answered.
    fn record_sent(
        &mut self,
        index: usize,
        purpose: Purpose,
        part: Part,
        (changed, replaced): (Contents, Replaced),
        now: Instant,
    ) -> Response {
        let (nonce, number) = self.nonces.draw();
        let state = &mut self.types[index];
        let snapshot = Arc::clone(state.view.base().expect("a draft is made from a base"));
        let delivery = Delivery {
            resource_type: state.kind.clone(),
            version: state.version(self.variant),
            nonce,
            revision: snapshot.revision(),
        };
        state.last_nonce = Some(delivery.nonce.clone());
        state.in_flight.push(Box::new(Sent {
            delivery: delivery.clone(),
            number,
            purpose,
            snapshot,
            resources: part.resources.clone(),
            changed,
            removed: part.removed.clone(),
            replaced,
            sent_at: now,
        }));
        Response {
            resources: part.resources,
            removed: part.removed,
            unresolved: part.unresolved,
            ttl: self.features.ttl,
            ..Response::empty(delivery)
        }
    }

    /// The missing names that are reported as errors. A name that the goal has is only late, and no error (E-3).
    fn errors_of(&self, index: usize, draft: &mut Draft) -> Vec<ResourceError> {
        let missing = std::mem::take(&mut draft.missing);
        if !self.policy.resource_errors {
            return Vec::new();
        }
        let kind = &self.types[index].kind;
        let goal = self.goal.as_ref();
        let is_gone = |name: &ResourceName| {
            let known = goal.and_then(|goal| goal.resource(kind, name.as_str()));
            known.is_none() && !draft.carries(name)
        };
        let gone = missing.into_iter().filter(is_gone);
        gone.map(ResourceError::not_found).collect()
    }

    /// The next part of a divided response, without resources that were unsubscribed meanwhile (W-7).
    pub(super) fn next_part(&mut self) -> Option<Response> {
        let mut part = self.parts.pop_front()?;
        let kind = &part.delivery.resource_type;
        if let Some(state) = self.types.iter().find(|state| state.kind == *kind) {
            let selected = |resource: &&Arc<Resource>| state.subscription.selects(resource);
            let resources = part.resources.as_slice();
            if !resources.iter().all(|resource| selected(&resource)) {
                part.resources = Contents::Chosen(resources.iter().filter(selected).cloned().collect());
            }
        }
        Some(part)
    }
}

impl TypeState {
    /// The version of the state that the client is advanced to (S-3).
    pub(super) fn version(&self, variant: Variant) -> Version {
        match variant {
            Variant::Sotw => self.view.version_with_exceptions(),
            Variant::Delta => {
                let base = self.view.resources().expect("a response is made from a base");
                base.version().clone()
            }
        }
    }
}
