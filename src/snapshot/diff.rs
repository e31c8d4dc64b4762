//! The difference between two sets of resources of one type.

use std::sync::Arc;

use crate::resource::{Resource, ResourceName};

/// The changes from one set of resources to another, each list sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Resources that are new or have another version.
    pub changed: Vec<Arc<Resource>>,
    /// Resources that are gone, in their last form.
    pub removed: Vec<Arc<Resource>>,
}

// === impl Diff ===

impl Diff {
    /// The difference that pairs of resources make, the earlier one first. Compares versions, and so contents.
    pub(super) fn of<'a>(
        differences: impl Iterator<Item = (Option<&'a Arc<Resource>>, Option<&'a Arc<Resource>>)>,
    ) -> Self {
        let mut diff = Self::default();
        for difference in differences {
            match difference {
                (Some(old), Some(new)) if old.version == new.version => {}
                (Some(_) | None, Some(new)) => diff.changed.push(Arc::clone(new)),
                (Some(old), None) => diff.removed.push(Arc::clone(old)),
                (None, None) => {}
            }
        }
        diff
    }

    /// Returns true if nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    /// The names of the removed resources.
    pub fn removed_names(&self) -> impl Iterator<Item = &ResourceName> {
        self.removed.iter().map(|resource| &resource.name)
    }
}
