//! The layers of a composed snapshot, from which the next one is composed incrementally.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    demand::Demand,
    tree::Tree,
    type_resources::{EMPTY, Edits, TypeResources},
    types::{Types, of_type},
};
use crate::resource::{Resource, ResourceName, ResourceType};

/// The layers of a composed snapshot.
#[derive(Debug, Default)]
pub(super) struct Layers {
    own: Types,
    shared: Types,
    /// Own resources over shared ones, without the empty endpoints.
    merged: Types,
    /// The names of endpoints that the clusters refer to.
    demand: Tree<Demand>,
    /// The names in `demand` that do not exist and are served as empty endpoints.
    missing: Tree<ResourceName>,
}

// === impl Layers ===

impl Layers {
    /// Puts a group's own resources over the shared ones. Unchanged types are shared with `before`.
    pub(super) fn merge(own: Types, shared: Types, before: Option<&Self>) -> Self {
        let nothing = Self::default();
        let before = before.unwrap_or(&nothing);
        let both: BTreeSet<&ResourceType> = own.keys().chain(shared.keys()).collect();
        let merged = |resource_type: &ResourceType| {
            let set = match (own.get(resource_type), shared.get(resource_type)) {
                (Some(own), Some(shared)) => merged_type(own, shared, before, resource_type),
                (Some(only), None) | (None, Some(only)) => Arc::clone(only),
                (None, None) => return None,
            };
            Some((resource_type.clone(), set))
        };
        let merged = both.into_iter().filter_map(merged).collect();
        Self {
            own,
            shared,
            merged,
            ..Self::default()
        }
    }

    /// Own resources over shared ones, without the empty endpoints.
    pub(super) const fn merged(&self) -> &Types {
        &self.merged
    }

    /// Adds empty endpoints for the clusters that lack them; `None` if none are missing. Envoy keeps a cluster warming
    /// until it receives its endpoints, and without an answer it delays every later CDS change (O-7).
    pub(super) fn fill_endpoints(
        &mut self,
        before: Option<&Self>,
        filled_before: &TypeResources,
    ) -> Option<Arc<TypeResources>> {
        let (clusters, endpoints) = (
            of_type(&self.merged, &ResourceType::Cluster),
            of_type(&self.merged, &ResourceType::Endpoint),
        );
        let nothing = Self::default();
        // Without a previous composition, existing endpoints count as unchanged: only missing ones are visited.
        let (before, endpoints_before, filled_before) = match before {
            Some(before) => (before, of_type(&before.merged, &ResourceType::Endpoint), filled_before),
            None => (&nothing, endpoints, &**endpoints),
        };
        let clusters_before = of_type(&before.merged, &ResourceType::Cluster);
        let (demand, asked) = Demand::edited(&before.demand, clusters_before, clusters);
        let mut affected: BTreeSet<ResourceName> = asked.into_iter().collect();
        for resource in endpoints.differences(endpoints_before).flat_map(<[_; 2]>::from) {
            affected.extend(resource.into_iter().flat_map(|resource| resource.known_as()).cloned());
        }

        let is_missing =
            |name: &ResourceName| demand.get(name.as_str()).is_some() && endpoints.get(name.as_str()).is_none();
        let turns = affected
            .iter()
            .map(|name| (name.clone(), is_missing(name).then(|| name.clone())));
        let turns: Vec<_> = turns
            .filter(|(name, missing)| missing.is_some() != before.missing.get(name.as_str()).is_some())
            .collect();
        let missing = before.missing.edited(&turns);
        let filled = (!missing.is_empty()).then(|| {
            let served = |name: &ResourceName| {
                let there = endpoints.named(name.as_str()).cloned();
                there.or_else(|| {
                    missing
                        .get(name.as_str())
                        .map(|name| empty_endpoints(name, before, filled_before))
                })
            };
            let edits = affected.iter().map(|name| (name.clone(), served(name))).collect();
            Arc::new(edited(filled_before, &edits).grown_from(endpoints))
        });
        self.demand = demand;
        self.missing = missing;
        filled
    }
}

/// One type's own resources, plus the shared ones whose names and aliases are free.
fn merged_type(
    own: &Arc<TypeResources>,
    shared: &Arc<TypeResources>,
    before: &Layers,
    resource_type: &ResourceType,
) -> Arc<TypeResources> {
    let (own_before, shared_before, merged_before) = match before.merged.get(resource_type) {
        Some(merged) => (
            of_type(&before.own, resource_type),
            of_type(&before.shared, resource_type),
            merged,
        ),
        None => (own, &*EMPTY, own),
    };
    if Arc::ptr_eq(own, own_before) && Arc::ptr_eq(shared, shared_before) {
        return Arc::clone(merged_before);
    }
    let mut affected: BTreeSet<&ResourceName> = BTreeSet::new();
    for resource in own.differences(own_before).flat_map(<[_; 2]>::from).flatten() {
        affected.insert(&resource.name);
        let hidden = resource.known_as().filter_map(|name| shared.get(name.as_str()));
        affected.extend(hidden.map(|resource| &resource.name));
    }
    for resource in shared.differences(shared_before).flat_map(<[_; 2]>::from).flatten() {
        affected.insert(&resource.name);
    }
    let is_free = |resource: &&Arc<Resource>| resource.known_as().all(|name| own.get(name.as_str()).is_none());
    let served = |name: &ResourceName| {
        let below = || shared.named(name.as_str()).filter(is_free);
        own.named(name.as_str()).or_else(below).cloned()
    };
    let edits = affected.into_iter().map(|name| (name.clone(), served(name))).collect();
    let merged = edited(merged_before, &edits);
    if merged.len() == own.len() {
        return Arc::clone(own);
    }
    Arc::new(merged.grown_from(own))
}

fn edited(before: &TypeResources, edits: &Edits) -> TypeResources {
    before.edited(edits).expect("only resources with free names are added")
}

/// The empty assignment that was served before, or a new one.
fn empty_endpoints(name: &ResourceName, before: &Layers, filled_before: &TypeResources) -> Arc<Resource> {
    let was_missing = before.missing.get(name.as_str()).is_some();
    let served = filled_before.named(name.as_str()).filter(|_| was_missing);
    served
        .cloned()
        .unwrap_or_else(|| Arc::new(Resource::empty_endpoints(name)))
}
