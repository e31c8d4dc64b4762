//! TTLs: what has one is renewed three times before it would expire (T).
//!
//! Nothing is kept per resource, and nothing at all for clients without the feature: which resources have a TTL is read off
//! the snapshot at each beat.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Contents, Delivery, Response, Session, Variant,
    policy::repeats_unchanged,
    type_state::{InFlight, Step, TypeState},
};
use crate::resource::{Resource, ResourceType, Version};

/// Beats within the shortest TTL: one may be lost, and one late.
const BEATS: u32 = 3;

/// When the resources of one type are renewed.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// The version the client ACKed last: a heartbeat in SotW is known by it (T-3).
    pub(super) acked: Option<Version>,
    /// The set of resources that `shortest` was read off.
    read: Option<u64>,
    /// The shortest TTL of what the client is given.
    shortest: Option<Duration>,
    next: Option<Instant>,
    /// Counts beats: longer TTLs are renewed at every so many.
    count: u128,
}

// === impl TypeState ===

impl TypeState {
    /// Reads the TTLs of another snapshot, and sets the time of the next beat by them.
    fn keep_time(&mut self, now: Instant) {
        let Some(base) = self.base() else {
            return;
        };
        let id = base.id();
        if self.beat.as_ref().is_some_and(|beat| beat.read == Some(id)) {
            return;
        }
        let any = base.iter().filter_map(|resource| resource.ttl).min();
        if any.is_none() && self.beat.is_none() {
            return;
        }
        let beat = self.beat.get_or_insert_default();
        beat.read = Some(id);
        beat.shortest = any.filter(|ttl| !ttl.is_zero());
        let next = beat.shortest.and_then(|ttl| now.checked_add(ttl / BEATS));
        // A beat that is already set stays where it is sooner.
        beat.next = next.map(|next| beat.next.map_or(next, |set| set.min(next)));
    }

    fn next_beat(&self) -> Option<Instant> {
        self.beat.as_ref()?.next
    }

    /// What the client accepted and is to hear of at this beat.
    fn renewed(&self, beat: &Beat) -> Vec<Arc<Resource>> {
        let Some((base, shortest)) = self.base().zip(beat.shortest) else {
            return Vec::new();
        };
        let subscription = &self.subscription;
        let given: Vec<Arc<Resource>> = if subscription.is_wildcard() || subscription.has_globs() {
            let selected = base.iter().filter(|resource| subscription.selects(resource));
            selected.cloned().collect()
        } else {
            self.named(base)
        };
        let accepted = |resource: Arc<Resource>| {
            if self.held.contains_key(&resource.name) {
                return None;
            }
            if !self.refused.names(resource.name.as_str()) {
                return Some(resource);
            }
            let acked = self.acked.as_ref()?.resource(&self.kind, resource.name.as_str());
            acked.cloned()
        };
        let is_due = |resource: &Arc<Resource>| {
            let ttl = resource.ttl.filter(|ttl| *ttl >= shortest);
            ttl.is_some_and(|ttl| beat.count.is_multiple_of(ttl.as_nanos() / shortest.as_nanos()))
        };
        let retained = self.retained.values().map(|retained| Arc::clone(&retained.resource));
        let given = given.into_iter().filter_map(accepted).chain(retained);
        given.filter(is_due).collect()
    }

    /// Whether a SotW client would take a response of heartbeats alone for the set without the rest (T-5).
    fn is_renewed_whole(&self, variant: Variant) -> bool {
        let by_set = repeats_unchanged(&self.kind) || self.kind == ResourceType::ScopedRoute;
        variant == Variant::Sotw && (by_set || self.subscription.is_wildcard())
    }
}

// === impl Session ===

impl Session {
    /// The next heartbeat that is due, if the client knows them.
    pub(super) fn next_heartbeat(&mut self, now: Instant) -> Option<Response> {
        if !self.features.ttl {
            return None;
        }
        for index in 0..self.types.len() {
            self.types[index].keep_time(now);
            if self.is_due(index, now)
                && let Some(response) = self.beat(index, now)
            {
                return Some(response);
            }
        }
        None
    }

    /// When the next heartbeat is due.
    pub(super) fn beats(&self) -> impl Iterator<Item = Instant> {
        self.types.iter().filter_map(TypeState::next_beat)
    }

    fn is_due(&self, index: usize, now: Instant) -> bool {
        let state = &self.types[index];
        let has_room = match self.variant {
            Variant::Sotw => state.in_flight.is_empty(),
            Variant::Delta => state.in_flight.len() < self.policy.limits.answers_in_flight,
        };
        // An unknown virtual host looks like a heartbeat, so they have none (T-5).
        state.kind != ResourceType::VirtualHost && has_room && state.next_beat().is_some_and(|next| next <= now)
    }

    /// Renews what is due of type `index`.
    fn beat(&mut self, index: usize, now: Instant) -> Option<Response> {
        let variant = self.variant;
        let state = &mut self.types[index];
        let mut beat = state.beat.take()?;
        let heartbeats = state.renewed(&beat);
        beat.count += 1;
        beat.next = beat.shortest.and_then(|ttl| now.checked_add(ttl / BEATS));
        let acked = beat.acked.clone();
        state.beat = Some(beat);
        if heartbeats.is_empty() {
            return None;
        }
        let snapshot = Arc::clone(state.base.as_ref()?);
        if state.is_renewed_whole(variant) {
            state.answer = true;
            let draft = state.answer(variant, &snapshot)?;
            return Some(self.finish(index, draft, now));
        }
        let version = match variant {
            Variant::Sotw => acked?,
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
        state.in_flight.push_back(InFlight {
            delivery: delivery.clone(),
            number,
            step: Step::Heartbeat,
            snapshot,
            resources: Contents::default(),
            removed: Vec::new(),
            sent_at: now,
        });
        Some(Response {
            heartbeats,
            ttl: true,
            ..Response::empty(delivery)
        })
    }
}
