//! Snapshots: immutable, complete, versioned per type, and the differences between them.
//!
//! The publisher makes them, sessions compare them. Nothing here is edited in place: build new, swap.

mod alias;
mod compose;
mod demand;
mod diff;
mod held;
mod index;
mod layers;
mod restrict;
mod secrets;
mod tree;
mod type_resources;
mod types;

use std::{fmt, sync::Arc};

use self::{layers::Layers, type_resources::EMPTY};
use crate::{
    node::NodeGroup,
    resource::{Resource, ResourceType},
};

pub use self::{
    alias::DuplicateName,
    diff::Diff,
    held::HeldFingerprint,
    secrets::secret_values,
    type_resources::{Edits, TypeResources},
    types::{Types, differences, of_type},
};

/// Numbers publishes, across all groups and restarts: larger is later. 0 is "before any publish".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Everything one group is given, at one moment.
#[derive(Clone)]
pub struct Snapshot {
    group: NodeGroup,
    revision: Revision,
    /// Sorted, and few: a session looks one up many times for each response, and a walk is quicker than a search.
    types: Arc<[(ResourceType, Arc<TypeResources>)]>,
    completeness: Completeness,
    /// What it was composed of, from which the next is composed at the cost of what changed; `None` for what was published.
    layers: Option<Arc<Layers>>,
}

/// Whether a type without resources is known to be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// The group was published: a type without resources is empty, and clients are told so (S-9 a).
    Published,
    /// Only the shared group has something to say: a type it does not hold is unknown, and what it holds is not all that a
    /// node has; clients hear nothing of the one, and the other is no full state (S-9 b, S-20).
    SharedOnly,
    /// Only the shared group has something to say, and it is meant to say everything.
    SharedSuffices,
}

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
    pub fn new(group: NodeGroup, revision: Revision, types: Types, completeness: Completeness) -> Self {
        Self {
            group,
            revision,
            types: types.into_iter().collect(),
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
        match (self.of(resource_type), self.completeness) {
            (Some(resources), _) => Some(resources),
            (None, Completeness::Published | Completeness::SharedSuffices) => Some(&EMPTY),
            (None, Completeness::SharedOnly) => None,
        }
    }

    /// Whether this is all that a node of the group has of a type, so that what is missing from it may be taken from the node
    /// (S-20). Where it is not, a wildcard waits, and only what is asked for by name is given.
    #[must_use]
    pub const fn is_whole(&self, _resource_type: &ResourceType) -> bool {
        match self.completeness {
            Completeness::Published | Completeness::SharedSuffices => true,
            Completeness::SharedOnly => false,
        }
    }

    /// Whether the group, or the shared one, has resources of a type or had some since it was first published. Where it had
    /// none, nothing is known of what a client holds of the type, and "empty" would take it away (S-20).
    #[must_use]
    pub fn had(&self, resource_type: &ResourceType) -> bool {
        self.of(resource_type).is_some()
    }

    /// The same for groups to which the shared one is enough. What both hold is shared.
    #[must_use]
    pub fn sufficing(&self) -> Self {
        let completeness = match self.completeness {
            Completeness::Published => Completeness::Published,
            Completeness::SharedOnly | Completeness::SharedSuffices => Completeness::SharedSuffices,
        };
        Self {
            completeness,
            ..self.clone()
        }
    }

    /// The types that have resources or had some, in send order.
    pub fn types(&self) -> impl Iterator<Item = (&ResourceType, &Arc<TypeResources>)> {
        self.types
            .iter()
            .map(|(resource_type, resources)| (resource_type, resources))
    }

    /// The resources of a type, where it has some or had some.
    fn of(&self, resource_type: &ResourceType) -> Option<&Arc<TypeResources>> {
        let found = self.types.iter().find(|(own, _)| own == resource_type);
        found.map(|(_, resources)| resources)
    }

    /// One resource, by name or alias.
    #[must_use]
    pub fn resource(&self, resource_type: &ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.of(resource_type)?.get(name)
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
