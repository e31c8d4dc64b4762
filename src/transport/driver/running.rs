//! A stream whose node is known: its session, and the recording of its outcomes in the fleet, the metrics and the log.

use std::{collections::BTreeSet, task::Context, time::Instant};

use tracing::{Level, Span, debug, enabled, warn};

use super::served::Served;
use crate::{
    authority::{Authority, NOTED},
    cache::SnapshotWatch,
    fleet::{Moment, StreamGuard},
    metrics::{ServingMetrics, TypeLabel},
    node::NodeId,
    protocol::{Delivery, Outcome, Session, Subscription},
    resource::{Resource, ResourceType},
    snapshot::Revision,
    text::head,
    transport::{admittance::Admittance, on_demand::Member},
};

/// Bytes logged of a NACK's message.
const LOGGED_BYTES: usize = 1000;

/// A stream whose node is known.
pub(super) struct Running {
    pub(super) node: NodeId,
    pub(super) session: Session,
    pub(super) watch: SnapshotWatch,
    pub(super) guard: StreamGuard,
    pub(super) span: Span,
    /// The node's admission, and its view of the snapshot.
    pub(super) admittance: Admittance,
    /// Names of secrets that were checked already: a node repeats its requests.
    noted: BTreeSet<String>,
    /// The stream's membership among those of its node, if any type has names on demand.
    member: Option<Member>,
    /// The last publish and the time of its start, until the stream holds all of it.
    push: Option<(Revision, Instant)>,
    /// Sets of secrets that the node may quote.
    served: Served,
    /// The message of the last logged NACK: a node repeats its NACKs (Z-5).
    logged: Option<String>,
    /// True once a large response was logged.
    logged_large: bool,
}

// === impl Running ===

impl Running {
    pub(super) fn new(
        node: NodeId,
        session: Session,
        watch: SnapshotWatch,
        guard: StreamGuard,
        member: Option<Member>,
        admittance: Admittance,
        span: Span,
    ) -> Self {
        Self {
            node,
            session,
            watch,
            guard,
            span,
            admittance,
            noted: BTreeSet::new(),
            member,
            push: None,
            served: Served::default(),
            logged: None,
            logged_large: false,
        }
    }

    /// Starts to time a publish. `began` is `None` if its start is unknown.
    pub(super) fn on_publish(&mut self, revision: Revision, began: Option<Instant>) {
        self.push = began.map(|began| (revision, began));
    }

    /// Shares the names on demand with the node's other streams, in both directions.
    pub(super) fn exchange_names(&mut self, cx: &Context<'_>, now: Instant) {
        if let Some(member) = &mut self.member {
            member.exchange(&mut self.session, cx, now);
        }
    }

    /// Audits, once per name, the requested secrets that the node may not have.
    pub(super) fn note_secrets(&mut self, names: &[&str], authority: &Authority) {
        for name in names {
            if self.noted.len() < NOTED && !self.noted.contains(*name) {
                self.admittance.note_secrets([*name], authority);
                self.noted.insert((*name).to_owned());
            }
        }
    }

    /// Records outcomes in the fleet, the metrics and the log. Returns the time of the recording if there was any.
    pub(super) fn record_outcomes(&mut self, metrics: &ServingMetrics, now: Instant) -> Option<Instant> {
        let mut clock = None;
        while let Some(mut outcome) = self.session.poll_outcome() {
            self.guard_secrets(&mut outcome);
            let time = *clock.get_or_insert_with(Moment::now);
            self.guard.record_at(&outcome, time);
            self.time(&outcome, metrics, now);
            self.log(&outcome);
        }
        clock.map(|moment| moment.steady)
    }

    /// Removes the served secrets from a NACK's message, and keeps track of the served sets.
    fn guard_secrets(&mut self, outcome: &mut Outcome) {
        match outcome {
            Outcome::Sent(delivery) | Outcome::Presented(delivery)
                if delivery.resource_type == ResourceType::Secret =>
            {
                self.served.note(&self.session);
            }
            Outcome::Nack { message, .. } => {
                let asks_for = |secret: &Resource| self.session.asks_for(&ResourceType::Secret, secret);
                *message = self.guard.words(message, &self.served.sets(), asks_for);
            }
            Outcome::Synced(_) => self.served.settle(),
            Outcome::Sent(_)
            | Outcome::Presented(_)
            | Outcome::Ack(_)
            | Outcome::Blocked(_)
            | Outcome::Subscribed { .. }
            | Outcome::StaleNonce { .. }
            | Outcome::Ignored(_)
            | Outcome::Missing { .. }
            | Outcome::Refused { .. }
            | Outcome::Standing(_) => {}
        }
    }

    /// Records the time from a publish to the ACK, for each type that it changed. Responses after the stream holds the
    /// whole publish do not count.
    fn time(&mut self, outcome: &Outcome, metrics: &ServingMetrics, now: Instant) {
        let Some((revision, began)) = self.push else {
            return;
        };
        if let Outcome::Ack(delivery) = outcome
            && delivery.revision == revision
        {
            let kind = TypeLabel::from(&delivery.resource_type);
            metrics.pushed(kind, now.saturating_duration_since(began));
        }
        // The stream holds all of the publish that is not blocked.
        if outcome.report().revision.is_some_and(|held| held >= revision) {
            self.push = None;
        }
    }

    /// L-13: counts and reports a response that could not be split and exceeds `most`.
    pub(super) fn note_size(&mut self, delivery: &Delivery, bytes: usize, most: usize) {
        self.guard.count_bytes(&delivery.resource_type, bytes);
        if bytes <= most {
            return;
        }
        self.guard.record_large(delivery, bytes);
        if !self.logged_large {
            self.logged_large = true;
            debug!(
                parent: &self.span, resource_type = %delivery.resource_type, version = %delivery.version, bytes,
                "large response: gRPC clients take 4 MiB unless configured otherwise"
            );
        }
    }

    fn log(&mut self, outcome: &Outcome) {
        let _entered = self.span.enter();
        if let Outcome::Nack {
            delivery,
            code,
            message,
        } = outcome
        {
            let short = head(message, LOGGED_BYTES);
            if self.logged.as_deref() != Some(short) {
                warn!(
                    resource_type = %delivery.resource_type, version = %delivery.version, nonce = %delivery.nonce,
                    revision = %delivery.revision, code, error = ?short, "NACK"
                );
                self.logged = Some(short.to_owned());
            }
            return;
        }
        // The driver logs responses with their sizes.
        if !enabled!(Level::DEBUG) || matches!(outcome, Outcome::Sent(_)) {
            return;
        }
        let told = outcome.report();
        let waits = told.standing.map(|standing| {
            let waits = standing.waits.iter();
            waits
                .map(|wait| format!("{} {:?}", wait.resource_type, wait.name))
                .collect::<Vec<_>>()
        });
        let subscribed = || told.subscription.map(|subscription| subscription.names().len());
        let names = told.names.map(|(names, _)| names).or_else(subscribed);
        debug!(
            resource_type = told.resource_type.map(display),
            version = told.delivery.map(|delivery| display(&delivery.version)),
            nonce = told.delivery.map(|delivery| display(&delivery.nonce)),
            revision = told.revision.map(display),
            wildcard = told.subscription.map(Subscription::is_wildcard),
            names,
            sample = told.names.map(|(_, sample)| debug(sample)),
            waits = waits.map(debug),
            held = told.standing.map(|standing| standing.held),
            "{}",
            told.event
        );
    }
}
