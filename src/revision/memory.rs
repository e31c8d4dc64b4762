//! Revisions in memory: for tests and for servers with `--ephemeral`.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    DEFAULT_RETENTION, Loaded, LoadedGroup, Receipt, RevisionInfo, RevisionStore, StoreError, StoredRevision, random,
};
use crate::{node::NodeGroup, resource::ContentKey, snapshot::Revision};

/// A store that ends with the process.
#[derive(Debug)]
pub struct MemoryStore {
    retention: NonZeroUsize,
    content_key: ContentKey,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: Revision,
    /// The oldest is first; never empty.
    groups: BTreeMap<NodeGroup, VecDeque<StoredRevision>>,
    /// The oldest is first.
    receipts: BTreeMap<NodeGroup, VecDeque<Receipt>>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// Returns an empty store that keeps this many revisions of a group.
    #[must_use]
    pub fn new(retention: NonZeroUsize) -> Self {
        Self {
            retention,
            content_key: ContentKey::new(random::key()),
            kept: Mutex::default(),
        }
    }

    fn enter(&self, kept: &mut Kept, group: &NodeGroup, receipt: &Receipt) {
        let receipts = kept.receipts.entry(group.clone()).or_default();
        receipts.push_back(receipt.clone());
        while receipts.len() > self.retention.get() {
            receipts.pop_front();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change below is one step that cannot panic half way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(DEFAULT_RETENTION)
    }
}

impl RevisionStore for MemoryStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let kept = self.kept();
        let groups = kept.groups.values().filter_map(|history| {
            Some(LoadedGroup {
                head: history.back()?.clone(),
                traces: history.iter().map(StoredRevision::trace).collect(),
            })
        });
        Ok(Loaded {
            last: kept.last,
            groups: groups.collect(),
        })
    }

    fn last(&self) -> Result<Revision, StoreError> {
        Ok(self.kept().last)
    }

    fn content_key(&self) -> Result<ContentKey, StoreError> {
        Ok(self.content_key.clone())
    }

    fn append(&self, revision: &StoredRevision, receipt: Option<&Receipt>) -> Result<(), StoreError> {
        let mut kept = self.kept();
        if revision.revision <= kept.last {
            return Err(StoreError::NotNewer {
                revision: revision.revision,
                last: kept.last,
            });
        }
        kept.last = revision.revision;
        let history = kept.groups.entry(revision.group.clone()).or_default();
        if revision.origin.is_passing() && history.back().is_some_and(|before| before.origin.is_passing()) {
            history.pop_back();
        }
        history.push_back(revision.clone());
        // Passing revisions before the oldest lasting one are dropped with it.
        let lasting = history
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, kept)| !kept.origin.is_passing());
        let oldest = lasting.map(|(index, _)| index).nth(self.retention.get() - 1);
        history.drain(..oldest.unwrap_or(0));
        if let Some(receipt) = receipt {
            self.enter(&mut kept, &revision.group, receipt);
        }
        Ok(())
    }

    fn keep_receipt(&self, group: &NodeGroup, receipt: &Receipt) -> Result<(), StoreError> {
        self.enter(&mut self.kept(), group, receipt);
        Ok(())
    }

    fn receipt(&self, group: &NodeGroup, key: &str) -> Result<Option<Receipt>, StoreError> {
        let kept = self.kept();
        let mut receipts = kept.receipts.get(group).into_iter().flatten();
        Ok(receipts.find(|receipt| receipt.key == key).cloned())
    }

    fn list(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, StoreError> {
        let kept = self.kept();
        let history = kept.groups.get(group).into_iter().flatten();
        Ok(history.rev().take(limit).map(StoredRevision::info).collect())
    }

    fn get(&self, group: &NodeGroup, revision: Revision) -> Result<Option<StoredRevision>, StoreError> {
        let kept = self.kept();
        let mut history = kept.groups.get(group).into_iter().flatten();
        Ok(history.find(|stored| stored.revision == revision).cloned())
    }

    fn forget(&self, group: &NodeGroup) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.groups.remove(group);
        kept.receipts.remove(group);
        Ok(())
    }

    fn backup(&self, _: &mut dyn io::Write) -> Result<(), StoreError> {
        Err(StoreError::NoBackup)
    }

    fn probe(&self, _write: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn retention(&self) -> NonZeroUsize {
        self.retention
    }
}
