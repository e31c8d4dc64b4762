//! The difference between two sets of resources of one type.

use std::{cmp::Ordering, sync::Arc};

use crate::resource::{Resource, ResourceName};

/// What changed from one set of resources to another, each list sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Resources that are new or have another version.
    pub changed: Vec<Arc<Resource>>,
    /// Resources that are gone, as they were.
    pub removed: Vec<Arc<Resource>>,
}

// === impl Diff ===

impl Diff {
    /// Compares two lists sorted by name in one pass; by version, so by content.
    #[must_use]
    pub fn between(from: &[Arc<Resource>], to: &[Arc<Resource>]) -> Self {
        let mut diff = Self::default();
        let (mut before, mut after) = (from.iter().peekable(), to.iter().peekable());
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => return diff,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.name.cmp(&new.name),
            };
            match order {
                Ordering::Less => diff.removed.extend(before.next().cloned()),
                Ordering::Greater => diff.changed.extend(after.next().cloned()),
                Ordering::Equal => {
                    if let (Some(old), Some(new)) = (before.next(), after.next())
                        && old.version != new.version
                    {
                        diff.changed.push(Arc::clone(new));
                    }
                }
            }
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    /// The names of what is gone.
    pub fn removed_names(&self) -> impl Iterator<Item = &ResourceName> {
        self.removed.iter().map(|resource| &resource.name)
    }
}
