//! Commits a revision: durable first, then served, then announced.

use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

use super::{
    Publisher,
    error::{NotFound, PublishError},
    publish::{expect, stored_revision},
    request::{PublishOptions, SnapshotEvent},
    writer::Writer,
};
use crate::{
    node::NodeGroup,
    revision::{Content, Receipt, StoreError, StoredRevision},
    snapshot::{Revision, Snapshot, Types},
};

/// Deleted groups whose history is kept; beyond it the longest deleted is forgotten, so that short-lived groups do not pile
/// up.
pub(super) const DELETED_GROUPS: usize = 256;

impl Publisher {
    /// Makes the revision that deletes a group; returns the one that was current.
    pub(super) fn commit_deletion(
        &self,
        group: &NodeGroup,
        expected_revision: Option<u64>,
    ) -> Result<Revision, PublishError> {
        let mut writer = self.writer();
        let head = self.head(group);
        expect(expected_revision, head.as_deref())?;
        let head = head.ok_or_else(|| NotFound::Group(group.clone()))?;
        let options = PublishOptions::default();
        let revision = writer.next_revision();
        let resources = head
            .types()
            .into_iter()
            .flat_map(Types::values)
            .flat_map(|resources| resources.iter());
        let replaced = resources.map(|resource| resource.content).collect();
        let deletion = stored_revision(group, revision, &options, Content::Deleted, replaced);
        self.commit(&mut writer, deletion, None)?;
        writer.forget(group);
        self.vettings.forget(group);
        if let Err(error) = self.forget_long_deleted(&mut writer) {
            // The deletion stands; the next deletion tries again.
            tracing::warn!(%error, "history of a deleted group was not dropped");
        }
        Ok(head.revision)
    }

    /// Stores a revision, serves it, then announces it.
    pub(super) fn commit(
        &self,
        writer: &mut Writer,
        stored: StoredRevision,
        receipt: Option<&Receipt>,
    ) -> Result<(), StoreError> {
        self.cache.note_publish(stored.revision, Instant::now());
        if let Err(error) = self.store.append(&stored, receipt) {
            self.on_store_failure();
            // A failed write may have reached the disk: then its number is used up.
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
        // It is no error to have no subscribers.
        let _ = self.events.send(event);
        Ok(())
    }

    /// Serves every group anew: each holds the shared resources.
    pub(super) fn serve_all(&self) {
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

    /// Serves one group: its own resources over the shared ones, or silence where the group was deleted.
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
}
