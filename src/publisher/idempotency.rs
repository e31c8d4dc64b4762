//! Idempotency keys: a publish that is sent again, since its answer was lost, is the same publish.

use super::{
    change::{TypeChange, Wanted},
    request::PublishOptions,
};
use crate::{
    resource::{ContentHash, ResourceName, ResourceType},
    revision::{Receipt, ReceiptChange},
    snapshot::Revision,
};

/// The hash of a publish request, with the idempotency key of the publisher.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) key: String,
    pub(super) request: ContentHash,
}

// === impl Ticket ===

impl Ticket {
    /// The ticket of a replace.
    pub(super) fn of_replace(options: &PublishOptions, wanted: &Wanted) -> Option<Self> {
        Self::of(options, "replace", wanted, &[], Revision::default())
    }

    /// The ticket of a patch.
    pub(super) fn of_patch(
        options: &PublishOptions,
        upserts: &Wanted,
        deletions: &[(ResourceType, ResourceName)],
    ) -> Option<Self> {
        Self::of(options, "patch", upserts, deletions, Revision::default())
    }

    /// The ticket of a rollback.
    pub(super) fn of_rollback(options: &PublishOptions, to: Revision) -> Option<Self> {
        Self::of(options, "rollback", &Wanted::new(), &[], to)
    }

    /// `None` without a key, and for a dry run, which may be repeated freely.
    fn of(
        options: &PublishOptions,
        call: &str,
        resources: &Wanted,
        deletions: &[(ResourceType, ResourceName)],
        to: Revision,
    ) -> Option<Self> {
        let key = options.idempotency_key.as_ref().filter(|_| !options.dry_run)?;
        let counts =
            [resources.values().map(Vec::len).sum(), deletions.len()].map(|count| (count as u64).to_le_bytes());
        let to = to.0.to_le_bytes();
        // Only the request itself: neither its author, its message, nor its notation.
        let version = options.version_info.as_deref().unwrap_or_default();
        let mut parts: Vec<&[u8]> = vec![call.as_bytes(), version.as_bytes(), &to];
        parts.extend(counts.iter().map(|count| &count[..]));
        // The hash of a content covers its type and name.
        parts.extend(resources.values().flatten().map(|one| &one.content.as_bytes()[..]));
        for (resource_type, name) in deletions {
            parts.extend([resource_type.type_url().as_bytes(), name.as_str().as_bytes()]);
        }
        Some(Self {
            key: key.clone(),
            request: ContentHash::of_parts(parts),
        })
    }

    /// The receipt of the publish, once its revision is known.
    pub(super) fn receipt(&self, revision: Revision, changed: bool, changes: &[TypeChange]) -> Receipt {
        Receipt {
            key: self.key.clone(),
            request: self.request,
            revision,
            changed,
            changes: changes.iter().map(ReceiptChange::from).collect(),
        }
    }
}

impl From<&TypeChange> for ReceiptChange {
    fn from(change: &TypeChange) -> Self {
        let TypeChange {
            resource_type,
            added,
            changed,
            removed,
            version,
        } = change.clone();
        Self {
            resource_type,
            version,
            added,
            changed,
            removed,
        }
    }
}

impl From<ReceiptChange> for TypeChange {
    fn from(change: ReceiptChange) -> Self {
        let ReceiptChange {
            resource_type,
            version,
            added,
            changed,
            removed,
        } = change;
        Self {
            resource_type,
            added,
            changed,
            removed,
            version,
        }
    }
}
