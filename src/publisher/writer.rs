//! The state of the one publish that is under way: the last revision, the past of groups, the checks of their heads.

use std::collections::HashMap;

use super::lineage::Lineage;
use crate::{admission::GroupChecks, node::NodeGroup, snapshot::Revision};

/// Held from reading the head until the new head is served.
#[derive(Debug)]
pub(super) struct Writer {
    /// The largest revision that was ever made.
    pub(super) last: Revision,
    /// The past of every group with a history, deleted groups included.
    pub(super) lineages: HashMap<NodeGroup, Lineage>,
    /// The checks of heads: of every group that was published or queried since the start.
    checks: HashMap<NodeGroup, GroupChecks>,
}

// === impl Writer ===

impl Writer {
    /// The state before the first publish.
    pub(super) fn new(last: Revision, lineages: HashMap<NodeGroup, Lineage>) -> Self {
        Self {
            last,
            lineages,
            checks: HashMap::new(),
        }
    }

    /// The number of the next revision.
    pub(super) const fn next_revision(&self) -> Revision {
        Revision(self.last.0 + 1)
    }

    /// The checks of a group's head.
    pub(super) fn known(&self, group: &NodeGroup) -> Option<&GroupChecks> {
        self.checks.get(group)
    }

    /// Keeps the checks of a group's new head.
    pub(super) fn remember(&mut self, group: &NodeGroup, mut checks: GroupChecks) {
        // The new checks share most of their state with the old ones: without the old ones they can be edited in place.
        self.checks.remove(group);
        checks.settle();
        self.checks.insert(group.clone(), checks);
    }

    /// Drops the checks of a group that was deleted.
    pub(super) fn forget(&mut self, group: &NodeGroup) {
        self.checks.remove(group);
    }
}
