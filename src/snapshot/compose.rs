//! The composition of a group's snapshot: its own resources over those of the shared group, plus empty endpoints for
//! clusters that lack them. Each composition starts from the one before and costs as much as what changed since.

use std::sync::Arc;

use super::{Completeness, Snapshot, layers::Layers, type_resources::EMPTY};
use crate::{node::NodeGroup, resource::ResourceType};

impl Snapshot {
    /// Composes the snapshot of a group: its own resources over those of the shared group, by (type, name), plus an
    /// empty ClusterLoadAssignment for each EDS cluster that has none (O-7). `own` is `None` for a group that was never
    /// published. Types that did not change are shared with `previous`.
    ///
    /// Costs as much as the change since `previous`. The result does not depend on `previous`.
    #[must_use]
    pub fn compose(group: &NodeGroup, own: Option<&Self>, shared: Option<&Self>, previous: Option<&Self>) -> Self {
        let before = previous.and_then(|previous| previous.layers.as_deref());
        let types_of = |layer: Option<&Self>| {
            layer
                .into_iter()
                .flat_map(|layer| layer.types.iter().cloned())
                .collect()
        };
        let mut layers = Layers::merge(types_of(own), types_of(shared), before);
        let mut types = layers.merged().clone();
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
