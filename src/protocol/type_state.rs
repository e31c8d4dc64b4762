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
    policy::{applies_valid_part, is_full_state, repeats_unchanged, tells_removal},
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
    /// Delta: removals that were refused together with something bad, and so not applied.
    pub(super) unremoved: BTreeSet<ResourceName>,
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
    /// The client was not sent another version that it refused: it may have applied that (S-8).
    pub(super) certain: bool,
}

/// What a client has refused.
#[derive(Debug, Default)]
pub(super) enum Refused {
    /// Nothing.
    #[default]
    Nothing,
    /// A full state: the next one replaces it whole.
    State(Contents),
    /// These, in these versions.
    Resources(Vec<Arc<Resource>>),
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

// === impl Refused ===

impl Refused {
    /// Whether anything is refused.
    pub(super) fn any(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::State(_) => true,
            Self::Resources(resources) => !resources.is_empty(),
        }
    }

    /// Whether the resource of this name is known to be refused.
    pub(super) fn names(&self, name: &str) -> bool {
        match self {
            Self::Nothing | Self::State(_) => false,
            Self::Resources(resources) => resources.iter().any(|refused| refused.name.as_str() == name),
        }
    }

    /// Whether the resource is known to be refused in this version.
    fn has(&self, resource: &Resource) -> bool {
        match self {
            Self::Nothing | Self::State(_) => false,
            Self::Resources(resources) => {
                let same =
                    |refused: &Arc<Resource>| refused.name == resource.name && refused.version == resource.version;
                resources.iter().any(same)
            }
        }
    }

    /// Adds what a refused response carried, as far as it is still asked for.
    fn add(&mut self, response: &Contents, full_state: bool, subscription: &Subscription) {
        if full_state {
            *self = Self::State(response.clone());
            return;
        }
        let mut all = match std::mem::take(self) {
            Self::Nothing => Vec::new(),
            state @ Self::State(_) => {
                *self = state;
                return;
            }
            Self::Resources(resources) => resources,
        };
        all.extend(response.as_slice().iter().filter(|r| subscription.selects(r)).cloned());
        sort_once(&mut all);
        *self = Self::Resources(all);
    }

    /// Takes out what an accepted response carried.
    fn accept(&mut self, response: &Contents, full_state: bool) {
        let accepted = response.as_slice();
        let carried = |name: &ResourceName| accepted.binary_search_by(|r| r.name.cmp(name)).is_ok();
        match self {
            Self::Nothing => {}
            Self::State(_) if full_state => *self = Self::Nothing,
            Self::State(_) => {}
            Self::Resources(resources) => resources.retain(|refused| !carried(&refused.name)),
        }
    }

    /// Takes out what is no longer asked for. Gives the names of what was refused with it, as [`Self::supersede`] does.
    fn give_up(&mut self, subscription: &Subscription) -> Option<Vec<ResourceName>> {
        self.keep_only(|refused| subscription.selects(refused))
    }

    /// Takes out what is gone or has another content by now. Gives the names of what was refused with it; `None` where
    /// nothing was taken out.
    fn supersede(&mut self, by: &TypeResources) -> Option<Vec<ResourceName>> {
        self.keep_only(|refused| {
            let now = by.get(refused.name.as_str());
            now.is_some_and(|now| now.version == refused.version)
        })
    }

    fn keep_only(&mut self, keep: impl Fn(&Resource) -> bool) -> Option<Vec<ResourceName>> {
        let Self::Resources(resources) = self else {
            return None;
        };
        let before = resources.len();
        resources.retain(|refused| keep(refused));
        let siblings = || resources.iter().map(|refused| refused.name.clone()).collect();
        (resources.len() < before).then(siblings)
    }
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
            unremoved: BTreeSet::new(),
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

    /// Whether the base differs from the snapshot's resources of this type.
    pub(super) fn lags_behind(&self, goal: &Snapshot) -> bool {
        match (self.base(), goal.get(&self.kind)) {
            (Some(base), Some(goal)) => !Arc::ptr_eq(base, goal),
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
        if edit.changed
            && let Some(siblings) = self.refused.give_up(&self.subscription)
        {
            self.reconsider(siblings);
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
        self.refused.accept(&sent.resources, full_state);
        if self.in_flight.is_empty() {
            self.acked = Some(sent.snapshot);
        }
    }

    /// The client refused a response.
    pub(super) fn on_nack(&mut self, variant: Variant, sent: &InFlight) {
        let full_state = self.is_full_state(variant);
        self.refused.add(&sent.resources, full_state, &self.subscription);
        if !applies_valid_part(&self.kind) {
            self.unremoved.extend(sent.removed.iter().cloned());
        }
        // The goal may have moved on while the response was under way.
        if let Some(base) = self.base().cloned()
            && let Some(siblings) = self.refused.supersede(&base)
        {
            self.reconsider(siblings);
        }
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
        if let Some(siblings) = self.refused.supersede(&to) {
            self.reconsider(siblings);
        }
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
    fn reconsider(&mut self, siblings: Vec<ResourceName>) {
        if applies_valid_part(&self.kind) {
            // A bad one among them keeps nothing else from being applied.
            self.resend.extend(siblings);
        } else {
            self.retry.extend(siblings);
            self.retry.append(&mut self.unremoved);
        }
    }

    /// Answers what was asked, from the base and, for what it does not hold, from `reach`: the newest snapshot whose
    /// clusters the client was given (O-2).
    pub(super) fn answer(&mut self, variant: Variant, reach: &Snapshot) -> Option<Draft> {
        if self.in_flight.is_empty() && self.resend.is_empty() {
            let retry = std::mem::take(&mut self.retry).into_iter();
            self.resend = retry.filter(|name| self.subscription.selects_name(name)).collect();
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
            .filter(|name| to.get(name.as_str()).is_none() && self.subscription.selects_name(name));
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
            self.retained.entry(resource.name.clone()).or_insert(Retained {
                resource,
                since: now,
                certain: base_is_acked,
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
        candidates.into_iter().filter(|resource| !holds(resource)).collect()
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
        for name in &children {
            found.extend(self.resolve_child(name, to, reach));
        }
        for name in asked {
            match self.resolve(&name, to, reach) {
                Some(resource) => found.push(resource),
                None => missing.push(name),
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
        match variant {
            Variant::Sotw => {
                let asked = !found.is_empty() || (is_full_state(&self.kind) && !missing.is_empty());
                self.draft_sotw(draft, to, reach, found, owed || asked, first)
            }
            Variant::Delta => self.draft_delta(draft, found, missing, owed),
        }
    }

    /// What a name stands for: in the base, among what is retained, or ahead of the base. What was refused is passed over
    /// for something newer.
    fn resolve(
        &mut self,
        name: &ResourceName,
        to: &TypeResources,
        reach: Option<&Arc<TypeResources>>,
    ) -> Option<Arc<Resource>> {
        let ahead = || reach.and_then(|reach| reach.get(name.as_str()));
        let pass_over = self.refused.names(name.as_str()) && ahead().is_some();
        if let Some(resource) = to.get(name.as_str()).filter(|_| !pass_over) {
            return Some(Arc::clone(resource));
        }
        if let Some(retained) = self.retained.get(name) {
            return Some(Arc::clone(&retained.resource));
        }
        let ahead = Arc::clone(ahead()?);
        self.held.insert(ahead.name.clone(), ahead.version.clone());
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
        acked.cloned().or(newest)
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
        let refused = matches!(&self.refused, Refused::State(refused) if same_content(refused, &draft.resources));
        ((may_be_empty || !draft.resources.is_empty()) && !refused).then_some(draft)
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

fn same_content(a: &Contents, b: &Contents) -> bool {
    let (a, b) = (a.as_slice(), b.as_slice());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.version == b.version)
}

fn sort_once(resources: &mut Vec<Arc<Resource>>) {
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    resources.dedup_by(|a, b| a.name == b.name);
}
