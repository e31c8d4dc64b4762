//! The record of one (stream, type): what is subscribed, what was sent, what must be sent again, what awaits its ACK.
//!
//! What the client holds is never a map of all names: it is the snapshot it was last brought to, and few exceptions.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    Contents, Delivery, Nonce, Variant,
    policy::{applies_valid_part, is_full_state, repeats_unchanged, tells_removal, waits},
    refused::{Refused, Suspects},
    subscription::{Edit, Subscription, glob_selects},
};
use crate::{
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::{Snapshot, TypeResources},
};

/// The record of one type on one stream.
#[derive(Debug)]
pub(super) struct TypeState {
    pub(super) kind: ResourceType,
    pub(super) subscription: Subscription,
    /// The snapshot this type was last brought to; `None` until its first response.
    pub(super) base: Option<Arc<Snapshot>>,
    /// The last base that was ACKed: what a refused change is measured from (O-4).
    pub(super) acked: Option<Arc<Snapshot>>,
    /// Gone from the base, but left with the client until nothing it holds can need it (O-3, O-12).
    pub(super) retained: BTreeMap<ResourceName, Retained>,
    /// Removed route configurations that the client still asks for: a listener drains with them (O-12).
    pub(super) drained: BTreeMap<ResourceName, Retained>,
    /// Names that the client holds in another version than the base says: presented at reconnect (D-5), or answered
    /// ahead of the base.
    pub(super) held: BTreeMap<ResourceName, Version>,
    /// Names to send whatever was sent: new, asked for again (W-6, D-4), or children of a changed parent (O-6, O-13).
    pub(super) resend: BTreeSet<ResourceName>,
    /// What was refused together with something that has changed since: it may have been the other's fault, and Envoy
    /// stops at the first bad resource of most types. Sent once more, on its own.
    pub(super) retry: BTreeSet<ResourceName>,
    /// Delta: globs whose members were asked for; an empty one is answered by its own name.
    pub(super) globs: Vec<ResourceName>,
    /// A response is owed even if it is empty (S-9, D-13).
    pub(super) answer: bool,
    /// SotW: the version the client came with (S-5).
    pub(super) presented: Option<Version>,
    /// Responses awaiting their ACK: one at most in SotW (S-15).
    pub(super) in_flight: VecDeque<InFlight>,
    /// The nonce of the last response; a request naming another is stale (S-12).
    pub(super) last_nonce: Option<Nonce>,
    /// What the client refused and was not given better of since: nothing that depends on it is sent (O-4).
    pub(super) refused: Refused,
    /// Names to send because a parent changed (O-6, O-13): what comes after waits for them too (O-3).
    pub(super) children: BTreeSet<ResourceName>,
    /// Delta: the client came with versions of an earlier stream (D-5).
    pub(super) reconnected: bool,
}

/// A resource that the client holds though it is gone.
#[derive(Clone, Debug)]
pub(super) struct Retained {
    pub(super) resource: Arc<Resource>,
    /// When it was removed: no hold lasts for ever.
    pub(super) since: Instant,
    /// When everything that takes its place was first ACKed (O-12).
    pub(super) made: Option<Instant>,
    /// The client was not sent another version that it refused: it may have applied that (S-8).
    pub(super) certain: bool,
}

/// A response awaiting its ACK.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) delivery: Delivery,
    pub(super) step: Step,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) resources: Contents,
    pub(super) removed: Vec<ResourceName>,
    pub(super) sent_at: Instant,
}

/// What a response is to the order of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Adds or changes: what depends on it waits for its ACK.
    Make,
    /// Removes: what it depends on is removed after its ACK.
    Break,
    /// Answers a request: nothing waits for it (O-2).
    Answer,
}

/// A response in the making.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) resources: Contents,
    pub(super) removed: Vec<ResourceName>,
    pub(super) unresolved: Vec<ResourceName>,
    pub(super) step: Step,
    /// What the client did not hold in this version before: its children are sent again.
    pub(super) changed: Vec<Arc<Resource>>,
    /// It carries children of a changed parent.
    pub(super) children: bool,
}

/// What advancing to another snapshot means for one subscription.
#[derive(Debug, Default)]
struct Advance {
    changed: Vec<Arc<Resource>>,
    removed: Vec<ResourceName>,
    /// The resources are exactly the diff's, so that all wildcard streams share them.
    shared: Option<Contents>,
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn is(&self, step: Step) -> bool {
        self.step == step
    }
}

// === impl TypeState ===

impl TypeState {
    pub(super) fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            subscription: Subscription::default(),
            base: None,
            acked: None,
            retained: BTreeMap::new(),
            drained: BTreeMap::new(),
            held: BTreeMap::new(),
            resend: BTreeSet::new(),
            retry: BTreeSet::new(),
            globs: Vec::new(),
            answer: false,
            presented: None,
            in_flight: VecDeque::new(),
            last_nonce: None,
            refused: Refused::Nothing,
            children: BTreeSet::new(),
            reconnected: false,
        }
    }

    /// The resources of this type that the client was last brought to.
    pub(super) fn base(&self) -> Option<&Arc<TypeResources>> {
        self.base.as_ref().and_then(|base| base.get(&self.kind))
    }

    /// Whether a response of this step is in flight.
    pub(super) fn awaits(&self, step: Step) -> bool {
        self.in_flight.iter().any(|sent| sent.is(step))
    }

    /// Whether the client may hold something else than the snapshot's resources of this type.
    pub(super) fn lags_behind(&self, goal: &Snapshot) -> bool {
        match (self.base(), goal.get(&self.kind)) {
            (Some(base), Some(goal)) => !Arc::ptr_eq(base, goal) || !self.held.is_empty(),
            (None, Some(_)) => self.base.is_some() || !self.subscription.is_empty(),
            (_, None) => false,
        }
    }

    /// Whether advancing to the snapshot would send something. Shares the cached diff.
    pub(super) fn has_news(&self, goal: &Snapshot) -> bool {
        let (Some(base), Some(to)) = (self.base(), goal.get(&self.kind)) else {
            return self.lags_behind(goal);
        };
        !Arc::ptr_eq(base, to) && !self.changed_between(Some(base), to).is_empty()
    }

    /// What the subscription's change asks for.
    pub(super) fn apply(&mut self, edit: Edit) {
        for name in &edit.dropped {
            self.resend.remove(name);
            self.children.remove(name);
            self.held.remove(name);
            self.drained.remove(name);
            if !self.subscription.is_wildcard() {
                self.retained.remove(name);
            }
        }
        if edit.changed {
            let suspects = self.refused.give_up(&self.subscription);
            self.reconsider(suspects);
        }
        if edit.wildcard_added {
            self.answer = true;
            if let Some(base) = self.base() {
                let all: Vec<_> = base.iter().map(|resource| resource.name.clone()).collect();
                self.resend.extend(all);
            }
        }
        self.globs.extend(edit.globs);
        self.resend.extend(edit.asked);
    }

    /// Notes that the client holds what the snapshot says, without a response.
    pub(super) fn settle(&mut self, snapshot: &Arc<Snapshot>) {
        if !self.refused.any() && self.in_flight.is_empty() {
            self.acked = Some(Arc::clone(snapshot));
        }
        self.base = Some(Arc::clone(snapshot));
    }

    /// The client accepted a response.
    pub(super) fn on_ack(&mut self, variant: Variant, sent: InFlight) {
        let full_state = self.is_full_state(variant);
        if full_state {
            self.refused.accept_state();
        } else {
            let suspects = self.refused.accept(&sent.resources);
            self.retry.extend(suspects.removed);
        }
        if self.in_flight.is_empty() && !self.refused.any() {
            self.acked = Some(sent.snapshot);
        }
    }

    /// The client refused a response.
    pub(super) fn on_nack(&mut self, variant: Variant, sent: &InFlight) {
        let full_state = self.is_full_state(variant);
        if full_state {
            self.refused.add_state(&sent.resources);
            return;
        }
        let unapplied = if applies_valid_part(&self.kind) {
            &[]
        } else {
            &sent.removed[..]
        };
        let suspects = self.refused.add(&sent.resources, unapplied, &self.subscription);
        self.reconsider(suspects);
        // The goal may have moved on while the response was under way.
        let base = self.base().cloned();
        let held = &self.held;
        let suspects = self.refused.keep_only(|refused| {
            let ahead = held.get(&refused.name) == Some(&refused.version);
            let now = base.as_ref().and_then(|base| base.get(refused.name.as_str()));
            ahead || now.is_some_and(|now| now.version == refused.version)
        });
        self.reconsider(suspects);
    }

    /// Whether each response replaces all that the client holds.
    fn is_full_state(&self, variant: Variant) -> bool {
        variant == Variant::Sotw && (is_full_state(&self.kind) || self.subscription.is_wildcard())
    }

    /// Follows a snapshot in which this type is the same, so that the older one can be freed.
    pub(super) fn follow(&mut self, goal: &Arc<Snapshot>) {
        let same = |held: &Option<Arc<Snapshot>>| {
            let resources = held.as_ref().and_then(|held| held.get(&self.kind));
            matches!((resources, goal.get(&self.kind)), (Some(a), Some(b)) if Arc::ptr_eq(a, b))
        };
        if same(&self.acked) {
            self.acked = Some(Arc::clone(goal));
        }
        if same(&self.base) {
            self.base = Some(Arc::clone(goal));
        }
    }

    /// Brings the client to `goal`: the response that takes, if any. What is gone stays with the client for now, where it
    /// is said what may be `in_use` though it was refused; otherwise it goes at once.
    pub(super) fn advance(
        &mut self,
        variant: Variant,
        goal: &Arc<Snapshot>,
        in_use: Option<&BTreeSet<ResourceName>>,
        now: Instant,
    ) -> Option<Draft> {
        let to = Arc::clone(goal.get(&self.kind)?);
        let first = self.base.is_none();
        let Advance {
            changed,
            removed,
            shared,
        } = self.plan(variant, &to, in_use, now);
        self.held.clear();
        let suspects = self.refused.supersede(&to);
        self.reconsider(suspects);
        // A refused full state is replaced by one that can be ACKed, even where that only lacks something.
        self.answer |= matches!(self.refused, Refused::State(_));
        self.base = Some(Arc::clone(goal));
        let Some(mut draft) = self.draft(variant, &to, None, changed, removed, first) else {
            self.settle(goal);
            return None;
        };
        if !draft.changed.is_empty() {
            draft.step = Step::Make;
        }
        if let (Variant::Delta, Some(shared)) = (variant, shared)
            && shared.len() == draft.resources.len()
            && shared.len() == draft.changed.len()
        {
            draft.resources = shared;
        }
        Some(draft)
    }

    /// What was refused together with something that has changed since is sent once more: it may have been the other's
    /// fault (D-15).
    fn reconsider(&mut self, suspects: Suspects) {
        if applies_valid_part(&self.kind) {
            // A bad one among them keeps nothing else from being applied.
            self.resend.extend(suspects.resources);
        } else {
            self.retry.extend(suspects.resources);
            self.retry.extend(suspects.removed);
        }
    }

    /// Answers what was asked, from the base and, for what it does not hold, from `reach`: the newest snapshot whose
    /// clusters the client was given (O-2).
    pub(super) fn answer(&mut self, variant: Variant, reach: &Snapshot) -> Option<Draft> {
        if self.in_flight.is_empty() {
            let retry = std::mem::take(&mut self.retry).into_iter();
            self.resend
                .extend(retry.filter(|name| self.subscription.selects_name(name)));
        }
        if !self.answer && self.resend.is_empty() && self.children.is_empty() && self.globs.is_empty() {
            return None;
        }
        let base = Arc::clone(self.base()?);
        self.draft(variant, &base, reach.get(&self.kind), Vec::new(), Vec::new(), false)
    }

    /// Lets go of retained resources: the response that takes, if any.
    pub(super) fn release(&mut self, variant: Variant, names: &BTreeSet<ResourceName>) -> Option<Draft> {
        for name in names {
            if let Some(retained) = self.retained.remove(name)
                && self.kind == ResourceType::Route
                && self.subscription.names().contains(name)
            {
                self.drained.insert(name.clone(), retained);
            }
        }
        let base = Arc::clone(self.base()?);
        let removed = names
            .iter()
            .filter(|name| self.subscription.selects_name(name))
            .cloned()
            .collect();
        let mut draft = self.draft(variant, &base, None, Vec::new(), removed, false)?;
        draft.step = Step::Break;
        Some(draft)
    }

    /// What changes for this subscription between the base and `to`; moves what is gone to `retained` where asked.
    fn plan(
        &mut self,
        variant: Variant,
        to: &Arc<TypeResources>,
        in_use: Option<&BTreeSet<ResourceName>>,
        now: Instant,
    ) -> Advance {
        let base = self.base().cloned();
        let mut plan = Advance {
            changed: self.changed_between(base.as_ref(), to),
            ..Advance::default()
        };
        if self.subscription.is_wildcard() {
            plan.shared = Some(base.as_ref().map_or_else(
                || Contents::All(Arc::clone(to)),
                |base| Contents::Changed(to.diff_from(base)),
            ));
        }
        let gone: Vec<Arc<Resource>> = base.as_ref().map_or_else(Vec::new, |base| self.gone_between(base, to));
        if let Some(in_use) = in_use {
            self.retain(variant, &gone, to, in_use, now);
        } else {
            self.retained.clear();
        }
        plan.removed = gone
            .into_iter()
            .map(|resource| resource.name.clone())
            .filter(|name| !self.retained.contains_key(name))
            .collect();
        let forgotten = self
            .held
            .keys()
            .filter(|name| to.get(name.as_str()).is_none() && self.subscription.selects_name(name))
            .filter(|name| !self.retained.contains_key(*name));
        plan.removed.extend(forgotten.cloned());
        plan
    }

    /// Keeps what the client has ACKed and the goal no longer has. What was refused is not kept: sending it again would
    /// be refused again (O-4).
    fn retain(
        &mut self,
        variant: Variant,
        gone: &[Arc<Resource>],
        to: &Arc<TypeResources>,
        in_use: &BTreeSet<ResourceName>,
        now: Instant,
    ) {
        let acked = self.acked.as_ref().and_then(|acked| acked.get(&self.kind)).cloned();
        let base_is_acked = matches!((self.base(), &acked), (Some(base), Some(acked)) if Arc::ptr_eq(base, acked));
        let kept = match acked {
            _ if base_is_acked => gone.to_vec(),
            Some(acked) => self.gone_between(&acked, to),
            None => Vec::new(),
        };
        // In delta nothing need be sent to leave with the client what it may have applied of a refused response (S-8). But
        // a cluster that it refused while building it stays warming in Envoy 1.40, and no later CDS response is ACKed
        // until it is removed: where nothing can be using it, it goes at once.
        let is_stuck = |resource: &Resource| {
            self.kind == ResourceType::Cluster
                && self.refused.names(resource.name.as_str())
                && !in_use.contains(&resource.name)
        };
        let kept: Vec<_> = match variant {
            Variant::Delta if applies_valid_part(&self.kind) => {
                let applied = gone.iter().filter(|resource| !is_stuck(resource)).cloned();
                kept.into_iter().chain(applied).collect()
            }
            Variant::Delta | Variant::Sotw => kept,
        };
        self.retained.retain(|name, _| to.get(name.as_str()).is_none());
        for resource in kept {
            let name = &resource.name;
            let certain = base_is_acked && !self.refused.names(name.as_str()) && !self.held.contains_key(name);
            self.retained.entry(resource.name.clone()).or_insert(Retained {
                resource,
                since: now,
                made: None,
                certain,
            });
        }
        self.drained.retain(|name, _| to.get(name.as_str()).is_none());
    }

    /// The subscribed resources of `to` that the client does not hold in this version. Walks the shorter of the diff and
    /// the names.
    fn changed_between(&self, from: Option<&Arc<TypeResources>>, to: &Arc<TypeResources>) -> Vec<Arc<Resource>> {
        let subscription = &self.subscription;
        let by_name = !subscription.is_wildcard() && !subscription.has_globs();
        let candidates: Vec<Arc<Resource>> = match from {
            None if by_name => self.named(to),
            None => to.iter().filter(|r| subscription.selects(r)).cloned().collect(),
            Some(from) => {
                let diff = to.diff_from(from);
                if by_name && subscription.names().len() < diff.changed.len() {
                    let mut named = self.named(to);
                    named.retain(|new| from.get(new.name.as_str()).is_none_or(|old| old.version != new.version));
                    named
                } else {
                    diff.changed
                        .iter()
                        .filter(|r| subscription.selects(r))
                        .cloned()
                        .collect()
                }
            }
        };
        let holds = |resource: &Resource| {
            self.held.get(&resource.name) == Some(&resource.version)
                || self
                    .retained
                    .get(&resource.name)
                    .is_some_and(|retained| retained.certain && retained.resource.version == resource.version)
        };
        let mut changed: Vec<_> = candidates.into_iter().filter(|resource| !holds(resource)).collect();
        // Names that the client holds in another version than the base says, though the base says the goal's.
        let differs = |(name, version): (&ResourceName, &Version)| {
            let now = to.get(name.as_str())?;
            let due = now.version != *version && subscription.selects(now) && !self.refused.has(now);
            due.then(|| Arc::clone(now))
        };
        if !self.held.is_empty() {
            changed.extend(self.held.iter().filter_map(differs));
            sort_once(&mut changed);
        }
        changed
    }

    /// The subscribed resources of `from` that are not in `to`.
    fn gone_between(&self, from: &Arc<TypeResources>, to: &Arc<TypeResources>) -> Vec<Arc<Resource>> {
        let diff = to.diff_from(from);
        diff.removed
            .iter()
            .filter(|resource| self.subscription.selects(resource))
            .cloned()
            .collect()
    }

    /// The resources that the subscribed names stand for, sorted, each once.
    fn named(&self, resources: &TypeResources) -> Vec<Arc<Resource>> {
        let names = self.subscription.names().iter();
        let mut named: Vec<_> = names.filter_map(|name| resources.get(name.as_str()).cloned()).collect();
        sort_once(&mut named);
        named
    }

    /// Puts a response together from what changed and what must be sent again. `None` where there is nothing to say.
    fn draft(
        &mut self,
        variant: Variant,
        to: &Arc<TypeResources>,
        reach: Option<&Arc<TypeResources>>,
        changed: Vec<Arc<Resource>>,
        removed: Vec<ResourceName>,
        first: bool,
    ) -> Option<Draft> {
        let owed = std::mem::take(&mut self.answer);
        let asked = std::mem::take(&mut self.resend);
        let children = std::mem::take(&mut self.children);
        let globs = std::mem::take(&mut self.globs);
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for name in asked {
            match self.resolve(&name, to, reach) {
                Some(resource) => found.push(resource),
                None => {
                    // In delta that is told, and what the client held of it is gone.
                    if variant == Variant::Delta {
                        self.held.remove(&name);
                    }
                    missing.push(name);
                }
            }
        }
        for name in &children {
            if !found.iter().any(|resource: &Arc<Resource>| resource.name == *name) {
                found.extend(self.resolve_child(name, to, reach));
            }
        }
        for glob in globs {
            let before = found.len();
            let members = to.iter().filter(|r| glob_selects(glob.as_str(), r.name.as_str()));
            found.extend(members.cloned());
            if found.len() == before {
                missing.push(glob);
            }
        }
        let draft = Draft {
            resources: Contents::Chosen(Vec::new()),
            removed,
            unresolved: Vec::new(),
            step: Step::Answer,
            changed,
            children: !children.is_empty(),
        };
        let draft = match variant {
            Variant::Sotw => {
                let asked = !found.is_empty() || (is_full_state(&self.kind) && !missing.is_empty());
                self.draft_sotw(draft, to, reach, found, owed || asked, first)
            }
            Variant::Delta => self.draft_delta(draft, found, missing, owed),
        };
        if let Some(draft) = &draft {
            for resource in draft.resources.as_slice() {
                // Unless it is an accepted version in the place of the refused one.
                let stands_in = self.held.contains_key(&resource.name) && !self.refused.has(resource);
                if !stands_in {
                    self.retry.remove(&resource.name);
                }
            }
        }
        draft
    }

    /// What a name stands for: in the base, among what is retained, or ahead of the base. What was refused, and what waits
    /// for nothing, is passed over for something newer.
    fn resolve(
        &mut self,
        name: &ResourceName,
        to: &TypeResources,
        reach: Option<&Arc<TypeResources>>,
    ) -> Option<Arc<Resource>> {
        let ahead = || reach.and_then(|reach| reach.get(name.as_str()));
        // Types that wait for others must not run ahead of them.
        let pass_over = ahead().is_some() && (!waits(&self.kind) || self.refused.names(name.as_str()));
        let retained = self.retained.get(name).map(|retained| &retained.resource);
        if let Some(resource) = to.get(name.as_str()).or(retained).filter(|_| !pass_over) {
            // It takes the place of what the client was given ahead of the base.
            self.held.remove(name);
            return Some(Arc::clone(resource));
        }
        let ahead = Arc::clone(ahead()?);
        self.held.insert(ahead.name.clone(), ahead.version.clone());
        if let Some(retained) = self.retained.get_mut(name) {
            retained.certain = false;
        }
        Some(ahead)
    }

    /// What the child of a changed parent is given. The parent waits for it: where the newest was refused, it is better
    /// off with what was accepted before.
    fn resolve_child(
        &mut self,
        name: &ResourceName,
        to: &TypeResources,
        reach: Option<&Arc<TypeResources>>,
    ) -> Option<Arc<Resource>> {
        let newest = self.resolve(name, to, reach);
        let is_refused = newest.as_ref().is_some_and(|newest| self.refused.has(newest));
        if !is_refused {
            return newest;
        }
        let acked = self
            .acked
            .as_ref()
            .and_then(|acked| acked.resource(&self.kind, name.as_str()));
        let Some(acked) = acked.cloned() else {
            return newest;
        };
        self.held.insert(acked.name.clone(), acked.version.clone());
        Some(acked)
    }

    fn draft_sotw(
        &self,
        mut draft: Draft,
        to: &Arc<TypeResources>,
        reach: Option<&Arc<TypeResources>>,
        found: Vec<Arc<Resource>>,
        asked: bool,
        first: bool,
    ) -> Option<Draft> {
        let wildcard = self.subscription.is_wildcard();
        // Absence means deletion to a client that holds a full state, so it is told of an empty one too (S-9, R-1).
        let may_be_empty = is_full_state(&self.kind) || wildcard;
        let told = tells_removal(&self.kind) && !draft.removed.is_empty();
        let due =
            asked || told || !draft.changed.is_empty() || (first && may_be_empty && !self.subscription.is_empty());
        if !due {
            return None;
        }
        draft.removed = Vec::new();
        let ahead = |name: &ResourceName| reach.and_then(|reach| reach.get(name.as_str())).cloned();
        draft.resources = if wildcard && self.retained.is_empty() && self.held.is_empty() {
            Contents::All(Arc::clone(to))
        } else if wildcard || repeats_unchanged(&self.kind) {
            let mut all: Vec<_> = if wildcard || self.subscription.has_globs() {
                to.iter().filter(|r| self.subscription.selects(r)).cloned().collect()
            } else {
                self.named(to)
            };
            all.extend(self.retained.values().map(|retained| Arc::clone(&retained.resource)));
            all.extend(self.held.keys().filter_map(ahead));
            sort_once(&mut all);
            Contents::Chosen(all)
        } else {
            let mut chosen = draft.changed.clone();
            chosen.extend(found);
            sort_once(&mut chosen);
            Contents::Chosen(chosen)
        };
        ((may_be_empty || !draft.resources.is_empty()) && !self.refused.is_state(&draft.resources)).then_some(draft)
    }

    fn draft_delta(
        &self,
        mut draft: Draft,
        found: Vec<Arc<Resource>>,
        missing: Vec<ResourceName>,
        owed: bool,
    ) -> Option<Draft> {
        let mut chosen = draft.changed.clone();
        chosen.extend(found);
        sort_once(&mut chosen);
        if self.kind == ResourceType::VirtualHost {
            draft.unresolved = missing;
        } else {
            draft.removed.extend(missing);
        }
        draft.removed.sort();
        draft.removed.dedup();
        draft
            .removed
            .retain(|name| chosen.binary_search_by(|r| r.name.cmp(name)).is_err());
        let due = owed || !chosen.is_empty() || !draft.removed.is_empty() || !draft.unresolved.is_empty();
        draft.resources = Contents::Chosen(chosen);
        due.then_some(draft)
    }
}

fn sort_once(resources: &mut Vec<Arc<Resource>>) {
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    resources.dedup_by(|a, b| a.name == b.name);
}
