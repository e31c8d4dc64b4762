//! A client that comes back with what it holds (D-5): only what differs from the newest snapshot is kept of it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Subscription,
    policy::waits,
    presented::{Held, Presented},
    subscription::Selection,
    type_state::TypeState,
};
use crate::{
    resource::{Resource, ResourceName, Version},
    snapshot::{HeldPrint, Snapshot, TypeResources},
};

/// What a client presented, compared with a set of resources.
struct Compared {
    /// What it holds in another version, or though the set does not have it.
    differing: Vec<(ResourceName, Version)>,
    /// How many of the subscribed it holds as they are in the set.
    equal: usize,
}

impl TypeState {
    /// Enters the versions that the client holds, at its first request of this type. Where that is about what the newest
    /// snapshot has, the client counts as brought to it, with exceptions.
    pub(super) fn reconnect(&mut self, presented: &Presented<'_>, goal: Option<&Arc<Snapshot>>) {
        self.reconnected = true;
        let known = goal.and_then(|goal| Some((goal, Arc::clone(goal.get(&self.kind)?))));
        let Some((goal, resources)) = known else {
            let held = presented.iter();
            self.held = held
                .map(|(name, version)| (name.as_ref().into(), (*version).into()))
                .collect();
            return;
        };
        let compared = Compared::new(presented, &resources, &self.subscription);
        let named = self.selected_by_name(&resources);
        let selected = match &named {
            Some(named) => named.resources.len(),
            None if self.selects_all() => resources.len(),
            None => usize::MAX,
        };
        let lacks = compared.equal < selected;
        // Types that wait for others are brought to the goal in its order, where there is anything to bring them.
        let in_order = waits(&self.kind) && (lacks || !compared.differing.is_empty());
        if in_order || compared.equal <= selected / 2 {
            self.held = all_of(presented, &resources);
            return;
        }
        self.settle(goal);
        self.held = compared.differing.into_iter().collect();
        if lacks {
            // No resource has an empty version: this is as good as holding another one.
            let mut walk = presented.walk();
            let mut lacking = |resource: &Arc<Resource>| {
                let lacking = !walk.holds(&resource.name);
                lacking.then(|| (resource.name.clone(), Version::from("")))
            };
            let lacking: Vec<_> = match &named {
                Some(named) => named.resources.iter().filter_map(lacking).collect(),
                None => {
                    let subscribed = resources.iter().filter(|resource| self.subscription.selects(resource));
                    subscribed.filter_map(&mut lacking).collect()
                }
            };
            self.held.extend(lacking);
        }
    }

    /// Whether what the client holds is all it is subscribed to, as the resources are: what nearly every client says that
    /// comes back. Costs what is presented, and no look at the resources once others have said the same.
    pub(super) fn is_all(&self, presented: &[Held<'_>], resources: &TypeResources) -> bool {
        let names = self.subscription.names();
        let all = if self.subscription.is_pure_wildcard() && !self.subscription.is_partial() {
            (presented.len() == resources.len()).then(|| resources.print())
        } else if !self.subscription.is_wildcard() && !self.subscription.has_globs() && presented.len() == names.len() {
            names.print(resources)
        } else {
            None
        };
        let held = || presented.iter().map(|(name, version)| (name.as_ref(), *version));
        all.is_some_and(|all| all == held().collect::<HeldPrint>())
    }

    /// Enters that the client holds what it is subscribed to as the newest snapshot has it, at its first request of this
    /// type.
    pub(super) fn reconnect_in_sync(&mut self, goal: &Arc<Snapshot>) {
        self.reconnected = true;
        self.settle(goal);
    }

    /// Whether everything there is of the type is subscribed.
    fn selects_all(&self) -> bool {
        self.subscription.is_wildcard() && !self.subscription.is_partial()
    }

    /// The resources that are subscribed; `None` where that takes more than looking up names.
    fn selected_by_name(&self, resources: &TypeResources) -> Option<Arc<Selection>> {
        let by_name = !self.subscription.is_wildcard() && !self.subscription.has_globs();
        by_name.then(|| self.subscription.names().select(resources))
    }
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

/// Everything presented, in the resources' own words where they say the same.
fn all_of(presented: &Presented<'_>, resources: &TypeResources) -> BTreeMap<ResourceName, Version> {
    let find = resources.finder(presented.len());
    let held = presented.iter().map(|(name, version)| {
        let name = name.as_ref();
        let now = find(name).filter(|now| now.name.as_str() == name);
        let same = now.filter(|now| now.version.as_str() == *version);
        (
            now.map_or_else(|| name.into(), |now| now.name.clone()),
            same.map_or_else(|| Version::from(*version), |now| now.version.clone()),
        )
    });
    held.collect()
}
