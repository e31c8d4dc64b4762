//! The only writer: a candidate becomes admitted resources, a durable revision, and then what is served.
//!
//! Callers are the admin API and the sources; every method blocks on the store where it says so. Nothing here knows a
//! transport or a stream.

mod change;
mod guard;
mod lineage;
mod outlook;
mod query;
mod references;
mod request;
mod vetting;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
    time::SystemTime,
};

use tokio::sync::broadcast;

use self::{
    change::{GroupEdits, Next, check_limits, next, patch, replacement, restoration},
    guard::Removal,
    lineage::Lineage,
    references::References,
    request::{check_group, check_request},
    vetting::Vettings,
};
use crate::{
    admission::{Finding, Known, Rejection, admit, admit_over},
    cache::SnapshotCache,
    resource::{ContentHash, Version},
    revision::{Content, RevisionStore, StoreError, StoredRevision, Types},
    snapshot::{NodeGroup, Revision, Snapshot},
};

pub use self::request::{
    Comparison, DiffTarget, NotFound, PatchRequest, PublishError, PublishOptions, Published, PublisherSettings,
    ReplaceRequest, SnapshotEvent, TypeChange,
};
pub use self::{
    guard::RemovalGuard,
    outlook::{Outlook, ResourceChange, Served},
};

/// Events a subscriber may lag behind by: a burst of publishes, at some hundred bytes each.
const EVENTS: usize = 256;
/// Deleted groups whose history is kept; beyond it the longest deleted is forgotten, so that short-lived groups do not pile up.
const DELETED_GROUPS: usize = 256;

/// Publishes snapshots, one at a time, and answers what was published.
pub struct Publisher {
    store: Arc<dyn RevisionStore>,
    cache: Arc<SnapshotCache>,
    settings: PublisherSettings,
    /// Held from the look at the head until the new one is served; never while parsing.
    writer: Mutex<Writer>,
    /// The published groups. Written by the holder of `writer` alone, for an instant, so that readers never wait for the disk.
    heads: RwLock<BTreeMap<NodeGroup, Arc<StoredRevision>>>,
    /// What admission said of heads. A hint: none is needed, and one of another revision than the head's is not used.
    vettings: Vettings,
    events: broadcast::Sender<SnapshotEvent>,
}

#[derive(Debug)]
struct Writer {
    last: Revision,
    /// Of every group with a history, deleted ones included.
    lineages: HashMap<NodeGroup, Lineage>,
    /// Of every group that was published since the start.
    references: HashMap<NodeGroup, References>,
}

/// What a publish would make of a group.
struct Proposal {
    revision: Revision,
    next: Next,
    warnings: Vec<Finding>,
}

// === impl Publisher ===

impl Publisher {
    /// Loads every group's head and fills the cache: what is served then is what was served before the restart, version for
    /// version. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read whole; the cache is untouched.
    pub fn open(
        store: Arc<dyn RevisionStore>,
        cache: Arc<SnapshotCache>,
        settings: PublisherSettings,
    ) -> Result<Self, StoreError> {
        let loaded = store.load()?;
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
            writer: Mutex::new(Writer {
                last: loaded.last,
                lineages,
                references: HashMap::new(),
            }),
            heads: RwLock::new(heads),
            vettings: Vettings::default(),
            events: broadcast::Sender::new(EVENTS),
        };
        publisher.serve_all();
        Ok(publisher)
    }

    /// Makes a group's snapshot exactly the candidate. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing changed then.
    pub fn replace(&self, request: ReplaceRequest) -> Result<Published, PublishError> {
        let ReplaceRequest {
            group,
            candidate,
            options,
        } = request;
        check_request(&group, &options)?;
        let vetted = self.vettings.of(&group, self.head(&group));
        let known = vetted.as_ref().map(|vetted| vetted as &dyn Known);
        let admitted = admit_over(&candidate, &self.settings.limits, known).map_err(PublishError::Rejected)?;
        let edits = |head: Option<&StoredRevision>| Ok(replacement(&types_of(head), &admitted.resources));
        let findings = &admitted.findings;
        let published = self.publish(&group, &options, findings.clone(), self.denies(&options), edits)?;
        if !published.dry_run {
            self.vettings.replaced(&published, findings, vetted.as_ref());
        }
        Ok(published)
    }

    /// Adds, updates and deletes single resources of a group's snapshot. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with [`NotFound::Resource`] for a deletion of what is not there; nothing changed then.
    pub fn patch(&self, request: PatchRequest) -> Result<Published, PublishError> {
        let PatchRequest {
            group,
            candidate,
            mut deletions,
            options,
        } = request;
        check_request(&group, &options)?;
        deletions.sort();
        deletions.dedup();
        let admitted = admit(&candidate, &self.settings.limits).map_err(PublishError::Rejected)?;
        let mut patched = Revision::default();
        let edits = |head: Option<&StoredRevision>| {
            patched = head.map_or_else(Revision::default, |head| head.revision);
            let head = types_of(head);
            let edits = patch(&group, &head, &deletions, &admitted.resources)?;
            check_limits(&head, &edits, &self.settings.limits).map_err(PublishError::Rejected)?;
            Ok(edits)
        };
        let findings = &admitted.findings;
        let published = self.publish(&group, &options, findings.clone(), self.denies(&options), edits)?;
        if !published.dry_run {
            let given = admitted
                .resources
                .iter()
                .flat_map(|(kind, all)| all.iter().map(move |one| (kind, &one.name)));
            let gone = deletions.iter().map(|(kind, name)| (kind, name));
            self.vettings.patched(&published, patched, given.chain(gone), findings);
        }
        Ok(published)
    }

    /// Makes a new revision with the content of a kept one, also of a deleted group. What returns gets new versions, and what
    /// was admitted once is not refused for warnings. It may remove whatever it does: going back is one step. Blocks on the
    /// store.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with [`NotFound::Revision`] where `to` is not kept or is a deletion; nothing changed then.
    pub fn rollback(
        &self,
        group: &NodeGroup,
        to: Revision,
        options: &PublishOptions,
    ) -> Result<Published, PublishError> {
        check_request(group, options)?;
        let target = self.stored(group, to)?;
        let edits = |head: Option<&StoredRevision>| Ok(restoration(&types_of(head), &types_of(Some(&target))));
        let options = PublishOptions {
            allow_removals: true,
            ..options.clone()
        };
        self.publish(group, &options, Vec::new(), false, edits)
    }

    /// Forgets a group: its nodes keep what they have and hear nothing until the next publish. Where it is the shared group,
    /// published groups lose its resources. Gives the revision that was current. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing changed then.
    pub fn delete(&self, group: &NodeGroup, expected_revision: Option<u64>) -> Result<Revision, PublishError> {
        check_group(group)?;
        let mut writer = self.writer();
        let head = self.head(group);
        expect(expected_revision, head.as_deref())?;
        let head = head.ok_or_else(|| NotFound::Group(group.clone()))?;
        let options = PublishOptions::default();
        let revision = Revision(writer.last.0 + 1);
        let resources = head
            .types()
            .into_iter()
            .flat_map(Types::values)
            .flat_map(|resources| resources.iter());
        let replaced = resources.map(|resource| resource.content).collect();
        let deletion = stored_revision(group, revision, &options, Content::Deleted, replaced);
        self.commit(&mut writer, deletion)?;
        writer.references.remove(group);
        self.vettings.forget(group);
        if let Err(error) = self.forget_long_deleted(&mut writer) {
            // The deletion stands; the next one tries again.
            tracing::warn!(%error, "history of a deleted group was not forgotten");
        }
        Ok(head.revision)
    }

    /// The one way to a new revision. `edits` says what is to differ from the head, which is empty where there is none.
    fn publish(
        &self,
        group: &NodeGroup,
        options: &PublishOptions,
        mut warnings: Vec<Finding>,
        deny_warnings: bool,
        edits: impl FnOnce(Option<&StoredRevision>) -> Result<GroupEdits, PublishError>,
    ) -> Result<Published, PublishError> {
        let named = options.version_info.as_deref().map(Version::from);
        let mut writer = self.writer();
        let head = self.head(group);
        check_owner(group, options, head.as_deref())?;
        expect(options.expected_revision, head.as_deref())?;
        let before = types_of(head.as_deref());
        let edits = edits(head.as_deref())?;
        let proposal = self.propose(&mut writer, group, &before, edits, named.as_ref())?;
        warnings.extend(proposal.warnings);
        let Next {
            types,
            changes,
            replaced,
        } = proposal.next;
        let unconfirmed = self.unconfirmed(group, options, &before, &types, &changes);
        let denied = deny_warnings && !warnings.is_empty();
        let refused = denied || !(unconfirmed.is_empty() || options.dry_run);
        // The first publish changes something even if it is empty: from then on the group is known to be (S-9).
        let changed = head.is_none() || !changes.is_empty();
        if refused || options.dry_run {
            self.withdraw(&mut writer, group, &before);
        }
        if refused {
            return Err(refusal(unconfirmed, warnings));
        }
        let outlook = options.dry_run.then(|| Outlook {
            group: group.clone(),
            revision: proposal.revision,
            before,
            after: types.clone(),
            is_next: true,
        });
        let mut revision = head.as_ref().map_or_else(Revision::default, |head| head.revision);
        if changed && !options.dry_run {
            revision = proposal.revision;
            let stored = stored_revision(group, revision, options, Content::Published(types), replaced);
            self.commit(&mut writer, stored)?;
        }
        Ok(Published {
            group: group.clone(),
            revision,
            changed,
            dry_run: options.dry_run,
            changes,
            warnings,
            unconfirmed,
            outlook,
        })
    }

    /// What the publish removes and nobody confirmed.
    fn unconfirmed(
        &self,
        group: &NodeGroup,
        options: &PublishOptions,
        before: &Types,
        after: &Types,
        changes: &[TypeChange],
    ) -> Vec<Finding> {
        if options.allow_removals {
            return Vec::new();
        }
        self.settings.removals.check(&Removal {
            group,
            owner: options.owner,
            before,
            after,
            changes,
        })
    }

    /// The state that would follow the head, and what the references in it have to say.
    fn propose(
        &self,
        writer: &mut Writer,
        group: &NodeGroup,
        head: &Types,
        edits: GroupEdits,
        named: Option<&Version>,
    ) -> Result<Proposal, PublishError> {
        let revision = Revision(writer.last.0 + 1);
        let fresh = Lineage::default();
        let lineage = writer.lineages.get(group).unwrap_or(&fresh);
        let next = next(head, edits, lineage, revision, named).map_err(PublishError::Rejected)?;
        let warnings = self.check_references(writer, group, &next.types);
        Ok(Proposal {
            revision,
            next,
            warnings,
        })
    }

    /// Warns of references in a group's next state that lead nowhere.
    fn check_references(&self, writer: &mut Writer, group: &NodeGroup, next: &Types) -> Vec<Finding> {
        let shared = self
            .head(&NodeGroup::from(NodeGroup::SHARED))
            .filter(|_| !group.is_shared());
        let shared = shared.as_deref().and_then(StoredRevision::types);
        // Out of the map meanwhile: what panics half way is not found again.
        let mut references = writer.references.remove(group).unwrap_or_default();
        let warnings = references.advance(next, shared);
        writer.references.insert(group.clone(), references);
        warnings
    }

    /// A proposal came to nothing: what was known of the head is known again, and the proposal can be forgotten.
    fn withdraw(&self, writer: &mut Writer, group: &NodeGroup, head: &Types) {
        if self.head(group).is_some() {
            self.check_references(writer, group, head);
        } else {
            writer.references.remove(group);
        }
    }

    /// Durable first, then served, then told.
    fn commit(&self, writer: &mut Writer, stored: StoredRevision) -> Result<(), StoreError> {
        self.store.append(&stored)?;
        let (group, revision) = (stored.group.clone(), stored.revision);
        writer.last = revision;
        let lineage = writer.lineages.entry(group.clone()).or_default();
        lineage.record(stored.trace(), self.store.retention());
        let event = match stored.types() {
            Some(_) => SnapshotEvent::Published(stored.info()),
            None => SnapshotEvent::Deleted {
                group: group.clone(),
                revision,
            },
        };
        {
            let mut heads = self.heads.write().unwrap_or_else(PoisonError::into_inner);
            match stored.content {
                Content::Published(_) => heads.insert(group.clone(), Arc::new(stored)),
                Content::Deleted => heads.remove(&group),
            };
        }
        if group.is_shared() {
            self.serve_all();
        } else {
            self.serve(&group, self.shared().as_ref());
        }
        // Nobody needs to listen.
        let _ = self.events.send(event);
        Ok(())
    }

    /// Serves every group anew: the shared resources are in all of them.
    fn serve_all(&self) {
        let shared = self.shared();
        let before = self.cache.default_snapshot();
        let default = shared.as_ref().map(|shared| {
            let group = NodeGroup::from(NodeGroup::SHARED);
            Arc::new(Snapshot::compose(&group, None, Some(shared), before.as_deref()))
        });
        self.cache.set_default(default.as_ref());
        let groups: Vec<NodeGroup> = self.heads().keys().cloned().collect();
        for group in groups.iter().filter(|group| !group.is_shared()) {
            self.serve(group, shared.as_ref());
        }
    }

    /// Serves one group: its own resources over the shared ones, or nothing of its own any more.
    fn serve(&self, group: &NodeGroup, shared: Option<&Snapshot>) {
        match self.head(group).and_then(|head| head.snapshot()) {
            Some(own) => {
                let before = self.cache.get(group);
                let served = Snapshot::compose(group, Some(&own), shared, before.as_deref());
                self.cache.set(group.clone(), Arc::new(served));
            }
            None => self.cache.forget(group),
        }
    }

    /// Forgets the history of the longest deleted group, where there are too many.
    fn forget_long_deleted(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let heads = self.heads();
        if writer.lineages.len() <= heads.len() + DELETED_GROUPS {
            return Ok(());
        }
        let deleted = writer.lineages.iter().filter(|(group, _)| !heads.contains_key(*group));
        let longest = deleted.min_by_key(|(_, lineage)| lineage.newest());
        let longest = longest.map(|(group, _)| group.clone());
        drop(heads);
        if let Some(group) = longest {
            self.store.forget(&group)?;
            writer.lineages.remove(&group);
        }
        Ok(())
    }

    const fn denies(&self, options: &PublishOptions) -> bool {
        (self.settings.deny_warnings || options.deny_warnings) && !options.allow_warnings
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
        // A publish that panicked left either no trace, or a revision that the store will not let be overwritten.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Publisher {
    /// Over a store and a cache of its own, for tests of those who publish.
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

/// The resources of a revision; none where there is none.
fn types_of(stored: Option<&StoredRevision>) -> Types {
    stored.and_then(StoredRevision::types).cloned().unwrap_or_default()
}

fn stored_revision(
    group: &NodeGroup,
    revision: Revision,
    options: &PublishOptions,
    content: Content,
    replaced: Vec<ContentHash>,
) -> StoredRevision {
    StoredRevision {
        revision,
        group: group.clone(),
        time: SystemTime::now(),
        author: options.author.clone(),
        message: options.message.clone(),
        owner: options.owner,
        content,
        replaced,
    }
}

/// Why a publish is refused that admission let through: what is to be confirmed first, then the warnings.
fn refusal(unconfirmed: Vec<Finding>, warnings: Vec<Finding>) -> PublishError {
    if unconfirmed.is_empty() {
        return PublishError::Rejected(Rejection { findings: warnings });
    }
    let findings = [unconfirmed, warnings].concat();
    PublishError::Unconfirmed(Rejection { findings })
}

/// A group belongs to the source that published it, until its snapshot is deleted.
fn check_owner(group: &NodeGroup, options: &PublishOptions, head: Option<&StoredRevision>) -> Result<(), PublishError> {
    match head.map(|head| head.owner) {
        Some(owner) if owner != options.owner => Err(PublishError::Owned {
            group: group.clone(),
            owner,
        }),
        Some(_) | None => Ok(()),
    }
}

fn expect(expected: Option<u64>, head: Option<&StoredRevision>) -> Result<(), PublishError> {
    let current = head.map_or_else(Revision::default, |head| head.revision);
    match expected.map(Revision) {
        Some(expected) if expected != current => Err(PublishError::Conflict { expected, current }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
