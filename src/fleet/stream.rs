//! The fleet's record of a stream. Each has its own lock, so that an ACK contends for nothing shared.
//!
//! The only place that takes an [`Outcome`] apart, for the records and for the counters.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    DeliveryStatus, Limits, Moment, NackStatus, Refusal, StreamInfo, StreamStatus, TypeStatus, Unanswered,
    row::TypeRecord,
    verdict::{StreamVerdicts, Verdicts},
};
use crate::{
    metrics::{self, ServingMetrics},
    protocol::{Delivery, Outcome, Standing},
    resource::ResourceType,
    snapshot::Revision,
    text::cut,
};

/// The problems of a connected node, on one stream or on all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// The node refuses resources of some type.
    pub(super) refuses: bool,
    /// A response is unanswered for too long.
    pub(super) unanswered: bool,
    /// The node polled over REST with an earlier version than it was sent.
    pub(super) unconfirmed: bool,
}

#[derive(Debug)]
pub(super) struct StreamRecord {
    id: u64,
    info: StreamInfo,
    opened: SystemTime,
    limits: Limits,
    /// The number of changes of the record.
    changes: AtomicU64,
    state: Mutex<StreamState>,
}

#[derive(Debug, Default)]
struct StreamState {
    /// In send order. There are thousands of records, so vectors have no spare capacity.
    types: Vec<TypeRecord>,
    /// Unanswered responses, oldest first; few, since the protocol bounds them (D-16).
    awaiting: VecDeque<Awaited>,
    synced: Option<Revision>,
    blocked: Option<Revision>,
    heard: Option<SystemTime>,
    standing: Standing,
    verdicts: Verdicts,
}

/// A response without an answer yet.
#[derive(Debug)]
struct Awaited {
    resource_type: ResourceType,
    sent: DeliveryStatus,
    since: Instant,
}

/// Counts the outcomes of a stream.
struct Counters<'a> {
    metrics: &'a ServingMetrics,
    protocol: metrics::Protocol,
}

// === impl StreamRecord ===

impl StreamRecord {
    pub(super) fn new(id: u64, info: StreamInfo, opened: SystemTime, limits: Limits) -> Self {
        Self {
            id,
            info,
            opened,
            limits,
            changes: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) const fn opened(&self) -> SystemTime {
        self.opened
    }

    /// The number of changes of the record.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn protocol(&self) -> metrics::Protocol {
        self.info.protocol.into()
    }

    pub(super) fn trouble(&self, now: Instant) -> Trouble {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Trouble {
            refuses: state.types.iter().any(TypeRecord::refuses),
            unanswered: state.awaiting.iter().any(|awaited| awaited.is_late(self.limits, now)),
            unconfirmed: state.types.iter().any(TypeRecord::is_unconfirmed),
        }
    }

    pub(super) fn heard(&self) -> Option<SystemTime> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).heard
    }

    pub(super) fn status(&self) -> StreamStatus {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        StreamStatus {
            id: self.id,
            info: self.info.clone(),
            opened: self.opened,
            types: state.rows(self.limits, Instant::now()),
            synced: state.synced,
            blocked: state.blocked,
            standing: state.standing.clone(),
        }
    }

    pub(super) fn verdicts(&self) -> StreamVerdicts {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        StreamVerdicts {
            verdicts: state.verdicts.clone(),
            synced: state.synced,
            awaiting: state.awaiting.iter().map(|awaited| awaited.sent.revision).collect(),
        }
    }

    /// Records and counts an outcome that happened at `now`.
    pub(super) fn record(&self, outcome: &Outcome, now: Moment, metrics: &ServingMetrics) {
        let protocol = self.protocol();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).record(
            outcome,
            now,
            self.limits.nack_message_bytes,
            &Counters { metrics, protocol },
        );
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn record_large(&self, delivery: &Delivery, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.row(&delivery.resource_type).on_large(bytes);
        drop(state);
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn record_unconfirmed(&self, delivery: &Delivery, now: SystemTime) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.row(&delivery.resource_type).on_unconfirmed(at(delivery, now));
        state.heard = Some(now);
        drop(state);
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn record_heard(&self, now: SystemTime) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).heard = Some(now);
    }
}

// === impl StreamState ===

impl StreamState {
    fn record(&mut self, outcome: &Outcome, now: Moment, message_bytes: usize, counters: &Counters<'_>) {
        let Moment {
            wall: now,
            steady: since,
        } = now;
        match outcome {
            Outcome::Subscribed {
                resource_type,
                subscription,
            } => self.row(resource_type).on_subscribed(subscription),
            Outcome::Sent(delivery) => {
                counters.sent(&delivery.resource_type);
                let sent = at(delivery, now);
                self.awaiting.reserve_exact(1);
                self.awaiting.push_back(Awaited {
                    resource_type: delivery.resource_type.clone(),
                    sent: sent.clone(),
                    since,
                });
                self.row(&delivery.resource_type).on_sent(sent);
            }
            Outcome::Ack(delivery) => {
                counters.acked(&delivery.resource_type);
                self.answered(delivery, now);
                self.row(&delivery.resource_type).on_ack(at(delivery, now));
            }
            Outcome::Nack {
                delivery,
                code,
                message,
            } => {
                counters.nacked(&delivery.resource_type);
                self.answered(delivery, now);
                let nack = NackStatus {
                    delivery: at(delivery, now),
                    code: *code,
                    message: cut(message, message_bytes),
                };
                self.row(&delivery.resource_type).on_nack(nack.clone());
                let resource_type = delivery.resource_type.clone();
                self.verdicts.refuse(delivery.revision, Refusal { resource_type, nack });
            }
            Outcome::StaleNonce { resource_type } => {
                counters.stale(resource_type);
                self.heard = Some(now);
            }
            Outcome::Ignored(delivery) => self.answered(delivery, now),
            Outcome::Missing {
                resource_type,
                names,
                sample,
            } => self.row(resource_type).on_missing(*names, sample),
            Outcome::Refused {
                resource_type,
                names,
                sample,
            } => self.row(resource_type).on_refused(*names, sample),
            Outcome::Presented(delivery) => {
                self.row(&delivery.resource_type).on_presented(at(delivery, now));
                self.heard = Some(now);
            }
            Outcome::Synced(revision) => {
                self.synced = Some(*revision);
                self.blocked = None;
                self.verdicts.accept(*revision, now);
            }
            Outcome::Blocked(revision) => {
                self.blocked = Some(*revision);
                self.refuse_standing(*revision);
            }
            Outcome::Standing(standing) => self.standing.clone_from(standing),
        }
    }

    /// Records the refusals that still stand as refusals of this revision too.
    fn refuse_standing(&mut self, revision: Revision) {
        for row in self.types.iter().filter(|row| row.refuses()) {
            if let Some(nack) = row.nack() {
                let (resource_type, nack) = (row.resource_type().clone(), nack.clone());
                self.verdicts.refuse(revision, Refusal { resource_type, nack });
            }
        }
    }

    fn answered(&mut self, delivery: &Delivery, now: SystemTime) {
        self.awaiting.retain(|awaited| awaited.sent.nonce != delivery.nonce);
        self.heard = Some(now);
    }

    /// The rows as of `now`. A response becomes late by the passing of time alone.
    fn rows(&self, limits: Limits, now: Instant) -> Vec<TypeStatus> {
        let mut rows: Vec<TypeStatus> = self.types.iter().map(TypeRecord::status).collect();
        for row in &mut rows {
            let mut awaiting = self.awaiting.iter();
            let oldest = awaiting.find(|awaited| awaited.resource_type == row.resource_type);
            let late = oldest.filter(|oldest| oldest.is_late(limits, now));
            row.unanswered = late.map(|awaited| Unanswered {
                delivery: awaited.sent.clone(),
                age: awaited.age(now),
            });
        }
        rows
    }

    fn row(&mut self, resource_type: &ResourceType) -> &mut TypeRecord {
        let at = self
            .types
            .binary_search_by(|row| row.resource_type().cmp(resource_type));
        let at = at.unwrap_or_else(|at| {
            self.types.reserve_exact(1);
            self.types.insert(at, TypeRecord::new(resource_type.clone()));
            at
        });
        &mut self.types[at]
    }
}

// === impl Awaited ===

impl Awaited {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Returns true if the answer is overdue.
    fn is_late(&self, limits: Limits, now: Instant) -> bool {
        self.age(now) >= limits.unanswered_after
    }
}

// === impl Counters ===

impl Counters<'_> {
    /// Over REST, `polls` counts responses, since a repeated poll is answered again without an outcome.
    fn sent(&self, kind: &ResourceType) {
        if self.protocol != metrics::Protocol::Rest {
            self.metrics.responded(self.protocol, kind.into());
        }
    }

    fn acked(&self, kind: &ResourceType) {
        self.metrics.acked(self.protocol, kind.into());
    }

    fn nacked(&self, kind: &ResourceType) {
        self.metrics.nacked(self.protocol, kind.into());
    }

    fn stale(&self, kind: &ResourceType) {
        self.metrics.stale(self.protocol, kind.into());
    }
}

fn at(delivery: &Delivery, time: SystemTime) -> DeliveryStatus {
    DeliveryStatus {
        version: delivery.version.clone(),
        nonce: delivery.nonce.clone(),
        revision: delivery.revision,
        time,
    }
}
