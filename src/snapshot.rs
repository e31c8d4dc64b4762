//! Snapshots: immutable, complete, versioned per type, and the differences between them.
//!
//! The publisher makes them, sessions compare them. Nothing here is edited in place: build new, swap.

mod diff;
mod type_resources;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
};

use crate::resource::{Resource, ResourceName, ResourceType, Version};

pub use self::{
    diff::Diff,
    type_resources::{DuplicateName, TypeResources},
};

/// Numbers publishes, across all groups and restarts: larger is later. 0 is "before any publish".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Nodes that are given the same snapshot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeGroup(Arc<str>);

/// Everything one group is given, at one moment.
#[derive(Clone)]
pub struct Snapshot {
    group: NodeGroup,
    revision: Revision,
    types: BTreeMap<ResourceType, Arc<TypeResources>>,
    completeness: Completeness,
}

/// Whether a type without resources is known to be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// The group was published: a type without resources is empty, and clients are told so (S-9 a).
    Published,
    /// Only the shared group has something to say: a type it does not hold is unknown, and clients hear nothing of it
    /// (S-9 b).
    SharedOnly,
}

static EMPTY: LazyLock<Arc<TypeResources>> = LazyLock::new(|| Arc::new(TypeResources::default()));

// === impl Revision ===

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl NodeGroup ===

impl NodeGroup {
    /// The name of the group whose resources every node may see.
    pub const SHARED: &'static str = "*";

    /// The group as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the shared group `*`.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        &*self.0 == Self::SHARED
    }
}

impl From<&str> for NodeGroup {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for NodeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// A published group's own resources.
    #[must_use]
    pub const fn new(
        group: NodeGroup,
        revision: Revision,
        types: BTreeMap<ResourceType, Arc<TypeResources>>,
        completeness: Completeness,
    ) -> Self {
        Self {
            group,
            revision,
            types,
            completeness,
        }
    }

    /// The group it belongs to.
    #[must_use]
    pub const fn group(&self) -> &NodeGroup {
        &self.group
    }

    /// The newest publish that is in it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The resources of a type; `None` where nothing is known of it, which is not the same as empty (S-9).
    #[must_use]
    pub fn get(&self, resource_type: &ResourceType) -> Option<&Arc<TypeResources>> {
        match (self.types.get(resource_type), self.completeness) {
            (Some(resources), _) => Some(resources),
            (None, Completeness::Published) => Some(&EMPTY),
            (None, Completeness::SharedOnly) => None,
        }
    }

    /// The types that have resources, in send order.
    pub fn types(&self) -> impl Iterator<Item = (&ResourceType, &Arc<TypeResources>)> {
        self.types.iter()
    }

    /// One resource, by name or alias.
    #[must_use]
    pub fn resource(&self, resource_type: &ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.types.get(resource_type)?.get(name)
    }

    /// What nodes of a group are served: its own resources over those of the shared group, own wins by (type, name);
    /// and an empty ClusterLoadAssignment for each EDS cluster that has none (O-7). `own` is `None` for a group that was
    /// never published. Types that come out as they were in `previous` are shared with it.
    #[must_use]
    pub fn compose(group: &NodeGroup, own: Option<&Self>, shared: Option<&Self>, previous: Option<&Self>) -> Self {
        let mut types: BTreeMap<ResourceType, Arc<TypeResources>> = BTreeMap::new();
        for layer in [own, shared].into_iter().flatten() {
            for (resource_type, resources) in &layer.types {
                types
                    .entry(resource_type.clone())
                    .and_modify(|mine| *mine = Arc::new(mine.or_else(resources)))
                    .or_insert_with(|| Arc::clone(resources));
            }
        }
        add_missing_endpoints(&mut types);
        if let Some(previous) = previous {
            for (resource_type, resources) in &mut types {
                if let Some(before) = previous
                    .types
                    .get(resource_type)
                    .filter(|before| before.same_as(resources))
                {
                    *resources = Arc::clone(before);
                }
            }
        }
        let revision = [own, shared].into_iter().flatten().map(Self::revision).max();
        Self {
            group: group.clone(),
            revision: revision.unwrap_or_default(),
            types,
            completeness: own.map_or(Completeness::SharedOnly, |_| Completeness::Published),
        }
    }
}

/// O-7: Envoy keeps a cluster warming until it hears of its endpoints, and a server that is silent about them freezes every
/// later CDS change with it.
fn add_missing_endpoints(types: &mut BTreeMap<ResourceType, Arc<TypeResources>>) {
    let endpoints = types.get(&ResourceType::Endpoint).unwrap_or(&EMPTY);
    let Some(clusters) = types.get(&ResourceType::Cluster) else {
        return;
    };
    let missing: std::collections::BTreeSet<&ResourceName> = clusters
        .iter()
        .flat_map(|cluster| cluster.references_to(&ResourceType::Endpoint))
        .filter(|name| endpoints.get(name.as_str()).is_none())
        .collect();
    if missing.is_empty() {
        return;
    }
    let empty = missing.into_iter().map(|name| Arc::new(empty_load_assignment(name)));
    let filled = endpoints.with(empty);
    types.insert(ResourceType::Endpoint, Arc::new(filled));
}

/// `ClusterLoadAssignment { cluster_name }` as an encoded `Any`.
fn empty_load_assignment(name: &ResourceName) -> Resource {
    use crate::resource::ContentHash;
    use prost::Message as _;

    /// The one field an empty assignment has.
    #[derive(Clone, PartialEq, prost::Message)]
    struct LoadAssignment {
        #[prost(string, tag = "1")]
        cluster_name: String,
    }

    let value = LoadAssignment {
        cluster_name: name.to_string(),
    }
    .encode_to_vec();
    let content = ContentHash::of(&ResourceType::Endpoint, name, &[], None, &value);
    let any = prost_types::Any {
        type_url: ResourceType::Endpoint.type_url().to_owned(),
        value,
    };
    Resource {
        name: name.clone(),
        version: Version::from(content),
        content,
        aliases: Box::default(),
        ttl: None,
        body: any.encode_to_vec().into(),
        references: Box::default(),
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("group", &self.group)
            .field("revision", &self.revision)
            .field("types", &self.types)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
