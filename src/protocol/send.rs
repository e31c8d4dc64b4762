//! From a draft to what is sent: its version and nonce, the errors that go with it, and its entry in the record.

use std::{sync::Arc, time::Instant};

use super::{
    Delivery, ResourceError, Response, Session, Variant,
    draft::Draft,
    split::{Part, parts},
    type_state::{InFlight, Step, TypeState},
};
use crate::resource::{ContentHash, ResourceName, ResourceType, Version};

impl Session {
    /// Gives a draft its version and nonce, and enters it in the record before it is sent. Of a draft that is divided, the
    /// parts after the first wait in `parts`.
    pub(super) fn finish(&mut self, index: usize, mut draft: Draft, now: Instant) -> Response {
        let errors = self.errors_of(index, &mut draft);
        let step = match (&self.types[index].kind, draft.step) {
            // A mere change of endpoints holds nothing up; endpoints that a changed cluster waits for do (O-3).
            (ResourceType::Endpoint, Step::Make | Step::Answer) if draft.children => Step::Make,
            (ResourceType::Endpoint, Step::Make) => Step::Answer,
            (_, step) => step,
        };
        // L-13: in SotW absence means deletion, so what is missing in a part would be deleted.
        let divided = self.variant == Variant::Delta && self.features.divided;
        let most = divided.then_some(self.policy.limits.response_bytes);
        let mut parts = parts(&mut draft, most).into_iter();
        let first = parts.next().expect("a draft has one part at least");
        let mut first = self.enter_sent(index, first, step, now);
        first.errors = errors;
        for part in parts {
            let part = self.enter_sent(index, part, step, now);
            self.parts.push_back(part);
        }
        first
    }

    fn enter_sent(&mut self, index: usize, part: Part, step: Step, now: Instant) -> Response {
        let (nonce, number) = self.nonces.draw();
        let state = &mut self.types[index];
        let snapshot = Arc::clone(state.base.as_ref().expect("a draft is made from a base"));
        let delivery = Delivery {
            resource_type: state.kind.clone(),
            version: state.version(self.variant),
            nonce,
            revision: snapshot.revision(),
        };
        state.last_nonce = Some(delivery.nonce.clone());
        // One at a time, mostly: nothing more is kept in reserve.
        state.in_flight.reserve_exact(1);
        state.in_flight.push_back(InFlight {
            delivery: delivery.clone(),
            number,
            step,
            snapshot,
            resources: part.resources.clone(),
            removed: part.removed.clone(),
            sent_at: now,
        });
        Response {
            resources: part.resources,
            removed: part.removed,
            unresolved: part.unresolved,
            ttl: self.features.ttl,
            ..Response::empty(delivery)
        }
    }

    /// What of a draft's missing names is told as an error. What the goal has is only late, and no data error (E-3).
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
}

impl TypeState {
    /// The version of what the client is brought to. What is retained is part of it: the same version always means the
    /// same content (S-3).
    pub(super) fn version(&self, variant: Variant) -> Version {
        let base = self.base().expect("a response is made from a base");
        match variant {
            Variant::Sotw if !self.retained.is_empty() => {
                let retained = self.retained.iter();
                let texts = retained.flat_map(|(name, kept)| [name.as_str(), kept.resource.version.as_str()]);
                Version::from(format!("{}+{}", base.version(), ContentHash::of_texts(texts)))
            }
            Variant::Sotw | Variant::Delta => base.version().clone(),
        }
    }
}
