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
    advance::Advance,
    draft::Draft,
    heartbeat::Beat,
    missing::Missing,
    policy::{applies_valid_part, is_full_state},
    refused::{Refused, Suspects},
    subscription::{Edit, Subscription},
};
use crate::{
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::{Snapshot, TypeResources},
};

/// Refusals in a row from which on a client is taken for one that refuses everything.
const STRIKES: u8 = 3;
/// Suspects that are sent once more in any case: what they cost is little, and one may be what is waited for.
const FEW_SUSPECTS: usize = 32;

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
    /// They were too many for a client that refuses everything, and wait until it accepts something, few as may be left.
    retry_waits: bool,
    /// All that is refused is as the base has it, so that only what changes from there on can be another.
    pub(super) refused_is_base: bool,
    /// How many responses were refused since one was accepted.
    pub(super) strikes: u8,
    /// Delta: globs whose members were asked for; an empty one is answered by its own name.
    pub(super) globs: Vec<ResourceName>,
    /// Every subscribed name is to be answered, and nothing was sent yet: said once instead of name by name.
    pub(super) resend_all: bool,
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
    /// The first response, which holds all that is subscribed, holds children of a changed parent: said once instead of
    /// name by name.
    pub(super) children_at_first: bool,
    /// Delta: the client came with versions of an earlier stream (D-5).
    pub(super) reconnected: bool,
    /// Delta: what is gone is not told.
    pub(super) quiet_removals: bool,
    /// SotW: the client takes responses that hold nothing but errors (E-4).
    pub(super) bare_errors: bool,
    /// Names asked for in vain; most clients have none.
    pub(super) missing: Option<Box<Missing>>,
    /// When TTLs are renewed; only for clients that take them.
    pub(super) beat: Option<Box<Beat>>,
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
    /// Its place among the responses of the stream.
    pub(super) number: u64,
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
    /// Renews what the client holds: neither its ACK nor its NACK says anything of content (T-3).
    Heartbeat,
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn is(&self, step: Step) -> bool {
        self.step == step
    }
}

// === impl TypeState ===

impl TypeState {
    pub(super) fn new(kind: ResourceType, subscription: Subscription) -> Self {
        Self {
            kind,
            subscription,
            base: None,
            acked: None,
            retained: BTreeMap::new(),
            drained: BTreeMap::new(),
            held: BTreeMap::new(),
            resend: BTreeSet::new(),
            retry: BTreeSet::new(),
            retry_waits: false,
            refused_is_base: true,
            strikes: 0,
            globs: Vec::new(),
            resend_all: false,
            answer: false,
            presented: None,
            in_flight: VecDeque::new(),
            last_nonce: None,
            refused: Refused::Nothing,
            children: BTreeSet::new(),
            children_at_first: false,
            reconnected: false,
            quiet_removals: false,
            bare_errors: false,
            missing: None,
            beat: None,
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
        !Arc::ptr_eq(base, to) && !self.changes(Some(base), to).is_empty()
    }

    /// Whether children of a changed parent are still to be sent.
    pub(super) fn owes_children(&self) -> bool {
        self.children_at_first || !self.children.is_empty()
    }

    /// Whether something was asked for, or is to be sent again, whatever the goal is.
    pub(super) fn owes_answer(&self) -> bool {
        self.answer || self.retry_is_due() || self.owes_children() || !self.resend.is_empty() || !self.globs.is_empty()
    }

    /// Whether what was refused together with something that has changed is to be sent once more now: once nothing is under
    /// way, so that whose fault it was can be told.
    fn retry_is_due(&self) -> bool {
        !self.retry.is_empty() && self.in_flight.is_empty() && !(self.retry_waits && self.refused.any())
    }

    /// Whether the client is unlikely to take so many suspects: it has refused all it was sent for a while. They are not
    /// sent to it with every publish, but once it has accepted something (D-15).
    const fn refuses_everything(&self, suspects: usize) -> bool {
        self.strikes >= STRIKES && suspects > FEW_SUSPECTS
    }

    /// What the subscription's change asks for.
    pub(super) fn apply(&mut self, edit: Edit) {
        self.note_dropped(&edit.dropped);
        for name in &edit.dropped {
            self.resend.remove(name);
            self.children.remove(name);
            self.held.remove(name);
            self.drained.remove(name);
            if !self.subscription.selects_name(name) {
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
                let covered = base.iter().filter(|resource| self.subscription.selects(resource));
                let all: Vec<_> = covered.map(|resource| resource.name.clone()).collect();
                self.resend.extend(all);
            }
        }
        self.globs.extend(edit.globs);
        if self.base.is_none() && edit.asked == *self.subscription.names() {
            self.resend_all = !edit.asked.is_empty();
        } else if !self.resend_all {
            self.resend.extend(edit.asked.iter().cloned());
        }
        self.children_at_first &= !self.subscription.is_empty();
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
        self.strikes = 0;
        self.retry_waits = false;
        let full_state = self.is_full_state(variant);
        if full_state {
            self.refused.accept_state();
        } else {
            let suspects = self.refused.accept(sent.number, &sent.resources);
            self.retry.extend(suspects.removed);
            if !applies_valid_part(&self.kind) {
                self.retry.extend(suspects.resources);
            }
        }
        if self.in_flight.is_empty() && !self.refused.any() {
            self.acked = Some(sent.snapshot);
        }
    }

    /// The client refused a response.
    pub(super) fn on_nack(&mut self, variant: Variant, sent: &InFlight) {
        self.strikes = self.strikes.saturating_add(1);
        let full_state = self.is_full_state(variant);
        if full_state {
            self.refused.add_state(&sent.resources);
            return;
        }
        // What is left with the client for now was answered from there, and it may not have taken it.
        for resource in sent.resources.as_slice() {
            if let Some(retained) = self.retained.get_mut(&resource.name) {
                retained.certain = false;
            }
        }
        let unapplied = if applies_valid_part(&self.kind) {
            &[]
        } else {
            &sent.removed[..]
        };
        let suspects = self
            .refused
            .add(sent.number, &sent.resources, unapplied, &self.subscription);
        self.reconsider(suspects);
        // The goal may have moved on while the response was under way.
        let base = self.base().cloned();
        let (held, retained) = (&self.held, &self.retained);
        let suspects = self.refused.keep_only_after(&sent.resources, |refused| {
            let ahead = held.get(&refused.name) == Some(&refused.version);
            let now = base.as_ref().and_then(|base| base.get(refused.name.as_str()));
            let left = retained.get(&refused.name).map(|retained| &retained.resource);
            ahead || now.or(left).is_some_and(|now| now.version == refused.version)
        });
        self.reconsider(suspects);
        self.refused_is_base = self.held.is_empty() && self.retained.is_empty();
    }

    /// Whether each response replaces all that the client holds.
    fn is_full_state(&self, variant: Variant) -> bool {
        variant == Variant::Sotw && (is_full_state(&self.kind) || self.subscription.is_wildcard())
    }

    /// Follows a snapshot in which this type is the same, so that the older one can be freed.
    pub(super) fn follow(&mut self, goal: &Arc<Snapshot>) {
        let same = |held: &Option<Arc<Snapshot>>| {
            if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, goal)) {
                return false;
            }
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
        let from = self.base().cloned();
        let Advance { changed, removed } = self.plan(variant, &to, in_use, now);
        self.held.clear();
        let suspects = match &from {
            Some(from) if self.refused_is_base => self.refused.supersede_by(&to.diff_from(from)),
            Some(_) | None => self.refused.supersede(&to),
        };
        self.refused_is_base = true;
        self.reconsider(suspects);
        // A refused full state is replaced by one that can be ACKed, even where that only lacks something.
        self.answer |= matches!(self.refused, Refused::State(_));
        self.base = Some(Arc::clone(goal));
        let Some(mut draft) = self.draft(variant, &to, None, changed, removed, first) else {
            self.settle(goal);
            return None;
        };
        draft.from = from;
        if !draft.changed.is_empty() {
            draft.step = Step::Make;
        }
        Some(draft)
    }

    /// What was refused together with something that has changed since is sent once more: it may have been the other's
    /// fault (D-15).
    fn reconsider(&mut self, suspects: Suspects) {
        if applies_valid_part(&self.kind) && !self.refuses_everything(suspects.resources.len()) {
            // A bad one among them keeps nothing else from being applied.
            self.resend.extend(suspects.resources);
        } else {
            // What is under way again was already sent once more.
            let is_under_way = |name: &ResourceName| {
                let mut carried = self.in_flight.iter().map(|sent| sent.resources.as_slice());
                carried.any(|resources| resources.binary_search_by(|resource| resource.name.cmp(name)).is_ok())
            };
            let resources = suspects.resources.into_iter().filter(|name| !is_under_way(name));
            self.retry.extend(resources.chain(suspects.removed));
            self.retry_waits |= self.refuses_everything(self.retry.len());
        }
    }

    /// Answers what was asked, from the base and, for what it does not hold, from `reach`: the newest snapshot whose
    /// clusters the client was given (O-2).
    pub(super) fn answer(&mut self, variant: Variant, reach: &Snapshot) -> Option<Draft> {
        if self.retry_is_due() {
            let retry = std::mem::take(&mut self.retry).into_iter();
            self.retry_waits = false;
            // What was refused meanwhile as it is, is refused again.
            let again =
                |name: &ResourceName| self.subscription.selects_name(name) && !self.refused.names(name.as_str());
            self.resend.extend(retry.filter(again));
        }
        if !self.owes_answer() {
            return None;
        }
        let base = Arc::clone(self.base()?);
        self.draft(
            variant,
            &base,
            reach.get(&self.kind),
            Contents::default(),
            Vec::new(),
            false,
        )
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
        let mut draft = self.draft(variant, &base, None, Contents::default(), removed, false)?;
        draft.step = Step::Break;
        Some(draft)
    }
}
