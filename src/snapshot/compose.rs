//! What nodes of a group are served: its own resources over those of the shared group, and empty endpoints where clusters
//! wait for some. Each composition starts from the one before and costs what changed since.

use std::{collections::BTreeSet, sync::Arc};

use super::{Completeness, EMPTY, Edits, Snapshot, TypeResources, Types, demand::Demand, tree::Tree};
use crate::{
    node::NodeGroup,
    resource::{Resource, ResourceName, ResourceType},
};

/// What a snapshot was composed of.
#[derive(Debug, Default)]
pub(super) struct Layers {
    own: Types,
    shared: Types,
    /// Own over shared, before endpoints were filled in.
    merged: Types,
    /// The endpoints that the clusters ask for.
    demand: Tree<Demand>,
    /// Those of them that are not there, and served as empty.
    missing: Tree<ResourceName>,
}

impl Snapshot {
    /// What nodes of a group are served: its own resources over those of the shared group, own wins by (type, name);
    /// and an empty ClusterLoadAssignment for each EDS cluster that has none (O-7). `own` is `None` for a group that was
    /// never published. Types that come out as they were in `previous` are shared with it.
    ///
    /// Costs what differs from what `previous` was composed of, and gives the same whatever that was.
    #[must_use]
    pub fn compose(group: &NodeGroup, own: Option<&Self>, shared: Option<&Self>, previous: Option<&Self>) -> Self {
        let before = previous.and_then(|previous| previous.layers.as_deref());
        let types_of = |layer: Option<&Self>| {
            layer
                .into_iter()
                .flat_map(|layer| layer.types.iter().cloned())
                .collect()
        };
        let mut layers = Layers {
            own: types_of(own),
            shared: types_of(shared),
            ..Layers::default()
        };
        layers.merge(before);
        let mut types = layers.merged.clone();
        let filled_before = previous.and_then(|previous| previous.of(&ResourceType::Endpoint));
        if let Some(filled) = layers.fill_endpoints(before, filled_before.unwrap_or(&EMPTY)) {
            types.insert(ResourceType::Endpoint, filled);
        }
        for (resource_type, resources) in &mut types {
            let before = previous.and_then(|previous| previous.of(resource_type));
            if let Some(before) = before.filter(|before| before.same_as(resources)) {
                *resources = Arc::clone(before);
            }
        }
        let revision = [own, shared].into_iter().flatten().map(Self::revision).max();
        Self {
            group: group.clone(),
            revision: revision.unwrap_or_default(),
            types: types.into_iter().collect(),
            completeness: own.map_or(Completeness::SharedOnly, |_| Completeness::Published),
            layers: Some(Arc::new(layers)),
        }
    }
}

// === impl Layers ===

impl Layers {
    fn merge(&mut self, before: Option<&Self>) {
        let nothing = Self::default();
        let before = before.unwrap_or(&nothing);
        let both: BTreeSet<&ResourceType> = self.own.keys().chain(self.shared.keys()).collect();
        let merged = |resource_type: &ResourceType| {
            let set = match (self.own.get(resource_type), self.shared.get(resource_type)) {
                (Some(own), Some(shared)) => merged_type(own, shared, before, resource_type),
                (Some(only), None) | (None, Some(only)) => Arc::clone(only),
                (None, None) => return None,
            };
            Some((resource_type.clone(), set))
        };
        self.merged = both.into_iter().filter_map(merged).collect();
    }

    /// O-7: Envoy keeps a cluster warming until it hears of its endpoints, and a server that is silent about them freezes
    /// every later CDS change with it. `None` where nothing is missing.
    fn fill_endpoints(&mut self, before: Option<&Self>, filled_before: &TypeResources) -> Option<Arc<TypeResources>> {
        let (clusters, endpoints) = (
            of(&self.merged, &ResourceType::Cluster),
            of(&self.merged, &ResourceType::Endpoint),
        );
        let nothing = Self::default();
        // Without one before, what is there is not to be looked through, only what is missing.
        let (before, endpoints_before, filled_before) = match before {
            Some(before) => (before, of(&before.merged, &ResourceType::Endpoint), filled_before),
            None => (&nothing, endpoints, &**endpoints),
        };
        let clusters_before = of(&before.merged, &ResourceType::Cluster);
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

fn of<'a>(types: &'a Types, resource_type: &ResourceType) -> &'a Arc<TypeResources> {
    types.get(resource_type).unwrap_or(&EMPTY)
}

/// One type's own resources, and those of the shared group whose names are free.
fn merged_type(
    own: &Arc<TypeResources>,
    shared: &Arc<TypeResources>,
    before: &Layers,
    resource_type: &ResourceType,
) -> Arc<TypeResources> {
    let (own_before, shared_before, merged_before) = match before.merged.get(resource_type) {
        Some(merged) => (
            of(&before.own, resource_type),
            of(&before.shared, resource_type),
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
