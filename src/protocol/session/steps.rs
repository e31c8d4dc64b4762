//! The next response of one type: a step towards the goal, answers to requests, or removals that are due.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use crate::{
    protocol::{
        Contents, Delivery, Nonce, Outcome, Session, Variant,
        policy::{is_full_state, waits},
        respond::{
            client::Client,
            draft::{Asked, Draft, Recipient},
            plan::{Plan, Terms, plan},
            resolve::{Resolution, Sources},
        },
        type_state::{Owed, Purpose, Replaced, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType},
    snapshot::Snapshot,
};

/// The decision about the next response of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is nothing to send, or it may not be sent yet.
    Pass,
    /// S-5: the client presents the current version, and need not be sent it again.
    Presented,
    /// The first response of the type on this stream.
    First,
    /// A step towards the goal; an answer if the step needs no response.
    Step,
    /// The client holds the goal's resources of the type: it counts as advanced to the goal, and is answered.
    Follow,
    /// The client may not be advanced to the goal yet, but is answered.
    Answer,
}

impl Session {
    /// The next response of type `index`: its step towards the goal, or answers if there is none.
    pub(super) fn next_draft(&mut self, index: usize, goal: &Arc<Snapshot>, now: Instant) -> Option<Draft> {
        match self.turn(&self.types[index], goal, now) {
            Turn::Pass => None,
            Turn::Presented => {
                self.take_as_presented(index, goal);
                None
            }
            Turn::First => {
                self.types[index].presented = None;
                self.advance(index, goal, now)
            }
            Turn::Step => {
                let step = self.advance(index, goal, now);
                step.or_else(|| self.answer_if_allowed(index, goal, now))
            }
            Turn::Follow => {
                self.types[index].view.follow(goal);
                self.answer_if_allowed(index, goal, now)
            }
            Turn::Answer => self.answer_if_allowed(index, goal, now),
        }
    }

    /// Decides about the next response of a type, and changes nothing.
    fn turn(&self, state: &TypeState, goal: &Arc<Snapshot>, now: Instant) -> Turn {
        if goal.get(&state.kind).is_none() {
            return Turn::Pass;
        }
        if state.fresh {
            if !state.in_flight.is_empty() || state.subscription.is_empty() || !self.is_known(state, goal) {
                return Turn::Pass;
            }
            return if is_presented(state, goal) {
                Turn::Presented
            } else {
                Turn::First
            };
        }
        if !state.lags_behind(goal) {
            Turn::Follow
        } else if self.may_advance(state, now) && self.is_known(state, goal) {
            Turn::Step
        } else {
            Turn::Answer
        }
    }

    /// Answers what is owed, if a response may be sent.
    fn answer_if_allowed(&mut self, index: usize, goal: &Arc<Snapshot>, now: Instant) -> Option<Draft> {
        let state = &self.types[index];
        if !self.may_answer(state) || !state.owes_answer() {
            return None;
        }
        self.answer(index, goal, now)
    }

    /// Returns true if another response that advances the client may be sent now (S-15). Only one may be unanswered,
    /// except for clusters that an Envoy is warming (O-5).
    fn may_advance(&self, state: &TypeState, now: Instant) -> bool {
        let Some(last) = state.in_flight.last() else {
            return true;
        };
        let patience = self.policy.ordering.patience;
        self.sends_beside(state) && now.saturating_duration_since(last.sent_at) >= patience
    }

    /// Returns true if a response of the type may be sent beside unanswered ones.
    pub(super) fn sends_beside(&self, state: &TypeState) -> bool {
        let has_room = state.in_flight.len() < self.policy.limits.answers_in_flight;
        state.kind == ResourceType::Cluster && self.is_aggregated() && self.features.envoy && has_room
    }

    fn may_answer(&self, state: &TypeState) -> bool {
        match self.variant {
            Variant::Sotw => state.in_flight.is_empty(),
            Variant::Delta => state.in_flight.len() < self.policy.limits.answers_in_flight,
        }
    }

    /// Records that the client holds the current version, which it presented.
    fn take_as_presented(&mut self, index: usize, goal: &Arc<Snapshot>) {
        let state = &mut self.types[index];
        state.presented = None;
        state.fresh = false;
        state
            .view
            .restore(Arc::clone(goal), BTreeMap::new(), BTreeMap::new(), Vec::new());
        state.due.forgive_answer();
        self.report_presented(index, goal);
    }

    /// Reports that the client presented the current version.
    pub(super) fn report_presented(&mut self, index: usize, goal: &Snapshot) {
        let kind = &self.types[index].kind;
        let Some(resources) = goal.get(kind) else {
            return;
        };
        self.outcomes.push_back(Outcome::Presented(Delivery {
            resource_type: kind.clone(),
            version: resources.version().clone(),
            nonce: Nonce::from(String::new()),
            revision: goal.revision(),
        }));
    }

    /// Advances the client to the goal. Returns the response, if one is needed.
    fn advance(&mut self, index: usize, goal: &Arc<Snapshot>, now: Instant) -> Option<Draft> {
        let to = Arc::clone(goal.get(&self.types[index].kind)?);
        let mut step = self.plan(index, goal, now);
        if step.waits {
            return None;
        }
        let state = &mut self.types[index];
        let first = std::mem::take(&mut state.fresh);
        let from = state.view.resources().cloned();
        step.removed.extend(state.supersede(from.as_ref(), &to));
        // A refused full state is replaced by one that can be ACKed, even if that only lacks resources.
        if state.refused.is_any_state() {
            state.due.owe_answer();
        }
        let is_step = from.as_ref().is_none_or(|from| !Arc::ptr_eq(from, &to))
            || step.exceptions.held.len() != state.view.held().len();
        state.view.advance(goal, std::mem::take(&mut step.exceptions));
        state.keep_fallback();
        let draft = self.draft(index, goal, now, step, first);
        if draft.is_none() {
            self.advanced |= is_step;
            self.types[index].settle(goal);
        }
        draft
    }

    /// The step to the goal from what the client holds.
    #[must_use]
    pub(super) fn plan(&self, index: usize, goal: &Arc<Snapshot>, now: Instant) -> Plan {
        let state = &self.types[index];
        let Some(to) = goal.get(&state.kind) else {
            return Plan::default();
        };
        let ordered = self.is_ordered();
        let gates = ordered && waits(&state.kind);
        let mut in_use = BTreeSet::new();
        if ordered && (state.refused.any() || !state.in_flight.is_empty()) {
            in_use = self.needed(&state.kind, goal).into_names();
        }
        let gate =
            |resource: &Resource, holding: Option<&Resource>| self.awaited_by(state, resource, holding, goal, now);
        // O-2: a first answer is taken from the snapshot whose clusters the client was given.
        let clusters = self.state_of(&ResourceType::Cluster);
        let given = clusters.and_then(|clusters| clusters.view.base());
        let given = given.filter(|given| !Arc::ptr_eq(given, goal));
        let terms = Terms {
            keeps: ordered,
            keeps_presented: !state.returned || self.features.envoy || self.has_parents_of(&state.kind),
            in_use: &in_use,
            gate: (gates && self.anything_awaited(&state.kind, goal)).then_some(&gate),
            older: given.and_then(|given| given.get(&state.kind)).map(AsRef::as_ref),
            now,
        };
        plan(self.client(state), to, terms)
    }

    pub(super) fn client<'a>(&self, state: &'a TypeState) -> Client<'a> {
        Client {
            kind: &state.kind,
            variant: self.variant,
            subscription: &state.subscription,
            view: &state.view,
            refused: &state.refused,
            fresh: state.fresh,
            idle: state.in_flight.is_empty(),
        }
    }

    /// Answers requests, and sends suspects once more.
    pub(super) fn answer(&mut self, index: usize, goal: &Arc<Snapshot>, now: Instant) -> Option<Draft> {
        let state = &mut self.types[index];
        if state.retry_is_due() {
            let retry = state.due.take_retries().into_iter();
            // A name that was refused again meanwhile is not sent again.
            let again =
                |name: &ResourceName| state.subscription.selects_name(name) && !state.refused.names(name.as_str());
            let again: Vec<_> = retry.filter(again).collect();
            state.due.owe(again);
        }
        if !state.owes_answer() {
            return None;
        }
        self.draft(index, goal, now, Plan::default(), false)
    }

    /// Removes resources that are gone from the client. Returns the response, if one is needed.
    pub(super) fn release(&mut self, index: usize, names: &BTreeSet<ResourceName>) -> Option<Draft> {
        let variant = self.variant;
        let state = &mut self.types[index];
        let mut others = Vec::new();
        let unknown = names.iter().any(|name| state.view.holds_unknown_as(name));
        for name in names {
            let drains = state.kind == ResourceType::Route && state.subscription.names().contains(name);
            others.extend(state.view.release(name, drains));
        }
        let to = Arc::clone(state.view.resources()?);
        let removed = names.iter().filter(|name| state.subscription.selects_name(name));
        let step = Plan {
            removed: removed.cloned().collect(),
            replaced: Replaced {
                from: None,
                others,
                unknown,
                ..Replaced::default()
            },
            ..Plan::default()
        };
        state.missing.note(step.removed.iter(), state.subscription.names());
        let mut draft = Draft::compose(recipient(state, variant), &to, step, Asked::default())?;
        draft.purpose = Purpose::Break;
        Some(draft)
    }

    /// Makes a response from a step and everything owed, and records the new state of the client. `first` marks the
    /// first response of the type on this stream.
    fn draft(&mut self, index: usize, goal: &Arc<Snapshot>, now: Instant, step: Plan, first: bool) -> Option<Draft> {
        let variant = self.variant;
        let to = Arc::clone(self.types[index].view.resources()?);
        let owed = self.types[index].due.take();
        let mut resolution = match owed.as_ref().filter(|owed| !owed.needs_no_look()) {
            Some(owed) => self.resolve(index, owed, &step.changed, goal, now),
            None => Resolution::default(),
        };
        let hosts = if first {
            self.inherited_hosts(index, goal)
        } else {
            Vec::new()
        };
        let state = &mut self.types[index];
        resolution.apply(&mut state.view, now);
        for host in hosts {
            state.view.retain(&host, now);
            resolution.found.push(host);
        }
        let late = std::mem::take(&mut resolution.late).into_iter();
        state.due.owe(late.filter(|name| step.changed.get(name).is_none()));
        let names = state.subscription.names();
        state
            .missing
            .note(resolution.missing.iter().chain(&step.removed), names);
        let (answer, children) = owed.map_or((false, false), |owed| {
            (owed.answer, owed.children_at_first || !owed.children.is_empty())
        });
        let asked = Asked {
            resolution,
            owed: answer,
            children,
            first,
        };
        let draft = Draft::compose(recipient(state, variant), &to, step, asked);
        if let Some(draft) = &draft {
            state.missing.note_found(draft.resources.iter().map(AsRef::as_ref));
            forget_retries(state, draft);
        }
        draft
    }

    fn resolve(&self, index: usize, owed: &Owed, changed: &Contents, goal: &Arc<Snapshot>, now: Instant) -> Resolution {
        let state = &self.types[index];
        let Some(base) = state.view.resources() else {
            return Resolution::default();
        };
        let gates = self.is_ordered() && waits(&state.kind);
        let may_be_sent = |resource: &Resource| !gates || self.may_be_sent(&state.kind, resource, goal, now);
        let may_follow = |resource: &Resource| !gates || self.awaited_by(state, resource, None, goal, now).is_none();
        let inherited = |name: &ResourceName| self.inherited(&state.kind, name, goal);
        let older = |newest: &Resource| self.older(&state.kind, newest, goal, now);
        // A resource of the goal waits for its clusters; one that the goal lacks may have lost them.
        let is_gone = |resource: &Resource| goal.resource(&state.kind, resource.name.as_str()).is_none();
        let is_usable = |resource: &Resource| !gates || !is_gone(resource) || self.names_given_clusters(resource);
        let sources = Sources {
            changed,
            is_usable: &is_usable,
            goal: goal.get(&state.kind),
            may_be_sent: &may_be_sent,
            may_follow: &may_follow,
            inherited: &inherited,
            older: &older,
        };
        Resolution::of(self.client(state), owed, base, sources)
    }
}

/// S-5: a client that reconnects with the current version of a pure wildcard need not be sent it again.
fn is_presented(state: &TypeState, goal: &Snapshot) -> bool {
    let Some(presented) = &state.presented else {
        return false;
    };
    let current = goal.get(&state.kind).map(|resources| resources.version());
    state.subscription.is_pure_wildcard() && is_full_state(&state.kind) && current == Some(presented)
}

/// Forgets suspects that the response carries: they need not be sent once more.
fn forget_retries(state: &mut TypeState, draft: &Draft) {
    if state.due.retries() == 0 {
        return;
    }
    for resource in draft.resources.iter() {
        // An accepted version may stand in for the refused one; then the suspect stays.
        let stands_in = state.view.held().contains_key(&resource.name) && !state.refused.has(resource);
        if !stands_in {
            state.due.forget_retry(&resource.name);
        }
    }
}

fn recipient(state: &TypeState, variant: Variant) -> Recipient<'_> {
    Recipient {
        kind: &state.kind,
        variant,
        subscription: &state.subscription,
        view: &state.view,
        refused: &state.refused,
        under_way: state.in_flight.last().map(|sent| &sent.resources),
        quiet_removals: state.quiet_removals,
        bare_errors: state.bare_errors,
    }
}
