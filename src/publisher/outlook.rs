//! The step that a publish would be, for a group and for its nodes. Nothing here is kept or served.

use std::sync::Arc;

use crate::{
    node::NodeGroup,
    resource::{Resource, ResourceType},
    snapshot::{Revision, Snapshot, Types, differences},
};

/// Two states of a group's own resources.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// The group.
    pub group: NodeGroup,
    /// The revision that the later state would get.
    pub(super) revision: Revision,
    pub(super) before: Types,
    pub(super) after: Types,
    /// The earlier state is the current one, so that a publish would make this very step.
    pub is_next: bool,
}

/// One resource in two states: there before, there after, or both.
#[derive(Clone, Copy, Debug)]
pub struct ResourceChange<'a> {
    /// Its type.
    pub resource_type: &'a ResourceType,
    /// As it was.
    pub before: Option<&'a Arc<Resource>>,
    /// As it would be.
    pub after: Option<&'a Arc<Resource>>,
}

/// The snapshot that nodes are served now, and the one that they would be.
#[derive(Clone, Debug)]
pub struct Served {
    /// `None` where they are met with silence.
    pub before: Option<Arc<Snapshot>>,
    /// The snapshot that they would be served.
    pub after: Arc<Snapshot>,
}

// === impl Outlook ===

impl Outlook {
    /// Every resource that differs, by type in send order, then by name.
    pub fn changes(&self) -> impl Iterator<Item = ResourceChange<'_>> {
        let changes = differences(&self.before, &self.after).map(|(resource_type, before, after)| ResourceChange {
            resource_type,
            before,
            after,
        });
        changes.filter(|change| change.before.map(|before| before.content) != change.after.map(|after| after.content))
    }

    /// Says that nodes of a group may be served something else.
    #[must_use]
    pub fn reaches(&self, group: &NodeGroup) -> bool {
        self.group.is_shared() || self.group == *group
    }
}
