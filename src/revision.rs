//! The store of revisions: what every publish made of a group, durable before anything of it is served.
//!
//! The publisher is the only writer. Calls block; nothing here knows who publishes or who is served.

mod error;
mod keys;
mod memory;
mod random;
mod receipt;
mod redb_store;

use std::{fmt, io, num::NonZeroUsize, sync::Arc, time::SystemTime};

use crate::{
    node::NodeGroup,
    resource::{ContentHash, ContentKey, ResourceType, Version},
    snapshot::{Completeness, Revision, Snapshot, TypeResources},
};

pub use crate::snapshot::Types;

pub use self::{
    error::StoreError,
    keys::{KeyFileError, KeyId, StoreKey, StoreKeys},
    memory::MemoryStore,
    receipt::{Receipt, ReceiptChange},
    redb_store::{Contents, RedbStore, RekeyTo, Rekeyed, Restored, rekey, restore, verify_backup},
};

/// Revisions kept per group, unless told otherwise: enough to go back a working day of frequent publishes.
pub const DEFAULT_RETENTION: NonZeroUsize = NonZeroUsize::new(50).expect("50 is not zero");

/// One revision of one group, whole.
#[derive(Clone, Debug)]
pub struct StoredRevision {
    /// Its number, larger than that of every revision before it, of any group.
    pub revision: Revision,
    /// The group it belongs to.
    pub group: NodeGroup,
    /// When it was published.
    pub time: SystemTime,
    /// Who published it, in their own words; may be empty.
    pub author: String,
    /// Why, in their own words; may be empty.
    pub message: String,
    /// Who alone may publish the group from here on.
    pub owner: Owner,
    /// What the group is since.
    pub content: Content,
    /// Contents that the group had until then: a content that comes back later must have another version.
    pub replaced: Vec<ContentHash>,
    /// Made by what publishes by itself: it does not count among those that are kept, and the next of its kind right behind it
    /// takes its place in the history. Otherwise endpoints that come and go would push out what people published.
    pub passing: bool,
}

/// The one source that publishes a group: with two, each would undo what the other did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Whoever uses the admin API, and the endpoint registry in the shared group.
    #[default]
    AdminApi,
    /// The folder of files that has the group's name.
    Files,
}

/// What a revision made of its group.
#[derive(Clone, Debug)]
pub enum Content {
    /// The group's own resources, all of them.
    Published(Types),
    /// The group has no snapshot.
    Deleted,
}

/// A revision without its resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionInfo {
    /// Its number.
    pub revision: Revision,
    /// The group it belongs to.
    pub group: NodeGroup,
    /// When it was published.
    pub time: SystemTime,
    /// Who published it; may be empty.
    pub author: String,
    /// Why; may be empty.
    pub message: String,
    /// Who alone may publish the group from here on.
    pub owner: Owner,
    /// What it made of the group.
    pub summary: Summary,
}

/// What a revision made of its group, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Its types, in send order.
    Published(Vec<TypeSummary>),
    /// The group was deleted.
    Deleted,
}

/// One type of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSummary {
    /// The type.
    pub resource_type: ResourceType,
    /// Its version.
    pub version: Version,
    /// How many resources it has.
    pub resources: usize,
    /// The hash of their names and contents; `None` where an earlier release stored the revision.
    pub content: Option<ContentHash>,
}

/// What a store holds when it is opened.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The largest number ever given; the next revision follows it.
    pub last: Revision,
    /// Every group with a kept revision, sorted.
    pub groups: Vec<LoadedGroup>,
}

/// One group of a store that was opened.
#[derive(Clone, Debug)]
pub struct LoadedGroup {
    /// The newest revision; it may be the deletion of the group.
    pub head: StoredRevision,
    /// All kept revisions, oldest first, the head included.
    pub traces: Vec<Trace>,
}

/// The versions and contents that one kept revision used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The revision.
    pub revision: Revision,
    /// The version of each of its types.
    pub versions: Vec<(ResourceType, Version)>,
    /// [`StoredRevision::replaced`].
    pub replaced: Vec<ContentHash>,
    /// [`StoredRevision::passing`].
    pub passing: bool,
}

/// Keeps revisions. Every method blocks on the disk or the network where there is one.
pub trait RevisionStore: Send + Sync + fmt::Debug {
    /// The newest revision of every group, and the last number given.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read whole: a part is never passed off as all.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// The last number given. After an [`RevisionStore::append`] that failed it may be that revision's.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read.
    fn last(&self) -> Result<Revision, StoreError>;

    /// The key of the content hashes of secrets: the same as long as there is the store, and in what is restored from its
    /// backups.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read.
    fn content_key(&self) -> Result<ContentKey, StoreError>;

    /// Adds a revision to its group's history, as its newest, and with it the receipt of the publish where it has a key.
    /// Durable when this returns `Ok`. The group's revisions, and its receipts, beyond [`RevisionStore::retention`] are
    /// forgotten, oldest first; of a passing revision right behind another one, that other.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotNewer`] where the number is not larger than the last one, and whatever the disk says.
    fn append(&self, revision: &StoredRevision, receipt: Option<&Receipt>) -> Result<(), StoreError>;

    /// Keeps the receipt of a publish that made no revision. Durable when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`StoreError`], whatever the disk says.
    fn keep_receipt(&self, group: &NodeGroup, receipt: &Receipt) -> Result<(), StoreError>;

    /// What a publish to the group with this idempotency key came to; `None` where there was none, or it is forgotten.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read.
    fn receipt(&self, group: &NodeGroup, key: &str) -> Result<Option<Receipt>, StoreError>;

    /// A group's kept revisions, newest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where they cannot be read.
    fn list(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, StoreError>;

    /// One kept revision; `None` where the group has none of this number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read.
    fn get(&self, group: &NodeGroup, revision: Revision) -> Result<Option<StoredRevision>, StoreError>;

    /// Drops a group's whole history and its receipts. Durable when this returns `Ok`; without effect otherwise. Numbers stay used up.
    ///
    /// # Errors
    ///
    /// [`StoreError`], whatever the disk says.
    fn forget(&self, group: &NodeGroup) -> Result<(), StoreError>;

    /// Writes everything that is kept, as it is at one moment, in the form that [`restore`] reads.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoBackup`] where the store is not on disk; [`StoreError::Interrupted`] where `to` takes no more.
    fn backup(&self, to: &mut dyn io::Write) -> Result<(), StoreError>;

    /// Whether what is appended now would be found again, as far as can be told without a revision; where `write` says so,
    /// something is written to see whether it can be.
    ///
    /// # Errors
    ///
    /// [`StoreError`], what an append would fail with.
    fn probe(&self, write: bool) -> Result<(), StoreError>;

    /// How many revisions of a group are kept.
    fn retention(&self) -> NonZeroUsize;
}

// === impl Owner ===

impl Owner {
    /// As it is stored and told to programs: empty for the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminApi => "",
            Self::Files => "files",
        }
    }

    /// What [`Owner::as_str`] gave; `None` where no release knows it.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::AdminApi, Self::Files]
            .into_iter()
            .find(|owner| owner.as_str() == text)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminApi => "the admin API",
            Self::Files => "files",
        })
    }
}

// === impl StoredRevision ===

impl StoredRevision {
    /// The revision without its resources.
    #[must_use]
    pub fn info(&self) -> RevisionInfo {
        RevisionInfo {
            revision: self.revision,
            group: self.group.clone(),
            time: self.time,
            author: self.author.clone(),
            message: self.message.clone(),
            owner: self.owner,
            summary: match &self.content {
                Content::Published(types) => Summary::Published(summaries(types)),
                Content::Deleted => Summary::Deleted,
            },
        }
    }

    /// What the revision uses up.
    #[must_use]
    pub fn trace(&self) -> Trace {
        Trace {
            revision: self.revision,
            versions: self.types().into_iter().flatten().map(type_version).collect(),
            replaced: self.replaced.clone(),
            passing: self.passing,
        }
    }

    /// The group's own resources; `None` where the revision deleted it.
    #[must_use]
    pub const fn types(&self) -> Option<&Types> {
        match &self.content {
            Content::Published(types) => Some(types),
            Content::Deleted => None,
        }
    }

    /// The group's own resources as a snapshot; `None` where the revision deleted it.
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
    /// The hash of all names and contents: equal for revisions of equal content, whatever their versions. `None` where there
    /// is no content, or an earlier release stored the revision.
    #[must_use]
    pub fn content_hash(&self) -> Option<ContentHash> {
        let Summary::Published(types) = &self.summary else {
            return None;
        };
        // A type that was emptied is as good as one that never was.
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
