//! What a publish would make of a group, and of what nodes are served. Nothing here is kept or served.

use std::sync::Arc;

use super::{Publisher, change::differences};
use crate::{
    node::NodeGroup,
    resource::{Resource, ResourceType},
    revision::{StoredRevision, Types},
    snapshot::{Completeness, Revision, Snapshot},
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
    /// Whether the earlier state is the current one, so that a publish would make this very step.
    pub is_next: bool,
}

/// How one resource differs between two states: there before, there after, or both.
#[derive(Clone, Copy, Debug)]
pub struct ResourceChange<'a> {
    /// Its type.
    pub resource_type: &'a ResourceType,
    /// As it was.
    pub before: Option<&'a Arc<Resource>>,
    /// As it would be.
    pub after: Option<&'a Arc<Resource>>,
}

/// What nodes are served now, and what they would be.
#[derive(Clone, Debug)]
pub struct Served {
    /// `None` where they are met with silence.
    pub before: Option<Arc<Snapshot>>,
    /// What they would be served.
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

    /// Whether nodes of a group may be served something else.
    #[must_use]
    pub fn reaches(&self, group: &NodeGroup) -> bool {
        self.group.is_shared() || self.group == *group
    }
}

// === impl Publisher ===

impl Publisher {
    /// What the nodes of a group are served now, and what they would be after a publish. `group` need not be the one that is
    /// published: the shared group is under all others.
    #[must_use]
    pub fn foresee(&self, outlook: &Outlook, group: &NodeGroup) -> Served {
        let published = Snapshot::new(
            outlook.group.clone(),
            outlook.revision,
            outlook.after.clone(),
            Completeness::Published,
        );
        let before = self.cache.get(group);
        let after = if outlook.group.is_shared() {
            let own = self.head(group).filter(|head| !head.group.is_shared());
            let own = own.as_deref().and_then(StoredRevision::snapshot);
            let served = Snapshot::compose(group, own.as_ref(), Some(&published), before.as_deref());
            let suffices = own.is_none() && self.cache.is_sufficed(group);
            if suffices { served.sufficing() } else { served }
        } else {
            Snapshot::compose(group, Some(&published), self.shared().as_ref(), before.as_deref())
        };
        Served {
            before,
            after: Arc::new(after),
        }
    }
}
