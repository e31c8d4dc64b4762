//! The record of one (stream, type), in parts with one owner each: the subscription, what the client holds, what is owed to
//! it, what it refused, what is in flight.

mod accused;
mod beat;
mod due;
mod in_flight;
mod missing;
mod refused;
mod view;

use std::{collections::BTreeSet, sync::Arc};

use self::{beat::Beat, due::Due, missing::Missing, refused::Suspects};
pub(super) use self::{
    beat::Due as BeatDue,
    due::Owed,
    in_flight::{InFlight, Replaced, Sent, Step},
    refused::Refused,
    view::{ClientView, Exceptions, Held, Retained},
};
use super::{
    Contents, Nonce, Variant,
    policy::{applies_valid_part, has_places, is_full_state},
    subscription::{Edit, Subscription},
};
use crate::{
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::{Snapshot, TypeResources},
};

/// Suspects that are sent once more in any case: what they cost is little, and one may be what is waited for.
const FEW_SUSPECTS: usize = 32;

/// The record of one type on one stream.
#[derive(Debug)]
pub(super) struct TypeState {
    pub(super) kind: ResourceType,
    pub(super) subscription: Subscription,
    pub(super) view: ClientView,
    pub(super) due: Due,
    pub(super) refused: Refused,
    pub(super) in_flight: InFlight,
    /// Names asked for that do not exist; most clients have none.
    pub(super) missing: Missing,
    /// Nothing was sent on this stream yet; the view may be of an earlier one.
    pub(super) fresh: bool,
    /// SotW: the version the client came with (S-5).
    pub(super) presented: Option<Version>,
    /// The client came with versions of an earlier stream, or is known from one (D-5, O-19).
    pub(super) returned: bool,
    /// The nonce of the last response; a request naming another is stale (S-12).
    pub(super) last_nonce: Option<Nonce>,
    /// Delta: removals are not sent.
    pub(super) quiet_removals: bool,
    /// SotW: the client takes responses that hold nothing but errors (E-4).
    pub(super) bare_errors: bool,
    /// When TTLs are renewed.
    pub(super) beat: Beat,
}

// === impl TypeState ===

impl TypeState {
    pub(super) fn new(kind: ResourceType, subscription: Subscription) -> Self {
        Self {
            view: ClientView::new(kind.clone()),
            kind,
            subscription,
            due: Due::default(),
            refused: Refused::default(),
            in_flight: InFlight::default(),
            missing: Missing::default(),
            fresh: true,
            presented: None,
            returned: false,
            last_nonce: None,
            quiet_removals: false,
            bare_errors: false,
            beat: Beat::default(),
        }
    }

    /// Whether the client may hold something else than the snapshot's resources of this type.
    pub(super) fn lags_behind(&self, goal: &Snapshot) -> bool {
        if self.fresh {
            return !self.subscription.is_empty() && goal.get(&self.kind).is_some();
        }
        self.view.lags_behind(goal, &self.subscription)
    }

    /// The snapshots that resources of the client may come from.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        let in_flight = self.in_flight.iter().map(|sent| &sent.snapshot);
        self.view.snapshots().chain(in_flight)
    }

    /// Whether something was asked for, or is to be sent again, whatever the goal is.
    pub(super) fn owes_answer(&self) -> bool {
        self.due.owes_anything() || self.retry_is_due()
    }

    /// Whether suspects are to be sent once more now: once nothing is under way, so that whose fault it was can be seen.
    pub(super) fn retry_is_due(&self) -> bool {
        self.in_flight.is_empty() && self.due.may_retry(self.refused.any())
    }

    /// Whether each response replaces all that the client holds.
    pub(super) fn is_full_state(&self, variant: Variant) -> bool {
        variant == Variant::Sotw && (is_full_state(&self.kind) || self.subscription.is_wildcard())
    }

    /// Whether resources are asked for one by one, and in no other way.
    pub(super) fn is_by_name(&self) -> bool {
        !self.subscription.is_wildcard() && !self.subscription.has_globs()
    }

    /// Applies a change of the subscription.
    pub(super) fn apply(&mut self, edit: Edit) {
        self.missing.note_dropped(&edit.dropped);
        for name in &edit.dropped {
            self.due.forget(name);
            self.view.drop_name(name, self.subscription.selects_name(name));
        }
        if edit.changed {
            let suspects = self.refused.give_up(&self.subscription);
            self.reconsider(suspects);
        }
        if edit.wildcard_added {
            self.due.owe_answer();
            if let Some(base) = self.view.resources().filter(|_| !self.fresh) {
                let covered = base.iter().filter(|resource| self.subscription.selects(resource));
                let all: Vec<_> = covered.map(|resource| resource.name.clone()).collect();
                self.due.owe(all);
            }
        }
        self.due.owe_globs(edit.globs);
        if self.fresh && edit.asked == *self.subscription.names() {
            self.due.owe_all_names(!edit.asked.is_empty());
        } else if !self.due.owes_all_names() {
            self.due.owe(edit.asked.iter().cloned());
        }
        if self.subscription.is_empty() {
            self.due.forgive_children_at_first();
        }
    }

    /// Notes that the client holds what the snapshot says, without a response.
    pub(super) fn settle(&mut self, goal: &Arc<Snapshot>) {
        let accepted = !self.refused.any() && self.in_flight.is_empty();
        self.view.settle(goal, accepted);
    }

    /// The client accepted a response.
    pub(super) fn on_ack(&mut self, variant: Variant, sent: &Sent) {
        self.due.release_retries();
        if self.is_full_state(variant) {
            self.refused.accept_state();
        } else {
            let any = self.refused.any();
            let suspects = self.refused.accept(sent.number, &sent.resources);
            if any {
                self.due.retry(suspects.removed, false);
                if !applies_valid_part(&self.kind) {
                    self.due.retry(suspects.resources, false);
                }
                let suspects = self.refused.forget(&sent.removed);
                self.reconsider(suspects);
            }
        }
        let sent_names = sent.resources.iter().map(|resource| &resource.name);
        self.view.forget_fallback(sent_names.chain(&sent.removed));
        self.keep_fallback();
        let is_oldest = !self.in_flight.iter().any(|open| open.number < sent.number);
        if is_oldest && !self.refused.any() {
            self.view.accept(Arc::clone(&sent.snapshot));
        }
    }

    /// Forgets what the client goes on with in place of what it refused, but for names that are refused still, or that it is
    /// sent once more.
    pub(super) fn keep_fallback(&mut self) {
        if !self.view.falls_back() {
            return;
        }
        let Self {
            refused,
            due,
            in_flight,
            view,
            ..
        } = self;
        view.retain_fallback(|name| {
            let is_under_way = || in_flight.iter().any(|sent| sent.resources.get(name).is_some());
            refused.names(name.as_str()) || due.owes_again(name) || is_under_way()
        });
    }

    /// The client refused a response, with these words.
    pub(super) fn on_nack(&mut self, variant: Variant, sent: &Sent, message: &str) {
        // Of clusters and listeners what a refused response takes away is gone all the same, and what is not accused is
        // applied (S-8).
        let partly = applies_valid_part(&self.kind);
        let accused = partly.then(|| accused::accused(message, &sent.resources)).flatten();
        let suspects = accused.as_ref().unwrap_or(&sent.changed);
        let before = sent
            .replaced()
            .filter(|before| !partly || suspects.get(&before.name).is_some());
        self.view.fall_back(before.cloned());
        if !partly {
            let before = sent
                .repeated()
                .filter(|before| !self.refused.names(before.name.as_str()));
            self.view.fall_back(before.cloned());
        }
        if !partly || accused.is_some() {
            self.in_flight.note_refused(sent.number, suspects, &self.view);
        }
        if self.is_full_state(variant) {
            self.refused.add_state(sent, accused);
            return;
        }
        // A client that refuses what it was sent of resources left with it goes on with what it had.
        self.view.doubt(sent.resources.iter().map(|resource| &resource.name));
        let mut refused = sent.resources.clone();
        if let Some(accused) = accused {
            let suspects = self.refused.accept_part(sent.number, &sent.resources, &accused);
            self.reconsider(suspects);
            // Each was refused for itself, but for what stands in each other's place.
            let groups = if has_places(&self.kind) {
                vec![accused.clone()]
            } else {
                let alone = |resource: &Arc<Resource>| Contents::Chosen(vec![Arc::clone(resource)]);
                accused.iter().map(alone).collect()
            };
            for group in groups {
                let suspects = self.refused.add(sent.number, &group, &[], &self.subscription);
                self.reconsider(suspects);
            }
            refused = accused;
        } else {
            let unapplied = if partly { &[] } else { &sent.removed[..] };
            let suspects = self.refused.add(sent.number, &refused, unapplied, &self.subscription);
            self.reconsider(suspects);
        }
        self.forgive_outdated(&refused);
    }

    /// Takes out what was refused and is another by now: the goal may have moved on while the response was under way.
    fn forgive_outdated(&mut self, refused: &Contents) {
        let base = self.view.resources().cloned();
        let view = &self.view;
        let suspects = self.refused.keep_only_after(refused, |refused| {
            let ahead = view.held().get(&refused.name).map(|held| &held.version) == Some(&refused.version);
            let now = base.as_ref().and_then(|base| base.get(refused.name.as_str()));
            let left = view.retained().get(&refused.name).map(|retained| &retained.resource);
            ahead || now.or(left).is_some_and(|now| now.version == refused.version)
        });
        self.reconsider(suspects);
        let is_base = self.view.is_plain();
        self.refused.compare_with_base(is_base);
    }

    /// The client is about to be brought from one set of resources to another: what was refused and is gone, or another
    /// by then, is refused no longer. Gives removals that were refused with it, and are to be made again.
    pub(super) fn supersede(
        &mut self,
        from: Option<&Arc<TypeResources>>,
        to: &Arc<TypeResources>,
    ) -> Vec<ResourceName> {
        if !self.refused.any() {
            self.refused.compare_with_base(true);
            return Vec::new();
        }
        let mut suspects = match from {
            Some(from) if self.refused.is_of_base() => self.refused.supersede_by(&to.diff_from(from)),
            Some(_) | None => self.refused.supersede(to),
        };
        self.refused.compare_with_base(true);
        let removed = std::mem::take(&mut suspects.removed);
        let (gone, back): (Vec<_>, Vec<_>) = removed
            .into_iter()
            .partition(|name| to.get(name.as_str()).is_none() && !self.view.retained().contains_key(name));
        suspects.removed = back;
        self.reconsider(suspects);
        gone
    }

    /// Sends once more what was refused together with something that has changed since: it may have been the other's
    /// fault (D-15).
    fn reconsider(&mut self, suspects: Suspects) {
        if applies_valid_part(&self.kind) && !self.refuses_everything(suspects.resources.len()) {
            // A bad one among them keeps nothing else from being applied.
            self.due.owe(suspects.resources);
            return;
        }
        // What is under way again was already sent once more.
        let is_under_way = |name: &ResourceName| self.in_flight.iter().any(|sent| sent.resources.get(name).is_some());
        let resources = suspects.resources.into_iter().filter(|name| !is_under_way(name));
        let names: BTreeSet<ResourceName> = resources.chain(suspects.removed).collect();
        self.due.retry(names, false);
        let wait = self.refuses_everything(self.due.retries());
        self.due.retry([], wait);
    }

    /// Whether the client is unlikely to take so many suspects: it has refused all it was sent for a while. They are not
    /// sent to it with every publish, but once it has accepted something (D-15).
    const fn refuses_everything(&self, suspects: usize) -> bool {
        self.refused.is_stubborn() && suspects > FEW_SUSPECTS
    }
}
