//! The request of a publish, once admission has had its say.

use super::{idempotency::Ticket, request::PublishOptions, vetting::Vetted};
use crate::{
    admission::{Admitted, Finding, Places},
    resource::{ResourceName, ResourceType},
    snapshot::Revision,
};

/// The state that a group is to have.
#[derive(Debug)]
pub(super) enum Intent {
    /// Exactly these resources. Some of them may be taken over from what was vetted before.
    Replace { admitted: Admitted, vetted: Option<Vetted> },
    /// Its resources with these added or put in place of others, and without those that are deleted.
    Patch {
        admitted: Admitted,
        /// Sorted, all different.
        deletions: Vec<(ResourceType, ResourceName)>,
    },
    /// The state of a kept revision.
    Restore(Revision),
}

// === impl Intent ===

impl Intent {
    /// The ticket that a repetition of the publish is known by; `None` where it has no key.
    pub(super) fn ticket(&self, options: &PublishOptions) -> Option<Ticket> {
        match self {
            Self::Replace { admitted, .. } => Ticket::of_replace(options, &admitted.resources),
            Self::Patch { admitted, deletions } => Ticket::of_patch(options, &admitted.resources, deletions),
            Self::Restore(to) => Ticket::of_rollback(options, *to),
        }
    }

    /// Admission's findings in the given resources.
    pub(super) fn findings(&self) -> &[Finding] {
        self.admitted().map_or(&[], |admitted| &admitted.findings)
    }

    /// Places of the given resources; `None` where none were given.
    pub(super) fn places(&self) -> Option<&Places> {
        self.admitted().map(|admitted| &admitted.places)
    }

    const fn admitted(&self) -> Option<&Admitted> {
        match self {
            Self::Replace { admitted, .. } | Self::Patch { admitted, .. } => Some(admitted),
            Self::Restore(_) => None,
        }
    }
}
