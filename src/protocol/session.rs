//! The state machine of one stream.
//!
//! Requests and snapshots only edit records; [`Session::poll_response`] reads off them what to say next, from the newest
//! snapshot. So there is no queue to overflow, no watch to lose and nothing stale to send.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    Delivery, Features, Nonce, Outcome, Policy, ProtocolError, Response, Standing, Variant,
    draft::Draft,
    nonce::Nonces,
    subscription::{Edit, Lists, Subscription, Unshared},
    type_state::{InFlight, Step, TypeState},
};
use crate::{
    proto::google::rpc,
    resource::{ResourceName, ResourceType},
    snapshot::{Revision, Snapshot},
};

/// What a stream serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// ADS: every type.
    Aggregated,
    /// A service of one type.
    Single(ResourceType),
}

/// One stream: requests and snapshots in, responses and outcomes out.
///
/// Call [`Session::poll_response`] until it returns `None` after each request, each snapshot and each timeout; drain
/// [`Session::poll_outcome`] afterwards.
#[derive(Debug)]
pub struct Session {
    pub(super) variant: Variant,
    scope: Scope,
    pub(super) policy: Arc<Policy>,
    pub(super) features: Features,
    pub(super) nonces: Nonces,
    node_id: String,
    /// Where lists of names are shared with other streams.
    pub(super) names: Arc<dyn Lists>,
    pub(super) goal: Option<Arc<Snapshot>>,
    /// In send order.
    pub(super) types: Vec<TypeState>,
    /// Children of parents that changed while the client was away, not asked for yet (D-6).
    pub(super) owed_children: BTreeSet<(ResourceType, ResourceName)>,
    /// Whether only removals are left to do.
    pub(super) is_made: bool,
    pub(super) last_poll: Option<Instant>,
    /// The rest of a response that was divided: entered as sent, and handed out before anything else (L-13).
    pub(super) parts: VecDeque<Response>,
    pub(super) outcomes: VecDeque<Outcome>,
    progress: Option<Outcome>,
    standing: Standing,
}

// === impl Session ===

impl Session {
    /// A stream of the node `node_id`. `stream` must be unique over streams and processes: nonces are made from it (S-1).
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
            owed_children: BTreeSet::new(),
            is_made: false,
            last_poll: None,
            parts: VecDeque::new(),
            outcomes: VecDeque::new(),
            progress: None,
            standing: Standing::default(),
        }
    }

    /// The same for a client that can take more than the least (F).
    #[must_use]
    pub fn with_features(self, features: Features) -> Self {
        Self { features, ..self }
    }

    /// Shares its lists of names with the other streams that are given the same.
    #[must_use]
    pub fn with_names(self, names: Arc<dyn Lists>) -> Self {
        Self { names, ..self }
    }

    /// Whether this is an ADS stream.
    #[must_use]
    pub fn is_aggregated(&self) -> bool {
        self.scope == Scope::Aggregated
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.policy.ordering.enabled && self.is_aggregated()
    }

    /// The group's newest snapshot. Older ones that were not sent yet never will be (S-15).
    pub fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.goal = Some(snapshot);
    }

    /// The next response, if there is one to send now.
    pub fn poll_response(&mut self, now: Instant) -> Option<Response> {
        self.last_poll = Some(now);
        let response = self.next_part().or_else(|| self.next_response(now))?;
        // A heartbeat changes nothing that the books tell of.
        if response.heartbeats.is_empty() {
            self.outcomes.push_back(Outcome::Sent(response.delivery.clone()));
        }
        Some(response)
    }

    fn next_response(&mut self, now: Instant) -> Option<Response> {
        let goal = Arc::clone(self.goal.as_ref()?);
        for index in 0..self.types.len() {
            if let Some(draft) = self.next_draft(index, &goal, now) {
                let kind = self.types[index].kind.clone();
                self.resend_children(&kind, &draft);
                return Some(self.finish(index, draft, now));
            }
        }
        self.note_made(&goal, now);
        while let Some((index, names)) = self.due_removal(now) {
            if let Some(draft) = self.types[index].release(self.variant, &names) {
                return Some(self.finish(index, draft, now));
            }
        }
        if let Some(heartbeat) = self.next_heartbeat(now) {
            return Some(heartbeat);
        }
        self.tell_missing(&goal);
        let standing = self.standing(&goal, now);
        if standing != self.standing {
            self.standing = standing.clone();
            self.outcomes.push_back(Outcome::Standing(standing));
        }
        self.note_progress(&goal, now);
        None
    }

    /// What happened since the last call, in order.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// What type `index` has to say: its way to the goal where the gate is open, answers where it is not.
    fn next_draft(&mut self, index: usize, goal: &Arc<Snapshot>, now: Instant) -> Option<Draft> {
        let state = &self.types[index];
        goal.get(&state.kind)?;
        let idle = state.in_flight.is_empty();
        let fresh = state.base.is_none();
        let may_answer = match self.variant {
            Variant::Sotw => idle,
            Variant::Delta => state.in_flight.len() < self.policy.limits.answers_in_flight,
        };
        if fresh {
            if !idle || state.subscription.is_empty() {
                return None;
            }
            let reach = self.reach(index, goal);
            if self.holds_already(index, &reach) {
                return None;
            }
            return self.types[index].advance(self.variant, &reach, None, now);
        }
        if !state.lags_behind(goal) {
            self.types[index].follow(goal);
        } else if idle && self.gate_is_open(index, goal, now) {
            let in_use = self.is_ordered().then(|| self.in_use(index));
            let step = self.types[index].advance(self.variant, goal, in_use.as_ref(), now);
            if step.is_some() {
                return step;
            }
        }
        if !may_answer || !self.types[index].owes_answer() {
            return None;
        }
        let reach = self.reach(index, goal);
        self.types[index].answer(self.variant, &reach)
    }

    /// S-5: a client that comes back with the current version of a pure wildcard need not be sent it again.
    fn holds_already(&mut self, index: usize, snapshot: &Arc<Snapshot>) -> bool {
        let state = &mut self.types[index];
        let Some(presented) = state.presented.take() else {
            return false;
        };
        let current = snapshot.get(&state.kind).map(|resources| resources.version());
        let skip = state.subscription.is_pure_wildcard()
            && matches!(state.kind, ResourceType::Cluster | ResourceType::Listener)
            && current == Some(&presented);
        if skip {
            state.settle(snapshot);
            state.answer = false;
            let delivery = Delivery {
                resource_type: state.kind.clone(),
                version: presented,
                nonce: Nonce::from(String::new()),
                revision: snapshot.revision(),
            };
            self.outcomes.push_back(Outcome::Presented(delivery));
        }
        skip
    }

    /// Tells, once, how far the stream is when there is nothing left to send.
    fn note_progress(&mut self, goal: &Snapshot, now: Instant) {
        if self.types.iter().any(|state| !state.in_flight.is_empty()) {
            return;
        }
        let refused = self.types.iter().any(|state| state.refused.any());
        let done = self
            .types
            .iter()
            .all(|state| !state.lags_behind(goal) && state.retry.is_empty())
            && self.removals_rest(now);
        let progress = match (refused, done) {
            (true, _) => Outcome::Blocked(goal.revision()),
            (false, true) => Outcome::Synced(goal.revision()),
            (false, false) => return,
        };
        if self.progress.as_ref() != Some(&progress) {
            self.progress = Some(progress.clone());
            self.outcomes.push_back(progress);
        }
    }

    /// Checks what holds for every request, and finds its type.
    pub(super) fn accept(&self, node_id: Option<&str>, type_url: &str) -> Result<ResourceType, ProtocolError> {
        if let Some(id) = node_id
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

    /// The record of a type, made where this is its first request; whether it is.
    pub(super) fn enter(&mut self, kind: &ResourceType) -> Result<(usize, bool), ProtocolError> {
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

    /// Applies a change of subscription, and tells of it.
    pub(super) fn subscribe(&mut self, index: usize, edit: Edit, first: bool) -> Result<(), ProtocolError> {
        let limit = self.policy.limits.names_per_type;
        let state = &mut self.types[index];
        if state.subscription.names().len() > limit {
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

    /// Matches a request's nonce to a response in flight, and settles it as ACK or NACK (S-6, D-3).
    pub(super) fn on_nonce(&mut self, index: usize, nonce: &str, error: Option<rpc::Status>) {
        let state = &mut self.types[index];
        let Some(at) = state.in_flight.iter().position(|sent| sent.delivery.nonce.is(nonce)) else {
            // The last response again: a change of subscription, or a NACK repeated (P11). Any other nonce is stale.
            if state.last_nonce.as_ref().is_none_or(|last| !last.is(nonce)) {
                let resource_type = state.kind.clone();
                self.outcomes.push_back(Outcome::StaleNonce { resource_type });
            }
            return;
        };
        let sent = state.in_flight.remove(at).expect("the position was just found");
        match error {
            None if sent.is(Step::Heartbeat) => {}
            None => {
                self.outcomes.push_back(Outcome::Ack(sent.delivery.clone()));
                if self.features.ttl {
                    state.beat.get_or_insert_default().acked = Some(sent.delivery.version.clone());
                }
                state.on_ack(self.variant, sent);
            }
            Some(status) => {
                if !sent.is(Step::Heartbeat) {
                    state.on_nack(self.variant, &sent);
                }
                self.outcomes.push_back(Outcome::Nack {
                    delivery: sent.delivery,
                    code: status.code,
                    message: status.message,
                });
            }
        }
    }

    /// S-6b: an Envoy without watches for the type answers with the new nonce and the old version, and has applied
    /// nothing. It is no ACK, no NACK, and no reason to send anything.
    pub(super) fn on_ignored(&mut self, index: usize, nonce: &str) {
        let state = &mut self.types[index];
        let is_it = |sent: &InFlight| sent.delivery.nonce.is(nonce);
        if let Some(at) = state.in_flight.iter().position(is_it)
            && let Some(sent) = state.in_flight.remove(at)
        {
            self.outcomes.push_back(Outcome::Ignored(sent.delivery));
        }
    }

    /// The newest revision of the goal, for those who ask what the stream is heading for.
    #[must_use]
    pub fn goal_revision(&self) -> Option<Revision> {
        self.goal.as_ref().map(|goal| goal.revision())
    }
}
