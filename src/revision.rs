//! The store of revisions: each publish makes one, which is durable before it is served.
//!
//! The publisher is the only writer. Calls block. The store does not know who publishes or who is served.

mod error;
mod keys;
mod memory;
mod origin;
mod random;
mod receipt;
mod redb_store;

use std::{fmt, io, num::NonZeroUsize, sync::Arc, time::SystemTime};

use crate::{
    node::NodeGroup,
    resource::{ContentHash, ContentKey, ResourceType, Version},
    snapshot::{Completeness, Revision, Snapshot, TypeResources, Types},
};

pub use self::{
    error::StoreError,
    keys::{KeyFileError, KeyId, StoreKey, StoreKeys},
    memory::MemoryStore,
    origin::{Origin, Owner},
    receipt::{Receipt, ReceiptChange},
    redb_store::{Contents, RedbStore, RekeyTo, Rekeyed, Restored, rekey, restore, verify_backup},
};

/// Default number of revisions kept per group: enough to go back a working day of frequent publishes.
pub const DEFAULT_RETENTION: NonZeroUsize = NonZeroUsize::new(50).expect("50 is not zero");

/// One revision of one group, with its resources.
#[derive(Clone, Debug)]
pub struct StoredRevision {
    /// The revision number, larger than every earlier one of any group.
    pub revision: Revision,
    /// The group it belongs to.
    pub group: NodeGroup,
    /// The time of the publish.
    pub time: SystemTime,
    /// The author's name as the publisher gave it; may be empty.
    pub author: String,
    /// The reason as the publisher gave it; may be empty.
    pub message: String,
    /// The source of the publish.
    pub origin: Origin,
    /// The content of the group from this revision on.
    pub content: Content,
    /// Contents that this revision removed: a content that returns later must have another version.
    pub replaced: Vec<ContentHash>,
}

/// The content of a group at a revision.
#[derive(Clone, Debug)]
pub enum Content {
    /// All resources of the group itself.
    Published(Types),
    /// The group was deleted and has no snapshot.
    Deleted,
}

/// A revision without its resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionInfo {
    /// The revision number.
    pub revision: Revision,
    /// The group it belongs to.
    pub group: NodeGroup,
    /// The time of the publish.
    pub time: SystemTime,
    /// The author's name; may be empty.
    pub author: String,
    /// The reason; may be empty.
    pub message: String,
    /// The source of the publish.
    pub origin: Origin,
    /// The counts of its content.
    pub summary: Summary,
}

/// The content of a group at a revision, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary {
    /// The types, in send order.
    Published(Vec<TypeSummary>),
    /// The group was deleted.
    Deleted,
}

/// One type of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSummary {
    /// The type.
    pub resource_type: ResourceType,
    /// The version of the type.
    pub version: Version,
    /// The number of resources.
    pub resources: usize,
    /// The hash of the names and contents; `None` where an earlier release stored the revision.
    pub content: Option<ContentHash>,
}

/// The contents of a store when it is opened.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The largest revision ever made; the next one follows it.
    pub last: Revision,
    /// Every group with a kept revision, sorted.
    pub groups: Vec<LoadedGroup>,
}

/// One group of an opened store.
#[derive(Clone, Debug)]
pub struct LoadedGroup {
    /// The newest revision; it may be the deletion of the group.
    pub head: StoredRevision,
    /// All kept revisions, oldest first, the head included.
    pub traces: Vec<Trace>,
}

/// The versions and contents of one kept revision that must not be used again for other content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The revision.
    pub revision: Revision,
    /// The version of each type.
    pub versions: Vec<(ResourceType, Version)>,
    /// [`StoredRevision::replaced`].
    pub replaced: Vec<ContentHash>,
    /// [`Origin::is_passing`].
    pub passing: bool,
}

/// Keeps revisions. Every method blocks on the disk, if the store has one.
pub trait RevisionStore: Send + Sync + fmt::Debug {
    /// Returns the newest revision of every group, and the largest revision ever made.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read in full: part of a store is never returned.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Returns the largest revision ever made. It may be the revision of an [`RevisionStore::append`] that failed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the number cannot be read.
    fn last(&self) -> Result<Revision, StoreError>;

    /// Returns the key of the content hashes of secrets. A store and its backups have the same key for all time.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the key cannot be read.
    fn content_key(&self) -> Result<ContentKey, StoreError>;

    /// Adds a revision as the newest of its group, together with the receipt of a publish with a key. Durable when this returns
    /// `Ok`. Then the group's oldest revisions and receipts beyond [`RevisionStore::retention`] are dropped. A passing revision
    /// replaces a passing one right before it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotNewer`] where the number is not larger than the last one, and any error of the disk.
    fn append(&self, revision: &StoredRevision, receipt: Option<&Receipt>) -> Result<(), StoreError>;

    /// Keeps the receipt of a publish that made no revision. Durable when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`StoreError`], any error of the disk.
    fn keep_receipt(&self, group: &NodeGroup, receipt: &Receipt) -> Result<(), StoreError>;

    /// Returns the receipt of the publish to the group with this idempotency key; `None` if there was none or it was dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the receipt cannot be read.
    fn receipt(&self, group: &NodeGroup, key: &str) -> Result<Option<Receipt>, StoreError>;

    /// Returns a group's kept revisions, newest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the revisions cannot be read.
    fn list(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, StoreError>;

    /// Returns one kept revision; `None` where the group has no such revision.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the revision cannot be read.
    fn get(&self, group: &NodeGroup, revision: Revision) -> Result<Option<StoredRevision>, StoreError>;

    /// Drops a group's whole history and its receipts. Durable when this returns `Ok`; without effect otherwise. Revision numbers
    /// are not used again.
    ///
    /// # Errors
    ///
    /// [`StoreError`], any error of the disk.
    fn forget(&self, group: &NodeGroup) -> Result<(), StoreError>;

    /// Writes a backup of all kept revisions, consistent at one moment, in the format that [`restore`] reads.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoBackup`] where the store is not on disk; [`StoreError::Interrupted`] where writing to `to` fails.
    fn backup(&self, to: &mut dyn io::Write) -> Result<(), StoreError>;

    /// Checks that an append would be found after a restart, as far as a check without one can. With `write`, also writes
    /// something, to learn if writes work.
    ///
    /// # Errors
    ///
    /// [`StoreError`], the error of an append.
    fn probe(&self, write: bool) -> Result<(), StoreError>;

    /// The number of revisions kept per group.
    fn retention(&self) -> NonZeroUsize;
}

// === impl StoredRevision ===

impl StoredRevision {
    /// Returns the revision without its resources.
    #[must_use]
    pub fn info(&self) -> RevisionInfo {
        RevisionInfo {
            revision: self.revision,
            group: self.group.clone(),
            time: self.time,
            author: self.author.clone(),
            message: self.message.clone(),
            origin: self.origin,
            summary: match &self.content {
                Content::Published(types) => Summary::Published(summaries(types)),
                Content::Deleted => Summary::Deleted,
            },
        }
    }

    /// Returns the versions and contents that the revision uses up.
    #[must_use]
    pub fn trace(&self) -> Trace {
        Trace {
            revision: self.revision,
            versions: self.types().into_iter().flatten().map(type_version).collect(),
            replaced: self.replaced.clone(),
            passing: self.origin.is_passing(),
        }
    }

    /// Returns the group's own resources; `None` where the revision deleted the group.
    #[must_use]
    pub const fn types(&self) -> Option<&Types> {
        match &self.content {
            Content::Published(types) => Some(types),
            Content::Deleted => None,
        }
    }

    /// Returns the group's own resources as a snapshot; `None` where the revision deleted the group.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let types = self.types()?.clone();
        Some(Snapshot::new(
            self.group.clone(),
            self.revision,
            types,
            Completeness::Published,
        ))
    }
}

fn type_version((resource_type, resources): (&ResourceType, &Arc<TypeResources>)) -> (ResourceType, Version) {
    (resource_type.clone(), resources.version().clone())
}

fn summaries(types: &Types) -> Vec<TypeSummary> {
    types
        .iter()
        .map(|(resource_type, resources)| TypeSummary {
            resource_type: resource_type.clone(),
            version: resources.version().clone(),
            resources: resources.len(),
            content: Some(resources.contents_hash()),
        })
        .collect()
}

// === impl RevisionInfo ===

impl RevisionInfo {
    /// Returns the hash of all names and contents: equal for revisions of equal content in any versions. `None` for a deletion,
    /// and where an earlier release stored the revision.
    #[must_use]
    pub fn content_hash(&self) -> Option<ContentHash> {
        let Summary::Published(types) = &self.summary else {
            return None;
        };
        // An emptied type counts as no type.
        let types = types.iter().filter(|row| row.resources > 0);
        let hashed: Option<Vec<_>> = types
            .map(|row| Some((row.resource_type.type_url(), row.content?)))
            .collect();
        let hashed = hashed?;
        let parts = hashed
            .iter()
            .flat_map(|(type_url, content)| [type_url.as_bytes(), &content.as_bytes()[..]]);
        Some(ContentHash::of_parts(parts))
    }
}

#[cfg(test)]
mod tests;
