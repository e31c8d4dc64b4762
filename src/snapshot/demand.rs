//! The ClusterLoadAssignments that the clusters of a snapshot refer to.

use std::collections::BTreeMap;

use super::{
    TypeResources,
    tree::{Edit, Item, Tree},
};
use crate::resource::{ResourceName, ResourceType};

/// The name of a ClusterLoadAssignment and the number of clusters that refer to it.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    name: ResourceName,
    clusters: [u8; 8],
}

// === impl Demand ===

impl Demand {
    /// The demand after a change of clusters, and the names whose number of clusters changed.
    pub(super) fn edited(
        before: &Tree<Self>,
        from: &TypeResources,
        to: &TypeResources,
    ) -> (Tree<Self>, Vec<ResourceName>) {
        let mut changes: BTreeMap<&ResourceName, i64> = BTreeMap::new();
        for (old, new) in to.differences(from) {
            for (cluster, change) in [(old, -1), (new, 1)] {
                let asked = cluster
                    .into_iter()
                    .flat_map(|cluster| cluster.references_to(&ResourceType::Endpoint));
                asked.for_each(|name| *changes.entry(name).or_default() += change);
            }
        }
        changes.retain(|_, change| *change != 0);
        let edit = |(name, change): (&ResourceName, i64)| -> Edit<Self> {
            let clusters = before
                .get(name.as_str())
                .map_or(0, |demand| u64::from_le_bytes(demand.clusters));
            let clusters = clusters.saturating_add_signed(change);
            let demand = (clusters > 0).then(|| Self {
                name: name.clone(),
                clusters: clusters.to_le_bytes(),
            });
            (name.clone(), demand)
        };
        let edits: Vec<Edit<Self>> = changes.into_iter().map(edit).collect();
        (before.edited(&edits), edits.into_iter().map(|(name, _)| name).collect())
    }
}

impl Item for Demand {
    fn key(&self) -> &ResourceName {
        &self.name
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        [self.name.as_str().as_bytes(), &self.clusters[..]].into_iter()
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// The name of a ClusterLoadAssignment that clusters refer to and that does not exist.
impl Item for ResourceName {
    fn key(&self) -> &ResourceName {
        self
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.as_str().as_bytes())
    }

    fn bytes(&self) -> usize {
        0
    }
}
