//! The request of a publish, after admission.

use super::{idempotency::Ticket, request::PublishOptions, vetting::Vetted};
use crate::{
    admission::{Admitted, Finding, Places},
    resource::{ResourceName, ResourceType},
    snapshot::Revision,
};

/// The state that a publisher wants for a group.
#[derive(Debug)]
pub(super) enum Intent {
    /// Exactly these resources. Some may be shared with the head, whose findings are known.
    Replace { admitted: Admitted, vetted: Option<Vetted> },
    /// The head with these resources added or replaced, and without the deleted ones.
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
    /// The ticket that identifies a repetition of the publish; `None` without a key.
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

    /// The places of the given resources in their documents; `None` where no resources were given.
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
