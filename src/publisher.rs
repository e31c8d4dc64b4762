//! The only writer: a candidate becomes admitted resources, a durable revision, and then what is served.
//!
//! Callers are the admin API and the sources; every method blocks on the store where it says so. Nothing here knows a
//! transport or a stream.

mod change;
mod counted;
mod exchange;
mod guard;
mod health;
mod idempotency;
mod lineage;
mod outlook;
mod query;
mod request;
mod vetting;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
    time::{Instant, SystemTime},
};

use tokio::sync::{broadcast, watch};

use self::{
    change::{GroupEdits, Next, check_limits, next, patch, replacement, restoration},
    guard::Removal,
    idempotency::Ticket,
    lineage::Lineage,
    request::{check_group, check_request},
    vetting::Vettings,
};
use crate::{
    admission::{Admitted, Candidate, Finding, GroupChecks, Known, Places, Rejection, Severity, admit_over},
    cache::SnapshotCache,
    metrics::PublishMetrics,
    node::NodeGroup,
    resource::{ContentHash, ContentKey, Resource, ResourceType, Version},
    revision::{Content, Receipt, RevisionStore, StoreError, StoredRevision, Types},
    snapshot::{Revision, Snapshot},
};

pub use self::request::{
    Comparison, DiffTarget, NotFound, PatchRequest, PublishError, PublishOptions, Published, PublisherSettings,
    ReplaceRequest, SnapshotEvent, Totals, TypeChange,
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
    /// The store's.
    content_key: ContentKey,
    /// Held from the look at the head until the new one is served; never while parsing.
    writer: Mutex<Writer>,
    /// The published groups. Written by the holder of `writer` alone, for an instant, so that readers never wait for the disk.
    heads: RwLock<BTreeMap<NodeGroup, Arc<StoredRevision>>>,
    /// What admission said of heads. A hint: none is needed, and one of another revision than the head's is not used.
    vettings: Vettings,
    events: broadcast::Sender<SnapshotEvent>,
    /// Whether the store took what it was given last, and would take more as far as is known.
    works: watch::Sender<bool>,
    metrics: PublishMetrics,
}

#[derive(Debug)]
struct Writer {
    last: Revision,
    /// Of every group with a history, deleted ones included.
    lineages: HashMap<NodeGroup, Lineage>,
    /// What is known of heads: of every group that was published, or asked of, since the start.
    checks: HashMap<NodeGroup, GroupChecks>,
}

/// What a publish would make of a group.
struct Proposal {
    revision: Revision,
    next: Next,
    /// Of all of it together, and of the step to it: errors, too.
    findings: Vec<Finding>,
    /// What is known of it, for the publishes that follow it.
    checks: GroupChecks,
}

/// What refuses a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deny {
    /// Only what cannot be: what was admitted once may be published again.
    Nothing,
    Errors,
    Warnings,
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
            writer: Mutex::new(Writer {
                last: loaded.last,
                lineages,
                checks: HashMap::new(),
            }),
            heads: RwLock::new(heads),
            vettings: Vettings::default(),
            events: broadcast::Sender::new(EVENTS),
            works: watch::Sender::new(true),
            metrics: PublishMetrics::default(),
        };
        publisher.serve_all();
        Ok(publisher)
    }

    /// [`Publisher::replace`], not counted.
    fn replace_one(&self, request: ReplaceRequest) -> Result<Published, PublishError> {
        let ReplaceRequest {
            group,
            candidate,
            options,
        } = request;
        check_request(&group, &options)?;
        let vetted = self.vettings.of(&group, self.head(&group));
        let known = vetted.as_ref().map(|vetted| vetted as &dyn Known);
        let admitted = self.admit(&group, &candidate, known)?;
        let ticket = Ticket::of_replace(&options, &admitted.resources);
        let edits = |head: Option<&StoredRevision>| Ok(replacement(&types_of(head), &admitted.resources));
        let findings = &admitted.findings;
        let denies = self.denies(&options);
        let published = self.publish(&group, &options, ticket.as_ref(), Some(&admitted), denies, edits)?;
        if !published.dry_run && !published.repeated {
            self.vettings.replaced(&published, findings, vetted.as_ref());
        }
        Ok(published)
    }

    /// [`Publisher::patch`], not counted.
    fn patch_one(&self, request: PatchRequest) -> Result<Published, PublishError> {
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
        let mut patched = Revision::default();
        let edits = |head: Option<&StoredRevision>| {
            patched = head.map_or_else(Revision::default, |head| head.revision);
            let head = types_of(head);
            let edits = patch(&group, &head, &deletions, &admitted.resources)?;
            check_limits(&head, &edits, &self.settings.limits).map_err(PublishError::Rejected)?;
            Ok(edits)
        };
        let ticket = Ticket::of_patch(&options, &admitted.resources, &deletions);
        let findings = &admitted.findings;
        let denies = self.denies(&options);
        let published = self.publish(&group, &options, ticket.as_ref(), Some(&admitted), denies, edits)?;
        if !published.dry_run && !published.repeated {
            let given = admitted
                .resources
                .iter()
                .flat_map(|(kind, all)| all.iter().map(move |one| (kind, &one.name)));
            let gone = deletions.iter().map(|(kind, name)| (kind, name));
            self.vettings.patched(&published, patched, given.chain(gone), findings);
        }
        Ok(published)
    }

    /// What a group's candidate became. From here on the content hashes of its secrets are those of the group.
    fn admit(
        &self,
        group: &NodeGroup,
        candidate: &Candidate,
        known: Option<&dyn Known>,
    ) -> Result<Admitted, PublishError> {
        let now = Some(SystemTime::now());
        let mut admitted = admit_over(candidate, &self.settings.limits, known, now).map_err(PublishError::Rejected)?;
        let secrets = admitted.resources.get_mut(&ResourceType::Secret);
        for secret in secrets.into_iter().flatten() {
            let content = self.content_key.of_secret(group.as_str(), secret.content);
            *secret = Arc::new(Resource {
                content,
                version: Version::from(content),
                ..Resource::clone(secret)
            });
        }
        Ok(admitted)
    }

    /// [`Publisher::rollback`], not counted.
    fn rollback_one(
        &self,
        group: &NodeGroup,
        to: Revision,
        options: &PublishOptions,
    ) -> Result<Published, PublishError> {
        check_request(group, options)?;
        let ticket = Ticket::of_rollback(options, to);
        let edits = |head: Option<&StoredRevision>| {
            let target = self.stored(group, to)?;
            Ok(restoration(&types_of(head), &types_of(Some(&target))))
        };
        // Going back is one step, whatever it removes.
        let options = PublishOptions {
            allow_removals: true,
            ..options.clone()
        };
        self.publish(group, &options, ticket.as_ref(), None, Deny::Nothing, edits)
    }

    /// [`Publisher::delete`], not counted.
    fn delete_one(&self, group: &NodeGroup, expected_revision: Option<u64>) -> Result<Revision, PublishError> {
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
        self.commit(&mut writer, deletion, None)?;
        writer.checks.remove(group);
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
        ticket: Option<&Ticket>,
        admitted: Option<&Admitted>,
        deny: Deny,
        edits: impl FnOnce(Option<&StoredRevision>) -> Result<GroupEdits, PublishError>,
    ) -> Result<Published, PublishError> {
        let named = options.version_info.as_deref().map(Version::from);
        let mut writer = self.writer();
        if !options.dry_run {
            // What changes nothing is answered without a write: it must be found again as well.
            self.heard(self.store.probe(false))?;
        }
        let head = self.head(group);
        if let Some(done) = self.done_before(group, ticket, admitted)? {
            return Ok(done);
        }
        check_owner(group, options, head.as_deref())?;
        expect(options.expected_revision, head.as_deref())?;
        let before = types_of(head.as_deref());
        let edits = edits(head.as_deref())?;
        let nowhere = Places::default();
        let places = admitted.map_or(&nowhere, |admitted| &admitted.places);
        let proposal = self.propose(&mut writer, group, &before, edits, named.as_ref(), places)?;
        let mut findings = admitted.map_or_else(Vec::new, |admitted| admitted.findings.clone());
        findings.extend(proposal.findings);
        findings.sort_by_key(|finding| finding.severity);
        let denied = match deny {
            Deny::Nothing => false,
            Deny::Errors => findings.iter().any(|finding| finding.severity == Severity::Error),
            Deny::Warnings => !findings.is_empty(),
        };
        let Next {
            types,
            changes,
            replaced,
        } = proposal.next;
        let unconfirmed = self.unconfirmed(group, options, &before, &types, &changes);
        let refused = denied || !(unconfirmed.is_empty() || options.dry_run);
        // The first publish changes something even if it is empty: from then on the group is known to be (S-9).
        let changed = head.is_none() || !changes.is_empty();
        if refused {
            return Err(refusal(denied, unconfirmed, findings));
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
            let receipt = ticket.map(|ticket| ticket.receipt(revision, true, &changes));
            self.commit(&mut writer, stored, receipt.as_ref())?;
            writer.remember(group, proposal.checks);
        } else if !options.dry_run {
            self.keep_receipt(group, ticket, head.as_deref())?;
        }
        Ok(Published {
            group: group.clone(),
            revision,
            changed,
            dry_run: options.dry_run,
            repeated: false,
            changes,
            warnings: findings,
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

    /// The state that would follow the head, and what is found of it.
    fn propose(
        &self,
        writer: &mut Writer,
        group: &NodeGroup,
        head: &Types,
        edits: GroupEdits,
        named: Option<&Version>,
        places: &Places,
    ) -> Result<Proposal, PublishError> {
        let revision = Revision(writer.last.0 + 1);
        let fresh = Lineage::default();
        let lineage = writer.lineages.get(group).unwrap_or(&fresh);
        let next = next(head, edits, lineage, revision, named).map_err(PublishError::Rejected)?;
        let (checks, mut findings) = self.check(writer, group, head, &next.types, places);
        findings.extend(exchange::check(head, &next.types, places));
        Ok(Proposal {
            revision,
            next,
            findings,
            checks,
        })
    }

    /// What is known of a group's next state as a whole, and what is found of it.
    fn check(
        &self,
        writer: &mut Writer,
        group: &NodeGroup,
        head: &Types,
        next: &Types,
        places: &Places,
    ) -> (GroupChecks, Vec<Finding>) {
        let shared = self
            .head(&NodeGroup::from(NodeGroup::SHARED))
            .filter(|_| !group.is_shared());
        let shared = shared.as_deref().and_then(StoredRevision::types);
        let nothing = GroupChecks::default();
        if !writer.checks.contains_key(group) && self.head(group).is_some() {
            let (known, _) = nothing.next(head, shared, &Places::default());
            writer.remember(group, known);
        }
        writer.checks.get(group).unwrap_or(&nothing).next(next, shared, places)
    }

    /// Durable first, then served, then told.
    fn commit(&self, writer: &mut Writer, stored: StoredRevision, receipt: Option<&Receipt>) -> Result<(), StoreError> {
        self.cache.note_publish(stored.revision, Instant::now());
        if let Err(error) = self.store.append(&stored, receipt) {
            self.on_store_failure();
            // It may have come to the disk all the same: then its number is used up.
            writer.last = self.store.last().map_or(writer.last, |last| last.max(writer.last));
            return Err(error);
        }
        self.set_store_works(true);
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

    const fn denies(&self, options: &PublishOptions) -> Deny {
        if (self.settings.deny_warnings || options.deny_warnings) && !options.allow_warnings {
            Deny::Warnings
        } else {
            Deny::Errors
        }
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

// === impl Writer ===

impl Writer {
    /// What is known of a group's head from now on.
    fn remember(&mut self, group: &NodeGroup, mut checks: GroupChecks) {
        // They share most with those of the state before, which is not needed any more.
        self.checks.remove(group);
        checks.settle();
        self.checks.insert(group.clone(), checks);
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
        passing: options.passing,
    }
}

/// Why a publish is refused: what is to be confirmed, then what is found of it, which alone may refuse it.
fn refusal(denied: bool, unconfirmed: Vec<Finding>, findings: Vec<Finding>) -> PublishError {
    let rejection = Rejection {
        findings: [unconfirmed, findings].concat(),
    };
    if denied {
        PublishError::Rejected(rejection)
    } else {
        PublishError::Unconfirmed(rejection)
    }
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
