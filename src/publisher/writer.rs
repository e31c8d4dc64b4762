//! State of the one publish that is under way: the numbers given, the past of groups, the checks of their heads.

use std::collections::HashMap;

use super::lineage::Lineage;
use crate::{admission::GroupChecks, node::NodeGroup, snapshot::Revision};

/// Held from the look at the head until the new one is served.
#[derive(Debug)]
pub(super) struct Writer {
    /// The largest number that was ever given.
    pub(super) last: Revision,
    /// Of every group with a history, deleted ones included.
    pub(super) lineages: HashMap<NodeGroup, Lineage>,
    /// The checks of heads: of every group that was published, or asked of, since the start.
    checks: HashMap<NodeGroup, GroupChecks>,
}

// === impl Writer ===

impl Writer {
    /// Before the first publish.
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
        // They share most with those of the state before, which is not needed any more.
        self.checks.remove(group);
        checks.settle();
        self.checks.insert(group.clone(), checks);
    }

    /// The group has no head any more.
    pub(super) fn forget(&mut self, group: &NodeGroup) {
        self.checks.remove(group);
    }
}
