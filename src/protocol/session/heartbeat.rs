//! Heartbeats: renew TTLs for clients that take TTLs (T).

use std::{sync::Arc, time::Instant};

use crate::{
    protocol::{
        Contents, Delivery, Response, Session, Variant,
        policy::repeats_unchanged,
        respond::client::named,
        type_state::{BeatDue, Purpose, Replaced, Sent, TypeState},
    },
    resource::{Resource, ResourceType},
};

impl Session {
    /// The next heartbeat that is due, if the client takes TTLs.
    pub(super) fn next_heartbeat(&mut self, now: Instant) -> Option<Response> {
        if !self.features.ttl {
            return None;
        }
        for index in 0..self.types.len() {
            let state = &mut self.types[index];
            if let Some(base) = state.view.resources().cloned() {
                state.beat.keep_time(&base, now);
            }
            if self.is_beat_due(index, now)
                && let Some(response) = self.beat(index, now)
            {
                return Some(response);
            }
        }
        None
    }

    /// The times at which the next heartbeats are due.
    pub(super) fn beats(&self) -> impl Iterator<Item = Instant> {
        self.types.iter().filter_map(|state| state.beat.next())
    }

    fn is_beat_due(&self, index: usize, now: Instant) -> bool {
        let state = &self.types[index];
        let has_room = match self.variant {
            Variant::Sotw => state.in_flight.is_empty(),
            Variant::Delta => state.in_flight.len() < self.policy.limits.answers_in_flight,
        };
        // T-5: an unknown virtual host looks like a heartbeat, so virtual hosts have none.
        state.kind != ResourceType::VirtualHost && has_room && state.beat.next().is_some_and(|next| next <= now)
    }

    /// Renews the TTLs that are due of type `index`.
    fn beat(&mut self, index: usize, now: Instant) -> Option<Response> {
        let variant = self.variant;
        let state = &mut self.types[index];
        let due = state.beat.beat(now)?;
        let heartbeats = renewed(state, due);
        if heartbeats.is_empty() {
            return None;
        }
        let snapshot = Arc::clone(state.view.base()?);
        if is_renewed_whole(state, variant) {
            state.due.owe_answer();
            let draft = self.answer(index, &snapshot, now)?;
            return Some(self.finish(index, draft, now));
        }
        let version = match variant {
            Variant::Sotw => state.beat.acked()?.clone(),
            Variant::Delta => state.version(variant),
        };
        let (nonce, number) = self.nonces.draw();
        let delivery = Delivery {
            resource_type: state.kind.clone(),
            version,
            nonce,
            revision: snapshot.revision(),
        };
        state.last_nonce = Some(delivery.nonce.clone());
        state.in_flight.push(Box::new(Sent {
            delivery: delivery.clone(),
            number,
            purpose: Purpose::Heartbeat,
            snapshot,
            resources: Contents::default(),
            changed: Contents::default(),
            removed: Vec::new(),
            replaced: Replaced::default(),
            sent_at: now,
        }));
        Some(Response {
            heartbeats,
            ttl: true,
            ..Response::empty(delivery)
        })
    }
}

/// The accepted resources that are renewed at this beat.
fn renewed(state: &TypeState, due: BeatDue) -> Vec<Arc<Resource>> {
    let Some(base) = state.view.resources() else {
        return Vec::new();
    };
    let subscription = &state.subscription;
    let given: Vec<Arc<Resource>> = if state.is_by_name() {
        named(subscription, base)
    } else {
        let selected = base.iter().filter(|resource| subscription.selects(resource));
        selected.cloned().collect()
    };
    let accepted = |resource: Arc<Resource>| {
        if state.view.held().contains_key(&resource.name) {
            return None;
        }
        if !state.refused.names(resource.name.as_str()) {
            return Some(resource);
        }
        state.view.accepted(&resource.name).cloned()
    };
    let retained = state.view.retained().values().filter(|retained| retained.known);
    let retained = retained.map(|retained| Arc::clone(&retained.resource));
    let given = given.into_iter().filter_map(accepted).chain(retained);
    given.filter(|resource| due.includes(resource)).collect()
}

/// Returns true if a SotW client would take a response of heartbeats as the complete set (T-5).
fn is_renewed_whole(state: &TypeState, variant: Variant) -> bool {
    let by_set = repeats_unchanged(&state.kind) || state.kind == ResourceType::ScopedRoute;
    variant == Variant::Sotw && (by_set || state.subscription.is_wildcard())
}
