//! A client that reconnects and presents what it holds (D-5). Only the differences from the newest snapshot are kept.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    protocol::{
        Memory, Session, Subscription,
        policy::waits,
        presented::{Presented, PresentedVersion},
        subscription::Selection,
        type_state::{Held, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::{HeldFingerprint, Snapshot, TypeResources},
};

/// The resources that a client presented, compared with a set of resources.
struct Compared {
    /// Resources that the client holds in another version, and those that the set lacks.
    differing: Vec<(ResourceName, Version)>,
    /// The number of subscribed resources that the client holds as they are in the set.
    equal: usize,
}

impl Session {
    /// The goal, if the client presents all of it and is believed.
    pub(in crate::protocol) fn goal_if_held(
        &self,
        index: usize,
        presented: &[PresentedVersion<'_>],
    ) -> Option<Arc<Snapshot>> {
        let (state, goal) = (&self.types[index], self.goal.as_ref()?);
        let is_believed = self.believes(&state.kind) && self.is_known(state, goal);
        let is_held = is_believed && is_all(state, presented, goal.get(&state.kind)?);
        is_held.then(|| Arc::clone(goal))
    }

    /// Records that the client holds everything subscribed as it is in the goal, at its first request of the type.
    pub(in crate::protocol) fn come_back_in_sync(&mut self, index: usize, goal: &Arc<Snapshot>) {
        let state = &mut self.types[index];
        state.returned = true;
        state.fresh = false;
        state.due.forgive_answer();
        state.settle(goal);
        self.report_presented(index, goal);
    }

    /// Records the versions that the client presents at its first request of the type. If most of them are those of the
    /// newest snapshot, the client counts as advanced to it, with exceptions.
    pub(in crate::protocol) fn come_back(&mut self, index: usize, presented: &Presented<'_>) {
        let memory = std::mem::take(&mut self.memory);
        let state = &mut self.types[index];
        state.returned = true;
        state.due.forgive_answer();
        let held = |name: &str, version: Version| Held {
            resource: memory.content(&state.kind, name, version.as_str()),
            version,
        };
        let known = self.goal.as_ref().and_then(|goal| Some((goal, goal.get(&state.kind)?)));
        match known {
            None => {
                let all = presented.iter().map(|(name, version)| {
                    let name = name.as_ref();
                    (ResourceName::from(name), held(name, (*version).into()))
                });
                let all = all.collect();
                state.view.take_over(all);
            }
            Some((goal, resources)) => {
                let (exceptions, is_near) = exceptions(state, presented, resources, held);
                let is_all = exceptions.is_empty();
                state.view.take_over(exceptions);
                if is_near {
                    state.fresh = false;
                    state.view.settle(goal, is_all);
                }
            }
        }
        let drained = drained(state, presented, self.goal.as_deref(), &memory);
        if self.features.envoy {
            state.view.drain(drained);
        }
        self.memory = memory;
        let state = &self.types[index];
        if !state.fresh
            && state.view.is_plain()
            && let Some(goal) = self.goal.clone()
        {
            self.report_presented(index, &goal);
        }
    }

    /// Returns true if a client that presents resources of the type need not be sent them again.
    pub(in crate::protocol) fn believes(&self, kind: &ResourceType) -> bool {
        // An Envoy asks for its clusters first, unless one of them is warming. Then it waits for endpoints that it
        // already has (O-5, D-6). The same holds if it presents no clusters, and is given all of them anew.
        let is_on_ads = self.features.envoy && self.is_aggregated();
        let presents_clusters = || {
            self.state_of(&ResourceType::Cluster)
                .is_some_and(|state| state.returned)
        };
        let may_warm = *kind == ResourceType::Endpoint && is_on_ads && !presents_clusters();
        !may_warm && !self.policy.resend_presented.contains(kind)
    }
}

/// Route configurations that the client asks for and does not present, and that are not published: an Envoy forgets the
/// version of a removed one, and yet a listener drains with it (O-12).
fn drained(
    state: &TypeState,
    presented: &Presented<'_>,
    goal: Option<&Snapshot>,
    memory: &Memory,
) -> BTreeMap<ResourceName, Arc<Resource>> {
    let asked = state
        .subscription
        .names()
        .iter()
        .filter(|_| state.kind == ResourceType::Route);
    let is_gone = |name: &&ResourceName| goal.is_some_and(|goal| goal.resource(&state.kind, name.as_str()).is_none());
    let mut walk = presented.walk();
    let remembered = memory.drained(&state.kind);
    let is_drained = |name: &&ResourceName| remembered.is_some_and(|drained| drained.contains_key(*name));
    let gone = asked.filter(|name| !walk.holds(name));
    let gone = gone.filter(|name| is_gone(name) || is_drained(name));
    let content = |name: &ResourceName| {
        let known = remembered.and_then(|drained| drained.get(name));
        known
            .cloned()
            .unwrap_or_else(|| Arc::new(Resource::unknown(name, &Version::from(""))))
    };
    gone.map(|name| (name.clone(), content(name))).collect()
}

/// The resources that the client holds; `true` if they are exceptions from the set, most of which it holds.
fn exceptions(
    state: &TypeState,
    presented: &Presented<'_>,
    resources: &TypeResources,
    held: impl Fn(&str, Version) -> Held,
) -> (BTreeMap<ResourceName, Held>, bool) {
    let compared = Compared::new(presented, resources, &state.subscription);
    let named = selected_by_name(state, resources);
    let selected = match &named {
        Some(named) => named.resources.len(),
        None if selects_all(state) => resources.len(),
        None => usize::MAX,
    };
    let lacks = compared.equal < selected;
    // A type that waits for others must advance to the goal in its order, if there is anything to send.
    let in_order = waits(&state.kind) && (lacks || !compared.differing.is_empty());
    if in_order || compared.equal <= selected / 2 {
        return (all_of(presented, resources, held), false);
    }
    let differing = compared.differing.into_iter();
    let mut exceptions: BTreeMap<_, _> = differing
        .map(|(name, version)| {
            let held = held(name.as_str(), version);
            (name, held)
        })
        .collect();
    if lacks {
        let mut walk = presented.walk();
        let mut lacking = |resource: &Arc<Resource>| {
            let lacking = !walk.holds(&resource.name);
            lacking.then(|| (resource.name.clone(), Held::nothing()))
        };
        match &named {
            Some(named) => exceptions.extend(named.resources.iter().filter_map(lacking)),
            None => {
                let subscribed = resources.iter().filter(|resource| state.subscription.selects(resource));
                exceptions.extend(subscribed.filter_map(&mut lacking));
            }
        }
    }
    (exceptions, true)
}

/// Returns true if the client holds everything subscribed as in the set, as nearly every reconnecting client does. The
/// cost is that of the presented names: the set is read once for all clients.
fn is_all(state: &TypeState, presented: &[PresentedVersion<'_>], resources: &TypeResources) -> bool {
    let names = state.subscription.names();
    let all = if state.subscription.is_pure_wildcard() && !state.subscription.is_partial() {
        (presented.len() == resources.len()).then(|| resources.held_fingerprint())
    } else if state.is_by_name() && presented.len() == names.len() {
        names.held_fingerprint(resources)
    } else {
        None
    };
    let held = || presented.iter().map(|(name, version)| (name.as_ref(), *version));
    all.is_some_and(|all| all == held().collect::<HeldFingerprint>())
}

/// Returns true if all resources of the type are subscribed.
fn selects_all(state: &TypeState) -> bool {
    state.subscription.is_wildcard() && !state.subscription.is_partial()
}

/// The subscribed resources; `None` where it takes more than lookups of names to find them.
fn selected_by_name(state: &TypeState, resources: &TypeResources) -> Option<Arc<Selection>> {
    state.is_by_name().then(|| state.subscription.names().select(resources))
}

// === impl Compared ===

impl Compared {
    fn new(presented: &Presented<'_>, resources: &TypeResources, subscription: &Subscription) -> Self {
        let mut compared = Self {
            differing: Vec::new(),
            equal: 0,
        };
        let find = resources.finder(presented.len());
        let mut names = subscription.names().walk();
        for (name, version) in presented.iter() {
            let name = name.as_ref();
            let now = find(name).filter(|now| now.name.as_str() == name);
            if let Some(now) = now.filter(|now| now.version.as_str() == *version) {
                let listed = names.holds(name);
                compared.equal += usize::from(listed || subscription.selects(now));
            } else {
                let name = now.map_or_else(|| name.into(), |now| now.name.clone());
                compared.differing.push((name, Version::from(*version)));
            }
        }
        compared
    }
}

/// Everything presented. Entries that equal a resource of the set share its name and content.
fn all_of(
    presented: &Presented<'_>,
    resources: &TypeResources,
    held: impl Fn(&str, Version) -> Held,
) -> BTreeMap<ResourceName, Held> {
    let find = resources.finder(presented.len());
    let all = presented.iter().map(|(name, version)| {
        let name = name.as_ref();
        let now = find(name).filter(|now| now.name.as_str() == name);
        match now.filter(|now| now.version.as_str() == *version) {
            Some(same) => (same.name.clone(), Held::known(same)),
            None => {
                let own = now.map_or_else(|| name.into(), |now| now.name.clone());
                (own, held(name, Version::from(*version)))
            }
        }
    });
    all.collect()
}
