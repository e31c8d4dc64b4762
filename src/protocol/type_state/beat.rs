//! Renewal of the TTLs of one type: three times before the shortest one would expire (T).
//!
//! Nothing is kept per resource: each beat reads the TTLs off the set.

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

/// The times at which the resources of one type are renewed; kept only for clients that take TTLs.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Beat(Option<Box<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// The version that the client ACKed last: a SotW heartbeat carries it (T-3).
    acked: Option<Version>,
    /// The id of the set of resources from which `shortest` was read.
    read: Option<u64>,
    /// The shortest TTL of the resources that the client is given.
    shortest: Option<Duration>,
    next: Option<Instant>,
    /// The number of beats so far: longer TTLs are renewed at every nth beat.
    count: u128,
}

/// One beat, which selects the TTLs that are due.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct BeatDue {
    shortest: Duration,
    count: u128,
}

// === impl Beat ===

impl Beat {
    /// Records the version that the client ACKed.
    pub(in crate::protocol) fn note_acked(&mut self, version: &Version) {
        self.0.get_or_insert_default().acked = Some(version.clone());
    }

    /// The version that the client ACKed last.
    pub(in crate::protocol) fn acked(&self) -> Option<&Version> {
        self.0.as_ref()?.acked.as_ref()
    }

    /// Reads the TTLs of another set of resources, and sets the time of the next beat.
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
        // A beat that is already set for an earlier time keeps that time.
        record.next = next.map(|next| record.next.map_or(next, |set| set.min(next)));
    }

    /// The time of the next beat.
    pub(in crate::protocol) fn next(&self) -> Option<Instant> {
        self.0.as_ref()?.next
    }

    /// Counts a beat, and sets the time of the next one.
    pub(in crate::protocol) fn beat(&mut self, now: Instant) -> Option<BeatDue> {
        let record = self.0.as_mut()?;
        let due = record.shortest.map(|shortest| BeatDue {
            shortest,
            count: record.count,
        });
        record.count += 1;
        record.next = record.shortest.and_then(|ttl| now.checked_add(ttl / BEATS));
        due
    }
}

// === impl BeatDue ===

impl BeatDue {
    /// Returns true if the resource is renewed at this beat.
    pub(in crate::protocol) fn includes(&self, resource: &Arc<Resource>) -> bool {
        let ttl = resource.ttl.filter(|ttl| *ttl >= self.shortest);
        ttl.is_some_and(|ttl| self.count.is_multiple_of(ttl.as_nanos() / self.shortest.as_nanos()))
    }
}
