//! The name of a group of nodes that share a snapshot, and of the group `*` whose resources all nodes share.
//!
//! The module `grouping` decides which node belongs to which group.

use std::{fmt, sync::Arc};

use super::Pattern;

/// The name of a group: its nodes are given the same snapshot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeGroup(Arc<str>);

/// A set of groups, by patterns of their names. The groups need not exist.
#[derive(Clone, Debug, Default)]
pub struct GroupSet(Box<[Pattern]>);

// === impl NodeGroup ===

impl NodeGroup {
    /// The name of the shared group, whose resources every node may see.
    pub const SHARED: &'static str = "*";

    /// The group as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true for the shared group `*`.
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

// === impl GroupSet ===

impl GroupSet {
    /// Returns true if a pattern matches the group's name.
    #[must_use]
    pub fn contains(&self, group: &NodeGroup) -> bool {
        self.0.iter().any(|pattern| pattern.matches(group.as_str()))
    }
}

impl FromIterator<Pattern> for GroupSet {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}
