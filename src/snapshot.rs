//! Snapshots: immutable, complete, versioned per type, and the differences between them.
//!
//! The publisher makes snapshots, sessions compare them. A snapshot is never edited: a change makes a new one.

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

/// The number of a publish, across all groups and restarts: larger is later. 0 is "before any publish".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// The resources that one group is served, as of one revision.
#[derive(Clone)]
pub struct Snapshot {
    group: NodeGroup,
    revision: Revision,
    /// Sorted and few: for look-ups, a walk is quicker than a search.
    types: Arc<[(ResourceType, Arc<TypeResources>)]>,
    completeness: Completeness,
    /// The layers from which the next snapshot is composed incrementally; `None` if this one is not composed.
    layers: Option<Arc<Layers>>,
}

/// The meaning of a type without resources, and of the resources that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// The group was published: a type without resources is empty, and clients are sent the empty state (S-9).
    Published,
    /// Only the shared group was published: a type that it does not have is unknown and met with silence (S-9), and a
    /// type that it has is not full state (S-20).
    SharedOnly,
    /// Only the shared group was published, and a setting declares it to be full state (S-20).
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
    /// The own resources of a published group.
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

    /// The group of the snapshot.
    #[must_use]
    pub const fn group(&self) -> &NodeGroup {
        &self.group
    }

    /// The newest revision in the snapshot.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The resources of a type; `None` if the type is unknown, which is not the same as empty (S-9).
    #[must_use]
    pub fn get(&self, resource_type: &ResourceType) -> Option<&Arc<TypeResources>> {
        match (self.of(resource_type), self.completeness) {
            (Some(resources), _) => Some(resources),
            (None, Completeness::Published | Completeness::SharedSuffices) => Some(&EMPTY),
            (None, Completeness::SharedOnly) => None,
        }
    }

    /// Returns true if these are all resources of the type that a node of the group has, so that a missing one may be
    /// removed from the node (S-20). Otherwise a wildcard waits, and only names that are asked for are sent.
    #[must_use]
    pub const fn is_whole(&self, _resource_type: &ResourceType) -> bool {
        match self.completeness {
            Completeness::Published | Completeness::SharedSuffices => true,
            Completeness::SharedOnly => false,
        }
    }

    /// Returns true if the group or the shared group has resources of the type, or had some since its first publish. If
    /// neither had any, nothing is known of the client's resources, and "empty" would remove them (S-20).
    #[must_use]
    pub fn had(&self, resource_type: &ResourceType) -> bool {
        self.of(resource_type).is_some()
    }

    /// This snapshot for groups for which the shared group alone is full state. The types are shared with this one.
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

    /// The resources of a type that has some or had some.
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
