//! A client that comes back with what it holds (D-5): only what differs from the newest snapshot is kept of it.

use std::{collections::HashMap, sync::Arc};

use super::{Subscription, policy::waits, type_state::TypeState};
use crate::{
    resource::{ResourceName, Version},
    snapshot::{Snapshot, TypeResources},
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
    pub(super) fn reconnect(&mut self, presented: &HashMap<String, String>, goal: Option<&Arc<Snapshot>>) {
        self.reconnected = true;
        let known = goal.and_then(|goal| Some((goal, Arc::clone(goal.get(&self.kind)?))));
        let Some((goal, resources)) = known else {
            self.held = all_of(presented).collect();
            return;
        };
        let compared = Compared::new(presented, &resources, &self.subscription);
        let selected = self.selected_len(&resources).unwrap_or(usize::MAX);
        let lacks = compared.equal < selected;
        // Types that wait for others are brought to the goal in its order, where there is anything to bring them.
        let in_order = waits(&self.kind) && (lacks || !compared.differing.is_empty());
        if in_order || compared.equal <= selected / 2 {
            self.held = all_of(presented).collect();
            return;
        }
        self.settle(goal);
        self.held = compared.differing.into_iter().collect();
        if lacks {
            let subscribed = resources.iter().filter(|resource| self.subscription.selects(resource));
            let lacking = subscribed.filter(|resource| !presented.contains_key(resource.name.as_str()));
            // No resource has an empty version: this is as good as holding another one.
            let lacking: Vec<_> = lacking
                .map(|resource| (resource.name.clone(), Version::from("")))
                .collect();
            self.held.extend(lacking);
        }
    }

    /// How many of the resources are subscribed; `None` where counting them means looking at each.
    fn selected_len(&self, resources: &TypeResources) -> Option<usize> {
        if self.subscription.is_wildcard() {
            return (!self.subscription.is_partial()).then(|| resources.len());
        }
        let by_name = !self.subscription.has_globs();
        by_name.then(|| self.subscription.names().select(resources).resources.len())
    }
}

// === impl Compared ===

impl Compared {
    fn new(presented: &HashMap<String, String>, resources: &TypeResources, subscription: &Subscription) -> Self {
        let mut compared = Self {
            differing: Vec::new(),
            equal: 0,
        };
        for (name, version) in presented {
            let now = resources.get(name).filter(|now| now.name.as_str() == name);
            if now.is_some_and(|now| now.version.as_str() == version) {
                compared.equal += usize::from(now.is_some_and(|now| subscription.selects(now)));
            } else {
                let name = ResourceName::from(name.as_str());
                compared.differing.push((name, Version::from(version.as_str())));
            }
        }
        compared
    }
}

fn all_of(presented: &HashMap<String, String>) -> impl Iterator<Item = (ResourceName, Version)> {
    let entry = |(name, version): (&String, &String)| {
        let (name, version) = (name.as_str(), version.as_str());
        (ResourceName::from(name), Version::from(version))
    };
    presented.iter().map(entry)
}
