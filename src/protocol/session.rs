//! The state machine of one stream.
//!
//! Requests and snapshots only edit records. [`Session::poll_response`] makes the next response from these records and
//! the newest snapshot. So there is no queue to overflow, no watch to lose and no stale response to send.

mod answers;
mod children;
mod gate;
mod heartbeat;
mod progress;
mod recall;
mod reconnect;
mod removal;
mod send;
mod standing;
mod steps;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    Features, Memory, Outcome, Policy, ProtocolError, Response, Standing, Variant,
    nonce::Nonces,
    subscription::{Edit, Lists, Subscription, Unshared},
    type_state::TypeState,
};
use crate::{
    resource::{ResourceName, ResourceType},
    snapshot::{Revision, Snapshot},
};

/// The types that a stream serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// ADS: every type.
    Aggregated,
    /// A service of one type.
    Single(ResourceType),
}

/// One stream: requests and snapshots go in, responses and outcomes come out.
///
/// Call [`Session::poll_response`] until it returns `None` after each request, each snapshot and each timeout; drain
/// [`Session::poll_outcome`] afterwards, and come back at [`Session::poll_timeout`] at the latest.
#[derive(Debug)]
pub struct Session {
    pub(super) variant: Variant,
    scope: Scope,
    pub(super) policy: Arc<Policy>,
    pub(super) features: Features,
    nonces: Nonces,
    node_id: String,
    /// The lists of names that this stream shares with others.
    pub(super) names: Arc<dyn Lists>,
    pub(super) goal: Option<Arc<Snapshot>>,
    /// In send order.
    pub(super) types: Vec<TypeState>,
    /// The state that the node last ACKed on an earlier stream, without the types taken over by this one (O-19).
    memory: Memory,
    /// No earlier stream of the node is remembered.
    pub(super) is_stranger: bool,
    /// Children of parents that changed while the client was away, and that it has not asked for yet (D-6).
    owed_children: BTreeSet<(ResourceType, ResourceName)>,
    /// A type was advanced towards the goal without a response.
    advanced: bool,
    /// The time of the first poll.
    began: Option<Instant>,
    last_poll: Option<Instant>,
    /// Everything that came in was handled, and there is nothing to send.
    at_rest: bool,
    /// The time at which `at_rest` ends.
    wake: Option<Instant>,
    /// The remaining parts of a divided response: recorded as sent, and returned before anything else (L-13).
    parts: VecDeque<Response>,
    outcomes: VecDeque<Outcome>,
    progress: Option<Progress>,
    /// The last reported progress of a change; `None` if nothing waited and nothing was held.
    standing: Option<Box<Standing>>,
}

/// The state of a stream when nothing is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Synced(Revision),
    Blocked(Revision),
}

/// The earliest of several times that lie after a given time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earliest {
    after: Option<Instant>,
    time: Option<Instant>,
}

// === impl Earliest ===

impl Earliest {
    const fn after(after: Option<Instant>) -> Self {
        Self { after, time: None }
    }

    fn note(&mut self, time: Option<Instant>) {
        let time = time.filter(|time| self.after.is_none_or(|after| *time > after));
        self.time = self.time.into_iter().chain(time).min();
    }
}

// === impl Session ===

impl Session {
    /// `stream` must be unique over streams and processes: the nonces of the session are made from it (S-1).
    #[must_use]
    pub fn new(variant: Variant, scope: Scope, policy: Arc<Policy>, stream: Arc<str>, node_id: String) -> Self {
        Self {
            variant,
            scope,
            policy,
            features: Features::default(),
            nonces: Nonces::new(stream),
            node_id,
            names: Arc::new(Unshared),
            goal: None,
            types: Vec::new(),
            memory: Memory::default(),
            is_stranger: true,
            owed_children: BTreeSet::new(),
            advanced: false,
            began: None,
            last_poll: None,
            at_rest: false,
            wake: None,
            parts: VecDeque::new(),
            outcomes: VecDeque::new(),
            progress: None,
            standing: None,
        }
    }

    /// The variant of the stream.
    #[must_use]
    pub const fn variant(&self) -> Variant {
        self.variant
    }

    /// Sets the features of the client, which has none by default (F).
    #[must_use]
    pub fn with_features(self, features: Features) -> Self {
        Self { features, ..self }
    }

    /// Shares lists of names with all streams that are given the same `names`.
    #[must_use]
    pub fn with_names(self, names: Arc<dyn Lists>) -> Self {
        Self { names, ..self }
    }

    /// Returns true if this is an ADS stream.
    #[must_use]
    pub fn is_aggregated(&self) -> bool {
        self.scope == Scope::Aggregated
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.policy.ordering.enabled && self.is_aggregated()
    }

    /// Takes the group's newest snapshot. Older snapshots that were not sent yet are never sent (S-15).
    pub fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.goal = Some(snapshot);
        self.at_rest = false;
    }

    /// The snapshot from which responses are made.
    #[must_use]
    pub fn goal(&self) -> Option<&Snapshot> {
        self.goal.as_deref()
    }

    /// The newest revision of the goal.
    #[must_use]
    pub fn goal_revision(&self) -> Option<Revision> {
        self.goal.as_ref().map(|goal| goal.revision())
    }

    /// The next response, if one can be sent now. If not, [`Session::poll_outcome`] reports everything that happened.
    #[must_use]
    pub fn poll_response(&mut self, now: Instant) -> Option<Response> {
        self.began.get_or_insert(now);
        self.last_poll = Some(now);
        if self.at_rest && self.wake.is_none_or(|wake| now < wake) {
            return None;
        }
        self.at_rest = false;
        let Some(response) = self.next_part().or_else(|| self.next_response(now)) else {
            self.wake = self.poll_timeout();
            self.at_rest = true;
            return None;
        };
        // A heartbeat changes no record.
        if response.heartbeats.is_empty() {
            self.outcomes.push_back(Outcome::Sent(response.delivery.clone()));
        }
        Some(response)
    }

    /// The order is: each type in send order, then removals, then heartbeats.
    fn next_response(&mut self, now: Instant) -> Option<Response> {
        let goal = Arc::clone(self.goal.as_ref()?);
        // A type that is advanced to the goal without a response may release an earlier type that waits for it.
        self.advanced = true;
        while std::mem::take(&mut self.advanced) {
            for index in 0..self.types.len() {
                if let Some(draft) = self.next_draft(index, &goal, now) {
                    let kind = self.types[index].kind.clone();
                    self.resend_children(&kind, &draft);
                    return Some(self.finish(index, draft, now));
                }
            }
        }
        while let Some((index, names)) = self.due_removal(&goal, now) {
            if let Some(draft) = self.release(index, &names) {
                return Some(self.finish(index, draft, now));
            }
        }
        if let Some(response) = self.next_heartbeat(now) {
            return Some(response);
        }
        self.report(&goal, now);
        None
    }

    /// Takes the oldest outcome since the last call.
    #[must_use]
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// The next time at which a response may become due without any other event.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.at_rest {
            return self.wake;
        }
        let mut earliest = Earliest::after(self.last_poll);
        self.note_order_times(&mut earliest);
        self.beats().for_each(|beat| earliest.note(Some(beat)));
        earliest.time
    }

    /// Makes the checks of every request, and finds its type.
    pub(super) fn accept(&self, node_id: Option<&str>, type_url: &str) -> Result<ResourceType, ProtocolError> {
        // L-3: an empty node is treated like no node.
        if let Some(id) = node_id.filter(|id| !id.is_empty())
            && id != self.node_id
        {
            return Err(ProtocolError::NodeChanged(self.node_id.clone(), id.to_owned()));
        }
        match (&self.scope, type_url) {
            (Scope::Aggregated, "") => Err(ProtocolError::MissingTypeUrl),
            (Scope::Single(kind), "") => Ok(kind.clone()),
            (Scope::Aggregated, url) => {
                ResourceType::from_type_url(url).ok_or_else(|| ProtocolError::MalformedTypeUrl(url.to_owned()))
            }
            (Scope::Single(kind), url) if url == kind.type_url() => Ok(kind.clone()),
            (Scope::Single(kind), url) => Err(ProtocolError::ForeignType(url.to_owned(), kind.clone())),
        }
    }

    /// The index of the type's state, which the first request of the type makes; `true` if this is that request.
    pub(super) fn find_or_add_type(&mut self, kind: &ResourceType) -> Result<(usize, bool), ProtocolError> {
        self.at_rest = false;
        match self.types.binary_search_by(|state| state.kind.cmp(kind)) {
            Ok(index) => Ok((index, false)),
            Err(_) if self.types.len() == self.policy.limits.types => {
                Err(ProtocolError::TooManyTypes(self.policy.limits.types))
            }
            Err(index) => {
                let on_demand = self.policy.on_demand.get(kind).cloned();
                let mut state = TypeState::new(kind.clone(), Subscription::leaving_out(on_demand));
                state.quiet_removals = self.policy.quiet_removals.contains(kind);
                state.bare_errors = self.policy.resource_errors && self.features.bare_errors;
                self.types.reserve_exact(1);
                self.types.insert(index, state);
                Ok((index, true))
            }
        }
    }

    /// The state of a type, if the client asks for the type on this stream.
    pub(super) fn state_of(&self, kind: &ResourceType) -> Option<&TypeState> {
        self.types.iter().find(|state| state.kind == *kind)
    }

    /// Applies a change of subscription, and reports it.
    pub(super) fn subscribe(&mut self, index: usize, edit: Edit, first: bool) -> Result<(), ProtocolError> {
        self.at_rest = false;
        let limit = self.policy.limits.names_per_type;
        let most = self.policy.limits.subscribed_bytes;
        let bytes: usize = self.types.iter().map(|state| state.subscription.bytes()).sum();
        if bytes > most {
            return Err(ProtocolError::TooManyNameBytes(most));
        }
        let state = &mut self.types[index];
        if state.subscription.len() > limit {
            return Err(ProtocolError::TooManyNames(limit, state.kind.clone()));
        }
        let changed = edit.changed || first;
        state.apply(edit);
        if changed {
            self.outcomes.push_back(Outcome::Subscribed {
                resource_type: state.kind.clone(),
                subscription: state.subscription.clone(),
            });
        }
        Ok(())
    }
}
