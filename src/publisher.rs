//! The only writer: the publisher admits a candidate, makes a durable revision of it, and then serves that revision.
//!
//! The admin API and the sources call it; a method that blocks on the store says so. The publisher knows no transport and
//! no stream.

mod change;
mod commit;
mod compare;
mod counted;
mod error;
mod exchange;
mod guard;
mod health;
mod idempotency;
mod intent;
mod lineage;
mod outlook;
mod proposal;
mod publish;
mod receipts;
mod request;
mod vetting;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use tokio::sync::{broadcast, watch};

use self::{
    intent::Intent,
    lineage::Lineage,
    request::{check_group, check_request},
    vetting::Vettings,
    writer::Writer,
};
use crate::{
    admission::{Known, Limits},
    cache::SnapshotCache,
    metrics::{Operation, PublishMetrics},
    node::NodeGroup,
    resource::ContentKey,
    revision::{RevisionInfo, RevisionStore, StoreError, StoredRevision},
    snapshot::{Completeness, Revision, Snapshot, Types},
};

pub use self::{
    change::TypeChange,
    error::{NotFound, PublishError},
    guard::RemovalGuard,
    outlook::{Outlook, ResourceChange, Served},
    request::{Comparison, DiffTarget, PatchRequest, PublishOptions, Published, ReplaceRequest, SnapshotEvent, Totals},
};

/// Events that a subscriber may lag behind: a burst of publishes, at some hundred bytes each.
const EVENTS: usize = 256;

/// Rules for every publish.
#[derive(Clone, Debug, Default)]
pub struct PublisherSettings {
    /// Limits of candidates, and of the snapshot after a patch.
    pub limits: Limits,
    /// Refuses a publish that has warnings and does not set [`PublishOptions::allow_warnings`].
    pub deny_warnings: bool,
    /// Guards what a publish removes without [`PublishOptions::allow_removals`].
    pub removals: RemovalGuard,
}

/// Publishes snapshots, one at a time, and answers queries about them.
pub struct Publisher {
    store: Arc<dyn RevisionStore>,
    cache: Arc<SnapshotCache>,
    settings: PublisherSettings,
    /// The content key of the store.
    content_key: ContentKey,
    /// Held from reading the head until the new head is served; never while parsing.
    writer: Mutex<Writer>,
    /// The published groups. Only the holder of `writer` writes here, for an instant, so that readers never wait for the disk.
    heads: RwLock<BTreeMap<NodeGroup, Arc<StoredRevision>>>,
    /// The findings of admission in the heads: a cache, used only while its revision is that of the head.
    vettings: Vettings,
    events: broadcast::Sender<SnapshotEvent>,
    /// `true` while the store works: its last write or probe did not fail.
    works: watch::Sender<bool>,
    metrics: PublishMetrics,
}

// === impl Publisher ===

impl Publisher {
    /// Loads every group's head and fills the cache, so that a restart serves the same snapshots in the same versions. Blocks
    /// on the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read in full; the cache is then unchanged.
    pub fn open(
        store: Arc<dyn RevisionStore>,
        cache: Arc<SnapshotCache>,
        settings: PublisherSettings,
    ) -> Result<Self, StoreError> {
        let loaded = store.load()?;
        let content_key = store.content_key()?;
        let retention = store.retention();
        let (mut lineages, mut heads) = (HashMap::new(), BTreeMap::new());
        for group in loaded.groups {
            let name = group.head.group.clone();
            lineages.insert(name.clone(), Lineage::new(group.traces, retention));
            if group.head.types().is_some() {
                heads.insert(name, Arc::new(group.head));
            }
        }
        let publisher = Self {
            store,
            cache,
            settings,
            content_key,
            writer: Mutex::new(Writer::new(loaded.last, lineages)),
            heads: RwLock::new(heads),
            vettings: Vettings::default(),
            events: broadcast::Sender::new(EVENTS),
            works: watch::Sender::new(true),
            metrics: PublishMetrics::default(),
        };
        publisher.serve_all();
        Ok(publisher)
    }

    /// Makes a group's snapshot exactly the candidate. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; then nothing changed.
    pub fn replace(&self, request: ReplaceRequest) -> Result<Published, PublishError> {
        self.counted(Operation::Replace, || {
            let ReplaceRequest {
                group,
                candidate,
                options,
            } = request;
            check_request(&group, &options)?;
            let vetted = self.vettings.of(&group, self.head(&group));
            let known = vetted.as_ref().map(|vetted| vetted as &dyn Known);
            let admitted = self.admit(&group, &candidate, known)?;
            self.publish(&group, &options, &Intent::Replace { admitted, vetted })
        })
    }

    /// Adds, updates and deletes single resources of a group's snapshot. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with [`NotFound::Resource`] for a deletion of a missing resource; then nothing changed.
    pub fn patch(&self, request: PatchRequest) -> Result<Published, PublishError> {
        self.counted(Operation::Patch, || {
            let PatchRequest {
                group,
                candidate,
                mut deletions,
                options,
            } = request;
            check_request(&group, &options)?;
            deletions.sort();
            deletions.dedup();
            let admitted = self.admit(&group, &candidate, None)?;
            self.publish(&group, &options, &Intent::Patch { admitted, deletions })
        })
    }

    /// Makes a new revision with the content of a kept one, also for a deleted group. Content that returns gets new versions.
    /// Neither warnings nor the removal guard refuse a rollback: going back is one step. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with [`NotFound::Revision`] where `to` is not kept or is a deletion; then nothing changed.
    pub fn rollback(
        &self,
        group: &NodeGroup,
        to: Revision,
        options: &PublishOptions,
    ) -> Result<Published, PublishError> {
        self.counted(Operation::Rollback, || {
            check_request(group, options)?;
            // Going back is one step, however much it removes.
            let options = PublishOptions {
                allow_removals: true,
                ..options.clone()
            };
            self.publish(group, &options, &Intent::Restore(to))
        })
    }

    /// Deletes the snapshot of a group: its nodes keep what they have and are sent nothing until the next publish. If it is the
    /// shared group, the published groups lose its resources. Returns the revision that was current. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; then nothing changed.
    pub fn delete(&self, group: &NodeGroup, expected_revision: Option<u64>) -> Result<Revision, PublishError> {
        self.counted(Operation::Delete, || {
            check_group(group)?;
            self.commit_deletion(group, expected_revision)
        })
    }

    /// Compares a kept revision, or the current one, with another revision or with a candidate. A group without a snapshot
    /// compares as an empty one. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotFound`], [`PublishError::Rejected`] for a candidate, or [`PublishError::Store`].
    pub fn diff(&self, group: &NodeGroup, from: Option<Revision>, to: &DiffTarget) -> Result<Comparison, PublishError> {
        self.compare(group, from, to)
    }

    /// Returns the snapshot that the nodes of `group` are served now, and the one after a publish. The publish may be to
    /// another group: the resources of the shared group are in all others.
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

    /// Returns a group's own resources at a kept revision or now. Blocks on the store for an earlier revision only.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotFound`], or [`PublishError::Store`].
    pub fn get(&self, group: &NodeGroup, revision: Option<Revision>) -> Result<(RevisionInfo, Snapshot), PublishError> {
        let missing = || NotFound::Group(group.clone());
        let stored = match revision {
            Some(revision) => self.stored(group, revision)?,
            None => self.head(group).ok_or_else(missing)?,
        };
        let snapshot = stored.snapshot().ok_or_else(missing)?;
        Ok((stored.info(), snapshot))
    }

    /// Returns every published group, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<RevisionInfo> {
        self.heads().values().map(|head| head.info()).collect()
    }

    /// Returns the first published groups after a name, sorted, and `true` if there are more.
    #[must_use]
    pub fn page(&self, after: Option<&str>, most: usize) -> (Vec<RevisionInfo>, bool) {
        let heads = self.heads();
        let behind = heads
            .iter()
            .filter(|(group, _)| after.is_none_or(|after| group.as_str() > after));
        let mut behind = behind.map(|(_, head)| head);
        let page = behind.by_ref().take(most).map(|head| head.info()).collect();
        (page, behind.next().is_some())
    }

    /// Counts the published groups and resources.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for head in self.heads().values() {
            totals.groups += 1;
            totals.revision = totals.revision.max(head.revision);
            for (kind, resources) in head.types().into_iter().flatten() {
                *totals.resources.entry(kind.clone()).or_default() += resources.len();
            }
        }
        totals
    }

    /// Returns a group's kept revisions, newest first, at most `limit`; also of a deleted group. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`NotFound::Group`] where there are none, or [`PublishError::Store`].
    pub fn history(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, PublishError> {
        let revisions = self.heard(self.store.list(group, limit.max(1)))?;
        if revisions.is_empty() {
            return Err(NotFound::Group(group.clone()).into());
        }
        Ok(revisions)
    }

    /// Writes a backup of all kept revisions, consistent at one moment, while publishes go on. Blocks on the store and on `to`.
    ///
    /// # Errors
    ///
    /// [`PublishError::Store`].
    pub fn backup(&self, to: &mut dyn io::Write) -> Result<(), PublishError> {
        Ok(self.store.backup(to)?)
    }

    /// Subscribes to every publish and deletion from now on. Subscribe first, then call [`Publisher::list`]: nothing is lost,
    /// and an event seen twice has the same revision. A subscriber that lags lists again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<SnapshotEvent> {
        self.events.subscribe()
    }

    /// The counters of publishes.
    #[must_use]
    pub const fn metrics(&self) -> &PublishMetrics {
        &self.metrics
    }

    /// Watches the state of the store: `true` while it works.
    #[must_use]
    pub fn store_works(&self) -> watch::Receiver<bool> {
        self.works.subscribe()
    }

    /// Checks if the store works. A store that failed is written to, since only a write shows that a full disk has room again.
    /// Blocks on the store.
    pub fn probe_store(&self) {
        let worked = *self.works.borrow();
        match self.store.probe(!worked) {
            Ok(()) => self.set_store_works(true),
            Err(error) => {
                if worked {
                    tracing::error!(%error, "the store failed");
                }
                self.set_store_works(false);
            }
        }
    }

    /// Returns a kept revision that holds a snapshot.
    fn stored(&self, group: &NodeGroup, revision: Revision) -> Result<Arc<StoredRevision>, PublishError> {
        if let Some(head) = self.head(group).filter(|head| head.revision == revision) {
            return Ok(head);
        }
        let stored = self.heard(self.store.get(group, revision))?;
        if let Some(stored) = stored.filter(|stored| stored.types().is_some()) {
            return Ok(Arc::new(stored));
        }
        let kept = self.heard(self.store.list(group, usize::MAX))?;
        Err(PublishError::NotFound(NotFound::Revision {
            group: group.clone(),
            revision,
            oldest: kept.last().map(|info| info.revision),
        }))
    }

    fn shared(&self) -> Option<Snapshot> {
        self.head(&NodeGroup::from(NodeGroup::SHARED))?.snapshot()
    }

    fn head(&self, group: &NodeGroup) -> Option<Arc<StoredRevision>> {
        self.heads().get(group).cloned()
    }

    fn heads(&self) -> RwLockReadGuard<'_, BTreeMap<NodeGroup, Arc<StoredRevision>>> {
        self.heads.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A publish that panicked left either nothing, or a revision that the store does not let anyone overwrite.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Publisher {
    /// Returns a publisher over a store and a cache of its own, for tests of callers.
    pub(crate) fn in_memory() -> Arc<Self> {
        let store = Arc::new(crate::revision::MemoryStore::default());
        let opened = Self::open(store, Arc::default(), PublisherSettings::default());
        Arc::new(opened.expect("an empty store in memory can be read"))
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("store", &self.store)
            .field("groups", &self.heads().len())
            .finish_non_exhaustive()
    }
}

/// Returns the resources of a revision; none without a revision.
fn types_of(stored: Option<&StoredRevision>) -> Types {
    stored.and_then(StoredRevision::types).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
