//! The state of one type on one stream, in parts with one owner each: the subscription, the resources that the client
//! holds, the responses that are owed, the refused resources, the responses in flight.

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
    beat::BeatDue,
    due::Owed,
    in_flight::{InFlight, Purpose, Replaced, Sent},
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

/// Up to this many suspects are sent once more in any case: they cost little, and others may wait for one of them.
const FEW_SUSPECTS: usize = 32;

/// The state of one type on one stream.
#[derive(Debug)]
pub(super) struct TypeState {
    pub(super) kind: ResourceType,
    pub(super) subscription: Subscription,
    pub(super) view: ClientView,
    pub(super) due: Due,
    pub(super) refused: Refused,
    pub(super) in_flight: InFlight,
    /// Requested names that do not exist; most clients have none.
    pub(super) missing: Missing,
    /// Nothing was sent on this stream yet; the view may be that of an earlier stream.
    pub(super) fresh: bool,
    /// SotW: the version that the client presented at first (S-5).
    pub(super) presented: Option<Version>,
    /// The client presented versions of an earlier stream, or the server remembers it from one (D-5, O-19).
    pub(super) returned: bool,
    /// The nonce of the last response. A request with another nonce is stale (S-12).
    pub(super) last_nonce: Option<Nonce>,
    /// Delta: removals are not sent.
    pub(super) quiet_removals: bool,
    /// SotW: the client takes responses that hold nothing but errors (E-4).
    pub(super) bare_errors: bool,
    /// The times at which TTLs are renewed.
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

    /// Returns true if the client may hold something else than the snapshot's resources of this type.
    pub(super) fn lags_behind(&self, goal: &Snapshot) -> bool {
        if self.fresh {
            return !self.subscription.is_empty() && goal.get(&self.kind).is_some();
        }
        self.view.lags_behind(goal, &self.subscription)
    }

    /// The snapshots that the client's resources may come from.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        let in_flight = self.in_flight.iter().map(|sent| &sent.snapshot);
        self.view.snapshots().chain(in_flight)
    }

    /// Returns true if a requested name is unanswered, or something is to be sent again, whatever the goal is.
    pub(super) fn owes_answer(&self) -> bool {
        self.due.owes_anything() || self.retry_is_due()
    }

    /// Returns true if suspects are to be sent once more now: with nothing else in flight, a NACK shows the one at
    /// fault.
    pub(super) fn retry_is_due(&self) -> bool {
        self.in_flight.is_empty() && self.due.may_retry(self.refused.any())
    }

    /// Returns true if each response replaces everything that the client holds.
    pub(super) fn is_full_state(&self, variant: Variant) -> bool {
        variant == Variant::Sotw && (is_full_state(&self.kind) || self.subscription.is_wildcard())
    }

    /// Returns true if resources are subscribed one by one, and in no other way.
    pub(super) fn is_by_name(&self) -> bool {
        !self.subscription.is_wildcard() && !self.subscription.has_globs()
    }

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

    /// Records, without a response, that the client holds the resources of the snapshot.
    pub(super) fn settle(&mut self, goal: &Arc<Snapshot>) {
        let accepted = !self.refused.any() && self.in_flight.is_empty();
        self.view.settle(goal, accepted);
    }

    /// Records that the client accepted a response.
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

    /// Forgets fallbacks, except under names that are still refused or are being sent once more.
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

    /// Records that the client refused a response with this message.
    pub(super) fn on_nack(&mut self, variant: Variant, sent: &Sent, message: &str) {
        // S-8: of clusters and listeners, Envoy applies the removals of a refused response and what it does not accuse.
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
        // A client that refuses a new version of a retained resource goes on with the old one.
        self.view.doubt(sent.resources.iter().map(|resource| &resource.name));
        let mut refused = sent.resources.clone();
        if let Some(accused) = accused {
            let suspects = self.refused.accept_part(sent.number, &sent.resources, &accused);
            self.reconsider(suspects);
            // Each accused resource was refused on its own, unless accused resources take places from each other.
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

    /// Takes out refused resources that have changed: the goal may have moved on while the response was in flight.
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

    /// Prepares the step of the client from one set of resources to another: refused resources that are gone or changed
    /// by then are refused no longer. Returns removals that were refused with them and must be sent again.
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

    /// Sends once more what was refused together with a resource that has changed since and may have been at fault
    /// (D-15).
    fn reconsider(&mut self, suspects: Suspects) {
        if applies_valid_part(&self.kind) && !self.refuses_everything(suspects.resources.len()) {
            // A bad resource among them does not keep the client from applying the others.
            self.due.owe(suspects.resources);
            return;
        }
        // A resource that is in flight again was already sent once more.
        let is_under_way = |name: &ResourceName| self.in_flight.iter().any(|sent| sent.resources.get(name).is_some());
        let resources = suspects.resources.into_iter().filter(|name| !is_under_way(name));
        let names: BTreeSet<ResourceName> = resources.chain(suspects.removed).collect();
        self.due.retry(names, false);
        let wait = self.refuses_everything(self.due.retries());
        self.due.retry([], wait);
    }

    /// Returns true if the client is unlikely to accept so many suspects, because it has refused everything for a
    /// while. The suspects wait until the client accepts a response, instead of going out with every publish (D-15).
    const fn refuses_everything(&self, suspects: usize) -> bool {
        self.refused.is_stubborn() && suspects > FEW_SUSPECTS
    }
}
