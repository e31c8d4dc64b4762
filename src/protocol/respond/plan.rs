//! The step from what a client holds to a newer snapshot, as a pure function: the resources that change, wait, are
//! removed, or stay with the client for now. The session applies the plan once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{
    client::{Client, Gone, named},
    places::{self, HandOver},
};
use crate::{
    protocol::{
        Awaited, Awaiting, Contents, Variant,
        policy::{applies_valid_part, has_places, is_full_state},
        sorted::sort_once,
        type_state::{ClientView, Exceptions, Held, Replaced, Retained},
    },
    resource::{Resource, ResourceName, ResourceType},
    snapshot::{Diff, TypeResources},
};

#[derive(Clone, Copy)]
pub(in crate::protocol) struct Terms<'a> {
    /// Removed resources stay with the client until nothing can need them; otherwise they are removed at once.
    pub(in crate::protocol) keeps: bool,
    /// The same for resources that the client presents from an earlier stream.
    pub(in crate::protocol) keeps_presented: bool,
    /// Names that may be in use although they were not accepted.
    pub(in crate::protocol) in_use: &'a BTreeSet<ResourceName>,
    /// The check whether a resource must wait; `None` if no resource waits.
    pub(in crate::protocol) gate: Option<Gate<'a>>,
    /// The source of a first answer's older forms, for resources that must wait.
    pub(in crate::protocol) older: Option<&'a TypeResources>,
    pub(in crate::protocol) now: Instant,
}

/// Returns the resource that a changed one must wait for. The second argument is what the client holds in its place.
pub(in crate::protocol) type Gate<'a> = &'a dyn Fn(&Resource, Option<&Resource>) -> Option<Awaited>;

/// The step to another snapshot.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Plan {
    /// Resources that the client does not hold in this version and may be sent.
    pub(in crate::protocol) changed: Contents,
    pub(in crate::protocol) removed: Vec<ResourceName>,
    /// The client's differences from the snapshot afterwards.
    pub(in crate::protocol) exceptions: Exceptions,
    pub(in crate::protocol) replaced: Replaced,
    /// Names that stand first in the response, because others take their places.
    pub(in crate::protocol) lead: Vec<ResourceName>,
    /// The first answer would be too small, and waits as a whole (O-18).
    pub(in crate::protocol) waits: bool,
}

#[must_use]
pub(in crate::protocol) fn plan(client: Client<'_>, to: &Arc<TypeResources>, terms: Terms<'_>) -> Plan {
    let from = client.view.resources();
    let changed = changes(client, from, to);
    let diff = match &changed {
        Contents::Changed(diff) => Some(Arc::clone(diff)),
        _ => from.map(|from| to.diff_from(from)),
    };
    let gone = gone(client, diff.as_deref(), to);
    let may_wait = terms.gate.is_some() || (terms.keeps && has_places(client.kind));
    if !may_wait && gone.is_empty() && client.view.is_plain() && !client.refused.any() {
        // Nearly every step takes this path.
        let mut plan = Plan {
            changed,
            ..Plan::default()
        };
        plan.note_replaced(client, from, terms.keeps);
        return plan;
    }
    let (mut blocked, lasts) = blocked(client, &changed, terms);
    let hand_over = if terms.keeps {
        places::hand_over(client, to, &changed, &gone, (&mut blocked, &lasts))
    } else {
        HandOver::default()
    };
    let mut plan = Plan {
        changed,
        ..Plan::default()
    };
    plan.exceptions.held = still_held(client, to);
    if !blocked.is_empty() {
        if let Some(older) = terms.older.filter(|_| client.fresh) {
            places::wait_with_older(client, &plan.changed, older, &mut blocked);
        }
        plan.hold_back(client, &blocked, terms.older);
        if plan.waits {
            return plan;
        }
    }
    if terms.keeps && !(gone.is_empty() && client.view.retained().is_empty()) {
        plan.retain(client, to, &gone, &hand_over, terms);
    }
    let is_left = |name: &&ResourceName| plan.exceptions.retained.contains_key(*name);
    let leaving = hand_over.leaving.iter().filter(|name| !is_left(name));
    let names = gone
        .iter()
        .map(|gone| &gone.resource.name)
        .filter(|name| !is_left(name));
    plan.removed = names.chain(leaving).cloned().collect();
    plan.removed.sort();
    plan.removed.dedup();
    plan.lead = hand_over.givers;
    plan.note_replaced(client, from, terms.keeps);
    plan
}

/// The subscribed resources of `to` that the client does not hold in this version. All streams that make the same step
/// share them, unless this client has exceptions.
pub(in crate::protocol) fn changes(
    client: Client<'_>,
    from: Option<&Arc<TypeResources>>,
    to: &Arc<TypeResources>,
) -> Contents {
    let subscription = client.subscription;
    let wildcard = subscription.is_wildcard();
    let picks = if wildcard {
        subscription.is_partial()
    } else {
        subscription.has_globs()
    };
    if picks || !client.view.is_plain() {
        return Contents::Chosen(changed_between(client, from, to));
    }
    let names = subscription.names();
    match (wildcard, from) {
        (true, None) => Contents::All(Arc::clone(to)),
        (true, Some(from)) => Contents::Changed(to.diff_from(from)),
        (false, None) => Contents::Selected(names.select(to)),
        (false, Some(from)) => Contents::Selected(names.select_changed(from, to)),
    }
}

/// The same resources, chosen one by one. Walks the diff or the names, whichever is shorter.
fn changed_between(
    client: Client<'_>,
    from: Option<&Arc<TypeResources>>,
    to: &Arc<TypeResources>,
) -> Vec<Arc<Resource>> {
    let Client {
        subscription,
        view,
        refused,
        ..
    } = client;
    let by_name = !subscription.is_wildcard() && !subscription.has_globs();
    let candidates: Vec<Arc<Resource>> = match from {
        None if by_name => named(subscription, to),
        None => to.iter().filter(|r| subscription.selects(r)).cloned().collect(),
        Some(from) => {
            let diff = to.diff_from(from);
            if by_name && subscription.names().len() < diff.changed.len() {
                let mut named = named(subscription, to);
                named.retain(|new| from.get(new.name.as_str()).is_none_or(|old| old.version != new.version));
                named
            } else {
                let changed = diff.changed.iter().filter(|r| subscription.selects(r));
                changed.cloned().collect()
            }
        }
    };
    let holds = |resource: &Resource| {
        if let Some(held) = view.held().get(&resource.name) {
            return held.version == resource.version;
        }
        view.retained().get(&resource.name).is_some_and(|retained| {
            let is_known = retained.certain || refused.has(resource);
            is_known && retained.resource.version == resource.version
        })
    };
    let mut changed: Vec<_> = candidates.into_iter().filter(|resource| !holds(resource)).collect();
    // Names that the client holds in another version, although base and goal agree.
    let differs = |(name, held): (&ResourceName, &Held)| {
        let now = to.get(name.as_str())?;
        let due = now.version != held.version && subscription.selects(now) && !refused.has(now);
        due.then(|| Arc::clone(now))
    };
    if !view.held().is_empty() {
        changed.extend(view.held().iter().filter_map(differs));
        sort_once(&mut changed);
    }
    changed
}

/// The subscribed resources that the client holds and `to` lacks, except those that are retained anyway.
fn gone(client: Client<'_>, diff: Option<&Diff>, to: &Arc<TypeResources>) -> Vec<Gone> {
    let view = client.view;
    let removed = diff.into_iter().flat_map(|diff| &diff.removed);
    let selected = removed.filter(|resource| client.subscription.selects(resource));
    let of_base = selected.filter(|resource| !view.held().contains_key(&resource.name));
    let mut gone: Vec<Gone> = of_base
        .map(|resource| Gone {
            resource: Arc::clone(view.before_refusal(&resource.name).unwrap_or(resource)),
            known: view
                .before_refusal(&resource.name)
                .is_none_or(|before| !before.is_unknown()),
        })
        .collect();
    for (name, held) in view.held() {
        let forgotten = to.get(name.as_str()).is_none() && client.subscription.selects_name(name);
        if forgotten && !held.is_nothing() && !view.retained().contains_key(name) {
            gone.push(Gone {
                resource: held
                    .resource
                    .clone()
                    .unwrap_or_else(|| Arc::new(Resource::unknown(name, &held.version))),
                known: held.resource.is_some(),
            });
        }
    }
    gone
}

/// The changed resources that wait for others; and those among them that wait for a refused one, which may last.
fn blocked(
    client: Client<'_>,
    changed: &Contents,
    terms: Terms<'_>,
) -> (BTreeSet<ResourceName>, BTreeSet<ResourceName>) {
    let (mut blocked, mut lasts) = (BTreeSet::new(), BTreeSet::new());
    let Some(gate) = terms.gate else {
        return (blocked, lasts);
    };
    for resource in changed.iter() {
        let holding = client.view.holding(&resource.name).map(AsRef::as_ref);
        let Some(awaited) = gate(resource, holding) else {
            continue;
        };
        blocked.insert(resource.name.clone());
        if awaited.reason == Awaiting::Refused {
            lasts.insert(resource.name.clone());
        }
    }
    (blocked, lasts)
}

/// The resources that the client was given in place of refused ones, and that it goes on with.
fn still_held(client: Client<'_>, to: &TypeResources) -> BTreeMap<ResourceName, Held> {
    let is_refused = |name: &ResourceName| {
        let now = to.named(name.as_str());
        now.is_some_and(|now| client.refused.has(now))
    };
    let held = client.view.held().iter().filter(|(name, _)| is_refused(name));
    held.map(|(name, held)| (name.clone(), held.clone())).collect()
}

// === impl Plan ===

impl Plan {
    /// Takes out the resources that wait. The client keeps what it holds, or gets the older form in a first answer.
    fn hold_back(&mut self, client: Client<'_>, blocked: &BTreeSet<ResourceName>, older: Option<&TypeResources>) {
        let mut changed = Vec::with_capacity(self.changed.len());
        for resource in self.changed.iter() {
            let name = &resource.name;
            if !blocked.contains(name) {
                changed.push(Arc::clone(resource));
                continue;
            }
            let mut held = held_in_place(client.kind, client.view, name);
            if client.fresh && held.is_nothing() {
                if let Some(older) = older.and_then(|older| older.named(name.as_str())) {
                    changed.push(Arc::clone(older));
                    held = Held::known(older);
                } else {
                    // A client that holds nothing takes absence as "does not exist".
                    self.waits |= client.view.base().is_none()
                        && client.view.held().is_empty()
                        && (is_full_state(client.kind) || client.subscription.is_wildcard());
                }
            }
            self.exceptions.held.insert(name.clone(), held);
        }
        self.changed = Contents::Chosen(changed);
    }

    /// Retains the resources that the client has ACKed and the goal lacks. Refused resources are not retained: they
    /// would be sent again and refused again (O-4).
    fn retain(
        &mut self,
        client: Client<'_>,
        to: &Arc<TypeResources>,
        gone: &[Gone],
        hand_over: &HandOver,
        terms: Terms<'_>,
    ) {
        let view = client.view;
        let before = view
            .retained()
            .iter()
            .filter(|(name, _)| to.get(name.as_str()).is_none());
        let stays = |name: &ResourceName| !hand_over.leaving.contains(name);
        let mut retained: BTreeMap<_, _> = before
            .filter(|(name, _)| stays(name))
            .map(|(name, retained)| (name.clone(), retained.clone()))
            .collect();
        let kept = kept(client, gone, terms);
        let mut successors: Option<Arc<[ResourceName]>> = None;
        for (resource, known, certain) in kept.into_iter().filter(|(resource, ..)| stays(&resource.name)) {
            if retained.contains_key(&resource.name) {
                continue;
            }
            let successors = successors.get_or_insert_with(|| self.additions(view));
            let left = Retained {
                known,
                since: terms.now,
                successors: Arc::clone(successors),
                made: None,
                certain,
                resource,
            };
            retained.insert(left.resource.name.clone(), left);
        }
        self.exceptions.retained = retained;
    }

    /// Names that are new to the client in this step, sent or waiting.
    fn additions(&self, view: &ClientView) -> Arc<[ResourceName]> {
        let sent = self.changed.iter().map(|resource| &resource.name);
        let waiting = self.exceptions.held.iter().filter(|(_, held)| held.is_nothing());
        let new = sent.filter(|name| !view.has_given(name));
        new.chain(waiting.map(|(name, _)| name)).cloned().collect()
    }

    /// Records the resources that the client holds until it has accepted the response.
    fn note_replaced(&mut self, client: Client<'_>, from: Option<&Arc<TypeResources>>, keeps: bool) {
        self.replaced.from = from.cloned();
        let view = client.view;
        let is_plain = view.is_plain() && view.drained().is_empty() && !view.falls_back() && !client.refused.any();
        if !keeps || (is_plain && self.removed.is_empty()) {
            return;
        }
        let changed = self.changed.iter().map(|resource| &resource.name);
        for name in changed.chain(&self.removed) {
            let is_refused = client.refused.names(name.as_str()) && view.before_refusal(name).is_none();
            if view.held().contains_key(name) || client.refused.names(name.as_str()) {
                self.replaced.not_held.push(name.clone());
            }
            if !is_refused {
                let holding = view.holding(name);
                self.replaced.unknown |= holding.is_some_and(|holding| holding.is_unknown());
                self.replaced.others.extend(holding.cloned());
            }
            if let Some(unknown) = view.unknown_as(name) {
                self.replaced.unknown = true;
                self.replaced.others.push(unknown);
            }
        }
    }
}

/// The resource that the client holds under a name whose change waits.
fn held_in_place(kind: &ResourceType, view: &ClientView, name: &ResourceName) -> Held {
    if let Some(held) = view.held().get(name) {
        return held.clone();
    }
    if let Some(before) = view.before_refusal(name) {
        let held = Held::known(before);
        // S-8: the client may have applied a later version from a response that it refused for another resource.
        return if applies_valid_part(kind) { held.doubted() } else { held };
    }
    let base = view.resources().and_then(|base| base.named(name.as_str()));
    let retained = view.retained().get(name);
    match (base, retained) {
        (Some(base), _) => Held::known(base),
        (None, Some(retained)) => Held {
            version: retained.resource.version.clone(),
            resource: retained.known.then(|| Arc::clone(&retained.resource)),
        },
        // The route configuration was removed, and yet an Envoy drains with it.
        (None, None) => {
            let drained = view.drained().get(name);
            drained.map_or_else(Held::nothing, |drained| Held::known(drained).doubted())
        }
    }
}

/// The gone resources that stay with the client for now, with two flags: content known; certainly held.
fn kept(client: Client<'_>, gone: &[Gone], terms: Terms<'_>) -> Vec<(Arc<Resource>, bool, bool)> {
    let Client {
        kind, view, refused, ..
    } = client;
    let acked = view.acked().and_then(|acked| acked.get(kind));
    let base_is_acked = matches!((view.resources(), acked), (Some(base), Some(acked)) if Arc::ptr_eq(base, acked));
    // S-8: in delta, nothing need be sent to leave a resource with a client that may have applied it from a refused
    // response. But a cluster that was refused while it was built stays warming in Envoy 1.40, and no later CDS
    // response is ACKed until its removal. So if nothing can be using it, it is removed at once.
    let is_stuck = |resource: &Resource| {
        *kind == ResourceType::Cluster
            && refused.names(resource.name.as_str())
            && !terms.in_use.contains(&resource.name)
    };
    let applied = client.variant == Variant::Delta && applies_valid_part(kind);
    let is_kept = |gone: &&Gone| {
        let name = &gone.resource.name;
        if view.held().contains_key(name) {
            return terms.keeps_presented;
        }
        if applied {
            return !is_stuck(&gone.resource);
        }
        // A client that answered everything holds what it did not refuse.
        let accepted = client.idle && !client.fresh && !refused.names(name.as_str());
        // An unanswered resource may be in use already, if the client's own requests needed it.
        let may_use = !client.idle && !refused.names(name.as_str()) && terms.in_use.contains(name);
        // A resource that waited was sent after the base was ACKed, and may have been refused.
        let acked = base_is_acked && !refused.names(name.as_str());
        acked || accepted || may_use || view.before_refusal(name).is_some()
    };
    gone.iter()
        .filter(is_kept)
        .map(|gone| {
            let name = &gone.resource.name;
            let certain = base_is_acked && !refused.names(name.as_str()) && !view.held().contains_key(name);
            (Arc::clone(&gone.resource), gone.known, certain)
        })
        .collect()
}
