//! Revisions in one file, `chancery.redb`: fsynced commits, resources stored once by content, bounded history, and sealed
//! records if there is a key file.

mod address;
mod backup;
mod failure;
mod file;
mod history;
mod objects;
mod receipts;
mod records;
mod rekey;
mod restore;
mod tables;
mod unlocked;
mod vault;
mod verify;

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use redb::ReadableTable as _;

use self::{
    history::{append, info, keep_newest, open_revision, read_all, stored},
    tables::{META, META_PROBES, REVISIONS, read_last},
    unlocked::Unlocked,
};
use super::{Loaded, Receipt, RevisionInfo, RevisionStore, StoreError, StoreKeys, StoredRevision};
use crate::{node::NodeGroup, resource::ContentKey, snapshot::Revision};

pub use self::{
    rekey::{RekeyTo, Rekeyed, rekey},
    restore::{Restored, restore, verify_backup},
    verify::Contents,
};

/// A store in one file, open in one process at a time.
#[derive(Debug)]
pub struct RedbStore {
    retention: NonZeroUsize,
    store: Unlocked,
}

// === impl RedbStore ===

impl RedbStore {
    /// Opens `chancery.redb` in a directory; makes both where they are missing. The whole file is checked. Only its owner may
    /// read it, since it may hold private keys. With keys every record is sealed, and a file that is not sealed is refused.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: another process has the file open, another release wrote it, it is damaged, it needs other keys, or the
    /// system refuses.
    pub fn open(data_dir: &Path, retention: NonZeroUsize, keys: Option<&StoreKeys>) -> Result<Self, StoreError> {
        let store = Unlocked::open(file::path_in(data_dir), keys)?;
        Ok(Self { retention, store })
    }

    /// The path of the file in a data directory.
    #[must_use]
    pub fn path_in(data_dir: &Path) -> PathBuf {
        file::path_in(data_dir)
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.file().path()
    }

    /// Reads all records and compares them with the references and counts.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] for the first mismatch.
    pub fn verify(&self) -> Result<Contents, StoreError> {
        self.store.read(verify::verify)
    }
}

impl RevisionStore for RedbStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.store.read(read_all)
    }

    fn last(&self) -> Result<Revision, StoreError> {
        self.store.read(|txn, _| read_last(&txn.open_table(META)?))
    }

    fn content_key(&self) -> Result<ContentKey, StoreError> {
        Ok(self.store.vault().content_key().clone())
    }

    fn append(&self, revision: &StoredRevision, receipt: Option<&Receipt>) -> Result<(), StoreError> {
        self.store.write(|txn, vault| {
            append(txn, vault, revision)?;
            keep_newest(txn, vault, &revision.group, self.retention.get())?;
            receipt.map_or(Ok(()), |receipt| {
                receipts::keep(txn, vault, &revision.group, receipt, self.retention)
            })
        })
    }

    fn keep_receipt(&self, group: &NodeGroup, receipt: &Receipt) -> Result<(), StoreError> {
        self.store
            .write(|txn, vault| receipts::keep(txn, vault, group, receipt, self.retention))
    }

    fn receipt(&self, group: &NodeGroup, key: &str) -> Result<Option<Receipt>, StoreError> {
        self.store.read(|txn, vault| receipts::find(txn, vault, group, key))
    }

    fn list(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, StoreError> {
        self.store.read(|txn, vault| {
            let revisions = txn.open_table(REVISIONS)?;
            let rows = revisions.range((group.as_str(), 0)..=(group.as_str(), u64::MAX))?;
            rows.rev()
                .take(limit)
                .map(|row| {
                    let (key, sealed) = row?;
                    info(
                        Revision(key.value().1),
                        open_revision(vault, key.value(), sealed.value())?,
                    )
                })
                .collect()
        })
    }

    fn get(&self, group: &NodeGroup, revision: Revision) -> Result<Option<StoredRevision>, StoreError> {
        self.store.read(|txn, vault| {
            let key = (group.as_str(), revision.0);
            let Some(sealed) = txn.open_table(REVISIONS)?.get(key)? else {
                return Ok(None);
            };
            let record = open_revision(vault, key, sealed.value())?;
            stored(txn, vault, revision, record).map(Some)
        })
    }

    fn forget(&self, group: &NodeGroup) -> Result<(), StoreError> {
        self.store.write(|txn, vault| {
            receipts::forget(txn, group)?;
            keep_newest(txn, vault, group, 0)
        })
    }

    fn backup(&self, to: &mut dyn io::Write) -> Result<(), StoreError> {
        self.store.read(|txn, vault| backup::write(txn, vault, to))
    }

    fn probe(&self, write: bool) -> Result<(), StoreError> {
        if !write {
            return self.store.file().expect_in_place();
        }
        self.store.write(|txn, _| {
            let mut meta = txn.open_table(META)?;
            let probes = meta.get(META_PROBES)?.map_or(0, |probes| probes.value());
            meta.insert(META_PROBES, probes.wrapping_add(1))?;
            Ok(())
        })
    }

    fn retention(&self) -> NonZeroUsize {
        self.retention
    }
}

#[cfg(test)]
mod tests;
