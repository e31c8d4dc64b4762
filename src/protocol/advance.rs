//! What a subscription lacks between what the client holds and a newer snapshot, and what of it stays for now.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    Contents, Variant,
    draft::sort_once,
    policy::applies_valid_part,
    type_state::{Retained, TypeState},
};
use crate::{
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::TypeResources,
};

/// What advancing to another snapshot means for one subscription.
#[derive(Debug, Default)]
pub(super) struct Advance {
    pub(super) changed: Contents,
    pub(super) removed: Vec<ResourceName>,
}

impl TypeState {
    /// What changes for this subscription between the base and `to`; moves what is gone to `retained` where asked.
    pub(super) fn plan(
        &mut self,
        variant: Variant,
        to: &Arc<TypeResources>,
        in_use: Option<&BTreeSet<ResourceName>>,
        now: Instant,
    ) -> Advance {
        let base = self.base().cloned();
        let mut plan = Advance {
            changed: self.changes(base.as_ref(), to),
            ..Advance::default()
        };
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
    pub(super) fn retain(
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

    /// The subscribed resources of `to` that the client does not hold in this version: shared with all streams that make
    /// the same step, unless this client holds something else than they do.
    pub(super) fn changes(&self, from: Option<&Arc<TypeResources>>, to: &Arc<TypeResources>) -> Contents {
        let wildcard = self.subscription.is_wildcard();
        let picks = if wildcard {
            self.subscription.is_partial()
        } else {
            self.subscription.has_globs()
        };
        if picks || !self.held.is_empty() || !self.retained.is_empty() {
            return Contents::Chosen(self.changed_between(from, to));
        }
        let names = self.subscription.names();
        match (wildcard, from) {
            (true, None) => Contents::All(Arc::clone(to)),
            (true, Some(from)) => Contents::Changed(to.diff_from(from)),
            (false, None) => Contents::Selected(names.select(to)),
            (false, Some(from)) => Contents::Selected(names.select_changed(from, to)),
        }
    }

    /// The same, picked one by one. Walks the shorter of the diff and the names.
    pub(super) fn changed_between(
        &self,
        from: Option<&Arc<TypeResources>>,
        to: &Arc<TypeResources>,
    ) -> Vec<Arc<Resource>> {
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
                || self.retained.get(&resource.name).is_some_and(|retained| {
                    let is_known = retained.certain || self.refused.has(resource);
                    is_known && retained.resource.version == resource.version
                })
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
    pub(super) fn gone_between(&self, from: &Arc<TypeResources>, to: &Arc<TypeResources>) -> Vec<Arc<Resource>> {
        let diff = to.diff_from(from);
        diff.removed
            .iter()
            .filter(|resource| self.subscription.selects(resource))
            .cloned()
            .collect()
    }

    /// The resources that the subscribed names stand for, sorted, each once.
    pub(super) fn named(&self, resources: &TypeResources) -> Vec<Arc<Resource>> {
        let names = self.subscription.names();
        let find = resources.finder(names.len());
        let mut named: Vec<_> = names.iter().filter_map(|name| find(name.as_str()).cloned()).collect();
        sort_once(&mut named);
        named
    }
}
