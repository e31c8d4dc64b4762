//! The settings of each group.

use std::{collections::BTreeSet, sync::Arc};

use super::Policy;
use crate::node::NodeGroup;

/// The settings of all groups, in two forms: with make before break, and without it.
#[derive(Clone, Debug)]
pub struct Policies {
    ordered: Arc<Policy>,
    without_order: Arc<Policy>,
    /// Groups whose streams are served without make before break.
    unordered: BTreeSet<NodeGroup>,
}

// === impl Policies ===

impl Policies {
    /// Gives all groups the same settings. Groups in `unordered` are served without make before break.
    #[must_use]
    pub fn new(policy: Policy, unordered: BTreeSet<NodeGroup>) -> Self {
        let mut without_order = policy.clone();
        without_order.ordering.enabled = false;
        Self {
            ordered: Arc::new(policy),
            without_order: Arc::new(without_order),
            unordered,
        }
    }

    /// The settings of a stream of this group.
    #[must_use]
    pub fn of(&self, group: &NodeGroup) -> &Arc<Policy> {
        if self.unordered.contains(group) {
            &self.without_order
        } else {
            &self.ordered
        }
    }

    /// The settings for single answers, which need limits and no order.
    #[must_use]
    pub const fn common(&self) -> &Arc<Policy> {
        &self.ordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_differ_in_nothing_but_the_order() {
        let policies = Policies::new(Policy::default(), BTreeSet::from(["free".into()]));
        let (free, bound) = (policies.of(&"free".into()), policies.of(&"bound".into()));
        assert!(!free.ordering.enabled && bound.ordering.enabled);
        assert_eq!(free.limits.types, bound.limits.types);
    }
}
