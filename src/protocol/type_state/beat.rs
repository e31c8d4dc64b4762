//! When the TTLs of one type are renewed: three times before the shortest would expire (T).
//!
//! Nothing is kept per resource: which resources have a TTL is read off the set at each beat.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    resource::{Resource, Version},
    snapshot::TypeResources,
};

/// Beats within the shortest TTL: one may be lost, and one late.
const BEATS: u32 = 3;

/// When the resources of one type are renewed; kept only for clients that take TTLs.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Beat(Option<Box<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// The version the client ACKed last: a heartbeat in SotW is known by it (T-3).
    acked: Option<Version>,
    /// The set of resources that `shortest` was read off.
    read: Option<u64>,
    /// The shortest TTL of what the client is given.
    shortest: Option<Duration>,
    next: Option<Instant>,
    /// Counts beats: longer TTLs are renewed at every so many.
    count: u128,
}

/// One beat: which TTLs are due.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Due {
    shortest: Duration,
    count: u128,
}

// === impl Beat ===

impl Beat {
    /// The client ACKed this version.
    pub(in crate::protocol) fn note_acked(&mut self, version: &Version) {
        self.0.get_or_insert_default().acked = Some(version.clone());
    }

    /// The version the client ACKed last.
    pub(in crate::protocol) fn acked(&self) -> Option<&Version> {
        self.0.as_ref()?.acked.as_ref()
    }

    /// Reads the TTLs of another set of resources, and sets the time of the next beat by them.
    pub(in crate::protocol) fn keep_time(&mut self, base: &TypeResources, now: Instant) {
        let id = base.id();
        if self.0.as_ref().is_some_and(|record| record.read == Some(id)) {
            return;
        }
        let shortest = base.iter().filter_map(|resource| resource.ttl).min();
        if shortest.is_none() && self.0.is_none() {
            return;
        }
        let record = self.0.get_or_insert_default();
        record.read = Some(id);
        record.shortest = shortest.filter(|ttl| !ttl.is_zero());
        let next = record.shortest.and_then(|ttl| now.checked_add(ttl / BEATS));
        // A beat that is already set stays where it is sooner.
        record.next = next.map(|next| record.next.map_or(next, |set| set.min(next)));
    }

    /// When the next beat is due.
    pub(in crate::protocol) fn next(&self) -> Option<Instant> {
        self.0.as_ref()?.next
    }

    /// Counts a beat, and sets the time of the next one.
    pub(in crate::protocol) fn beat(&mut self, now: Instant) -> Option<Due> {
        let record = self.0.as_mut()?;
        let due = record.shortest.map(|shortest| Due {
            shortest,
            count: record.count,
        });
        record.count += 1;
        record.next = record.shortest.and_then(|ttl| now.checked_add(ttl / BEATS));
        due
    }
}

// === impl Due ===

impl Due {
    /// Whether the resource is renewed at this beat.
    pub(in crate::protocol) fn includes(&self, resource: &Arc<Resource>) -> bool {
        let ttl = resource.ttl.filter(|ttl| *ttl >= self.shortest);
        ttl.is_some_and(|ttl| self.count.is_multiple_of(ttl.as_nanos() / self.shortest.as_nanos()))
    }
}
