//! Snapshots: immutable, complete, versioned per type, and the differences between them.
//!
//! The publisher makes them, sessions compare them. Nothing here is edited in place: build new, swap.

mod alias;
mod compose;
mod demand;
mod diff;
mod held;
mod index;
mod tree;
mod type_resources;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
};

use self::compose::Layers;
use crate::{
    node::NodeGroup,
    resource::{Resource, ResourceType},
};

pub use self::{
    diff::Diff,
    held::HeldPrint,
    type_resources::{DuplicateName, Edits, TypeResources},
};

/// Numbers publishes, across all groups and restarts: larger is later. 0 is "before any publish".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Everything one group is given, at one moment.
#[derive(Clone)]
pub struct Snapshot {
    group: NodeGroup,
    revision: Revision,
    types: BTreeMap<ResourceType, Arc<TypeResources>>,
    completeness: Completeness,
    /// What it was composed of, from which the next is composed at the cost of what changed; `None` for what was published.
    layers: Option<Arc<Layers>>,
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
            layers: None,
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
