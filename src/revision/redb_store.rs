//! Revisions in one file, `chancery.redb`: fsynced commits, resources stored once by content, bounded history; sealed where
//! there are keys.

mod address;
mod backup;
mod failure;
mod file;
mod objects;
mod receipts;
mod records;
mod rekey;
mod unlocked;
mod vault;
mod verify;

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use self::{
    failure::Failure,
    objects::{OBJECTS, Objects, REFERENCES, Reader},
    receipts::{RECEIPT_ORDER, RECEIPTS},
    records::{PassingRecord, RevisionRecord, TypeRecord},
    unlocked::Unlocked,
    vault::{Place, Vault},
};
use super::{
    Content, Loaded, LoadedGroup, Receipt, RevisionInfo, RevisionStore, StoreError, StoreKeys, StoredRevision, Summary,
    Trace, Types,
};
use crate::{
    node::NodeGroup,
    resource::{ContentKey, ResourceType, Version},
    snapshot::{Revision, TypeResources},
};

pub use self::{
    backup::{Restored, restore, verify_backup},
    rekey::{RekeyTo, Rekeyed, rekey},
    verify::Contents,
};

/// The file inside the data directory.
const FILE: &str = "chancery.redb";
/// What this release writes; raised when records change their meaning.
const FORMAT: u64 = 2;
/// The same, sealed.
const SEALED_FORMAT: u64 = 3;
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_LAST: &str = "last_revision";
/// How often it was tried whether something can be written.
const META_PROBES: &str = "probes";
/// (Group, revision) → its sealed record.
const REVISIONS: TableDefinition<'static, (&str, u64), &[u8]> = TableDefinition::new("revisions");

/// A store in one file, open in one process at a time.
#[derive(Debug)]
pub struct RedbStore {
    retention: NonZeroUsize,
    store: Unlocked,
}

// === impl RedbStore ===

impl RedbStore {
    /// Opens `chancery.redb` in a directory, and makes both where they are missing. The file is checked whole, and only its
    /// owner may read it: it may hold private keys. With keys everything in it is sealed, and one that is not is refused.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: another process has it open, another release wrote it, it is damaged, it needs other keys, or the system
    /// refuses.
    pub fn open(data_dir: &Path, retention: NonZeroUsize, keys: Option<&StoreKeys>) -> Result<Self, StoreError> {
        let store = Unlocked::open(Self::path_in(data_dir), keys)?;
        Ok(Self { retention, store })
    }

    /// Where the file of a data directory is.
    #[must_use]
    pub fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.file().path()
    }

    /// Reads everything that is kept and compares it with what names and counts it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] for the first thing that does not fit.
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

fn read_last(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, Failure> {
    Ok(Revision(meta.get(META_LAST)?.map_or(0, |last| last.value())))
}

fn read_all(txn: &ReadTransaction, vault: &Vault) -> Result<Loaded, Failure> {
    let last = read_last(&txn.open_table(META)?)?;
    let mut groups: Vec<LoadedGroup> = Vec::new();
    let mut newest: Option<(Vec<Trace>, Revision, RevisionRecord)> = None;
    for row in txn.open_table(REVISIONS)?.iter()? {
        let (key, sealed) = row?;
        let (revision, record) = (
            Revision(key.value().1),
            open_revision(vault, key.value(), sealed.value())?,
        );
        let trace = trace(revision, &record)?;
        // Rows are sorted by group, then revision: the last of a group is its head.
        newest = Some(match newest.take() {
            Some((mut traces, _, before)) if before.group == record.group => {
                traces.push(trace);
                (traces, revision, record)
            }
            done => {
                groups.extend(done.map(|group| loaded_group(txn, vault, group)).transpose()?);
                (vec![trace], revision, record)
            }
        });
    }
    groups.extend(newest.map(|group| loaded_group(txn, vault, group)).transpose()?);
    Ok(Loaded { last, groups })
}

fn append(txn: &WriteTransaction, vault: &Vault, revision: &StoredRevision) -> Result<(), Failure> {
    let mut meta = txn.open_table(META)?;
    let last = read_last(&meta)?;
    if revision.revision <= last {
        return Err(Failure::NotNewer {
            revision: revision.revision,
            last,
        });
    }
    meta.insert(META_LAST, revision.revision.0)?;
    let mut objects = Objects::open(txn, vault)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let group = revision.group.as_str();
    let mut newest = Vec::new();
    for row in revisions.range((group, 0)..=(group, u64::MAX))?.rev().take(2) {
        let (key, sealed) = row?;
        newest.push((key.value().1, open_revision(vault, key.value(), sealed.value())?));
    }
    let mut newest = newest.into_iter();
    let mut before = newest.next();
    // It takes the place of a passing one: it follows what that followed.
    let replaced = match before {
        Some((_, RevisionRecord { passing: true, .. })) if revision.passing => {
            std::mem::replace(&mut before, newest.next())
        }
        _ => None,
    };
    let before = before.map(|(_, record)| record);
    let mut types = Vec::new();
    for (resource_type, resources) in revision.types().into_iter().flatten() {
        let type_url = resource_type.type_url();
        let before = before.as_ref().and_then(|before| before.list(type_url));
        types.push(TypeRecord {
            type_url: type_url.to_owned(),
            version: resources.version().to_string(),
            resources: resources.len() as u64,
            list: objects.hold(resources, before)?.to_vec(),
            content: resources.contents_hash().to_bytes().to_vec(),
        });
    }
    if let Some((number, record)) = replaced {
        // Behind the new one, so that what both have is not written again.
        revisions.remove((group, number))?;
        for found in &record.types {
            let list = found.list().ok_or_else(|| damaged_revision((group, number)))?;
            objects.release(list, before.as_ref().and_then(|before| before.list(&found.type_url)))?;
        }
    }
    let record = RevisionRecord::new(revision, types);
    let sealed = vault.seal(Place::Revision(group, revision.revision.0), &record);
    revisions.insert((group, revision.revision.0), sealed.as_slice())?;
    Ok(())
}

/// Removes a group's oldest revisions, and every object that only they had. Those that only pass do not count.
fn keep_newest(txn: &WriteTransaction, vault: &Vault, group: &NodeGroup, count: usize) -> Result<(), Failure> {
    let mut objects = Objects::open(txn, vault)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let group = group.as_str();
    let mut kept: Vec<u64> = Vec::new();
    for row in revisions.range((group, 0)..=(group, u64::MAX))? {
        kept.push(row?.0.value().1);
    }
    let surplus = match kept.len().saturating_sub(count) {
        0 => 0,
        _ if count == 0 => kept.len(),
        _ => surplus(&revisions, vault, group, &kept, count)?,
    };
    for (index, old) in kept[..surplus].iter().enumerate() {
        let key = (group, *old);
        let next = match kept.get(index + 1) {
            Some(next) => read_revision(&revisions, vault, (group, *next))?,
            None => None,
        };
        let record = read_revision(&revisions, vault, key)?.ok_or_else(|| damaged_revision(key))?;
        revisions.remove(key)?;
        for found in &record.types {
            let list = found.list().ok_or_else(|| damaged_revision(key))?;
            let after = next.as_ref().and_then(|next| next.list(&found.type_url));
            objects.release(list, after)?;
        }
    }
    Ok(())
}

/// How many of the oldest go, so that `count` of those are left that do not pass.
fn surplus(
    revisions: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    vault: &Vault,
    group: &str,
    kept: &[u64],
    count: usize,
) -> Result<usize, Failure> {
    let mut lasting = 0;
    for (index, number) in kept.iter().enumerate().rev() {
        let key = (group, *number);
        let sealed = revisions.get(key)?.ok_or_else(|| damaged_revision(key))?;
        let record = vault.open(Place::Revision(key.0, key.1), sealed.value());
        let record: PassingRecord = record.ok_or_else(|| damaged_revision(key))?;
        lasting += usize::from(!record.passing);
        if lasting == count {
            return Ok(index);
        }
    }
    Ok(0)
}

fn read_revision(
    revisions: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    vault: &Vault,
    key: (&str, u64),
) -> Result<Option<RevisionRecord>, Failure> {
    let sealed = revisions.get(key)?;
    sealed
        .map(|sealed| open_revision(vault, key, sealed.value()))
        .transpose()
}

fn loaded_group(
    txn: &ReadTransaction,
    vault: &Vault,
    (traces, revision, record): (Vec<Trace>, Revision, RevisionRecord),
) -> Result<LoadedGroup, Failure> {
    let head = stored(txn, vault, revision, record)?;
    Ok(LoadedGroup { head, traces })
}

fn stored(
    txn: &ReadTransaction,
    vault: &Vault,
    revision: Revision,
    record: RevisionRecord,
) -> Result<StoredRevision, Failure> {
    let objects = txn.open_table(OBJECTS)?;
    let reader = Reader::new(&objects, vault);
    let damaged = || damaged_revision((&record.group, revision.0));
    let mut types = Types::new();
    for found in &record.types {
        let (Some(summary), Some(list)) = (found.summary(), found.list()) else {
            return Err(damaged());
        };
        let resources = TypeResources::new(reader.read_list(list)?).map_err(|_| damaged())?;
        if resources.content_hash().to_bytes() != list {
            return Err(damaged());
        }
        types.insert(summary.resource_type, Arc::new(resources.with_version(summary.version)));
    }
    let replaced = record.replaced().ok_or_else(damaged)?;
    let owner = record.owner().ok_or_else(damaged)?;
    Ok(StoredRevision {
        revision,
        group: NodeGroup::from(record.group.as_str()),
        time: time_of(&record),
        author: record.author,
        message: record.message,
        owner,
        content: if record.deleted {
            Content::Deleted
        } else {
            Content::Published(types)
        },
        replaced,
        passing: record.passing,
    })
}

fn info(revision: Revision, record: RevisionRecord) -> Result<RevisionInfo, Failure> {
    let types: Option<Vec<_>> = record.types.iter().map(TypeRecord::summary).collect();
    let (Some(types), Some(owner)) = (types, record.owner()) else {
        return Err(damaged_revision((&record.group, revision.0)));
    };
    Ok(RevisionInfo {
        revision,
        group: NodeGroup::from(record.group.as_str()),
        time: time_of(&record),
        author: record.author,
        message: record.message,
        owner,
        summary: if record.deleted {
            Summary::Deleted
        } else {
            Summary::Published(types)
        },
    })
}

fn trace(revision: Revision, record: &RevisionRecord) -> Result<Trace, Failure> {
    let version = |found: &TypeRecord| -> Option<(ResourceType, Version)> {
        let summary = found.summary()?;
        Some((summary.resource_type, summary.version))
    };
    let versions: Option<Vec<_>> = record.types.iter().map(version).collect();
    let (Some(versions), Some(replaced)) = (versions, record.replaced()) else {
        return Err(damaged_revision((&record.group, revision.0)));
    };
    Ok(Trace {
        revision,
        versions,
        replaced,
        passing: record.passing,
    })
}

fn time_of(record: &RevisionRecord) -> SystemTime {
    let time = record.time.and_then(|time| SystemTime::try_from(time).ok());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn open_revision(vault: &Vault, key: (&str, u64), sealed: &[u8]) -> Result<RevisionRecord, Failure> {
    vault
        .open(Place::Revision(key.0, key.1), sealed)
        .filter(|record: &RevisionRecord| record.group == key.0)
        .ok_or_else(|| damaged_revision(key))
}

fn damaged_revision((group, revision): (&str, u64)) -> Failure {
    Failure::Damaged(format!(
        "revision {revision} of group \"{group}\" is not what was written"
    ))
}

#[cfg(test)]
mod tests;
