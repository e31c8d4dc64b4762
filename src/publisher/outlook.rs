//! The effect of a publish on a group and on its nodes. Nothing here is stored or served.

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
    /// The earlier state is the head, so that a publish would make this very step.
    pub is_next: bool,
}

/// One resource in two states: present before, after, or both.
#[derive(Clone, Copy, Debug)]
pub struct ResourceChange<'a> {
    /// Its type.
    pub resource_type: &'a ResourceType,
    /// The resource before.
    pub before: Option<&'a Arc<Resource>>,
    /// The resource after.
    pub after: Option<&'a Arc<Resource>>,
}

/// The snapshots of nodes before and after a publish.
#[derive(Clone, Debug)]
pub struct Served {
    /// The snapshot now; `None` where the nodes are met with silence.
    pub before: Option<Arc<Snapshot>>,
    /// The snapshot after the publish.
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

    /// Returns true if the publish may change what the nodes of `group` are served.
    #[must_use]
    pub fn reaches(&self, group: &NodeGroup) -> bool {
        self.group.is_shared() || self.group == *group
    }
}
