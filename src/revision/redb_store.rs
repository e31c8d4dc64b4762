//! Revisions in one file, `chancery.redb`: fsynced commits, resources stored once by content, bounded history.

mod objects;
mod records;

use std::{
    fmt, fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError, WriteTransaction, backends::FileBackend,
};

use self::{
    objects::{OBJECTS, Objects, REFERENCES, read_list},
    records::{RevisionRecord, TypeRecord, seal, unseal},
};
use super::{
    Content, Loaded, LoadedGroup, RevisionInfo, RevisionStore, StoreError, StoredRevision, Summary, Trace, Types,
};
use crate::{
    resource::{ResourceType, Version},
    snapshot::{NodeGroup, Revision, TypeResources},
};

/// The file inside the data directory.
const FILE: &str = "chancery.redb";
/// What this release writes; raised when records change their meaning.
const FORMAT: u64 = 2;
/// Pages the database keeps in memory: heads are held by the publisher, the history is rarely read.
const CACHE_BYTES: usize = 16 << 20;

const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_LAST: &str = "last_revision";
/// (Group, revision) → its sealed record.
const REVISIONS: TableDefinition<'static, (&str, u64), &[u8]> = TableDefinition::new("revisions");

/// A store in one file, open in one process at a time.
pub struct RedbStore {
    path: PathBuf,
    retention: NonZeroUsize,
    database: Database,
}

/// What goes wrong inside a transaction, before it is known of which file.
#[derive(Debug)]
enum Failure {
    Redb(redb::Error),
    Damaged(String),
    NotNewer { revision: Revision, last: Revision },
}

// === impl RedbStore ===

impl RedbStore {
    /// Opens `chancery.redb` in a directory, and makes both where they are missing. The file is checked whole, and only its
    /// owner may read it: it may hold private keys.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: another process has it open, another release wrote it, it is damaged, or the system refuses.
    pub fn open(data_dir: &Path, retention: NonZeroUsize) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        fs::create_dir_all(data_dir).map_err(io(data_dir))?;
        let file = private_file(&path).map_err(io(&path))?;
        // The new name itself must survive a power cut, not only what is written under it.
        fs::File::open(data_dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io(data_dir))?;
        let backend = FileBackend::new(file).map_err(|error| open_error(&path, error))?;
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(|error| open_error(&path, error))?;
        let store = Self {
            path,
            retention,
            database,
        };
        store.check_format()?;
        Ok(store)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the format into a new file, compares it otherwise.
    fn check_format(&self) -> Result<(), StoreError> {
        let found = self.name_file(self.read_format())?;
        let path = self.path.clone();
        match found {
            None => self.name_file(self.write(|txn| {
                txn.open_table(META)?.insert(META_FORMAT, FORMAT)?;
                txn.open_table(REVISIONS)?;
                txn.open_table(OBJECTS)?;
                txn.open_table(REFERENCES)?;
                Ok(())
            })),
            Some(FORMAT) => Ok(()),
            Some(found) if found < FORMAT => Err(StoreError::OlderFormat {
                path,
                found,
                expected: FORMAT,
            }),
            Some(found) => Err(StoreError::NewerFormat {
                path,
                found,
                expected: FORMAT,
            }),
        }
    }

    /// `None` for a file that nothing was ever written to.
    fn read_format(&self) -> Result<Option<u64>, Failure> {
        let txn = self.database.begin_read()?;
        let meta = match txn.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_)) if txn.list_tables()?.next().is_none() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let format = meta.get(META_FORMAT)?.map(|format| format.value());
        format
            .map(Some)
            .ok_or_else(|| Failure::Damaged("it names no format".to_owned()))
    }

    /// One durable transaction: all of it, or nothing.
    fn write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        // Publishes are rare and precious: a slower commit for an open after a crash that need not walk the file.
        txn.set_quick_repair(true);
        let changed = change(&txn)?;
        txn.commit()?;
        Ok(changed)
    }

    fn name_file<T>(&self, result: Result<T, Failure>) -> Result<T, StoreError> {
        result.map_err(|failure| match failure {
            Failure::Redb(redb::Error::Corrupted(detail)) | Failure::Damaged(detail) => StoreError::Damaged {
                path: self.path.clone(),
                detail,
            },
            Failure::Redb(source) => StoreError::Database {
                path: self.path.clone(),
                source: Box::new(source),
            },
            Failure::NotNewer { revision, last } => StoreError::NotNewer { revision, last },
        })
    }

    fn read_all(&self) -> Result<Loaded, Failure> {
        let txn = self.database.begin_read()?;
        let last = txn.open_table(META)?.get(META_LAST)?.map_or(0, |last| last.value());
        let mut groups: Vec<LoadedGroup> = Vec::new();
        let mut newest: Option<(Vec<Trace>, Revision, RevisionRecord)> = None;
        for row in txn.open_table(REVISIONS)?.iter()? {
            let (key, sealed) = row?;
            let (revision, record) = (Revision(key.value().1), unseal_revision(key.value(), sealed.value())?);
            let trace = trace(revision, &record)?;
            // Rows are sorted by group, then revision: the last of a group is its head.
            newest = Some(match newest.take() {
                Some((mut traces, _, before)) if before.group == record.group => {
                    traces.push(trace);
                    (traces, revision, record)
                }
                done => {
                    groups.extend(done.map(|group| loaded_group(&txn, group)).transpose()?);
                    (vec![trace], revision, record)
                }
            });
        }
        groups.extend(newest.map(|group| loaded_group(&txn, group)).transpose()?);
        Ok(Loaded {
            last: Revision(last),
            groups,
        })
    }
}

impl RevisionStore for RedbStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.name_file(self.read_all())
    }

    fn append(&self, revision: &StoredRevision) -> Result<(), StoreError> {
        self.name_file(self.write(|txn| append(txn, revision, self.retention)))
    }

    fn list(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, StoreError> {
        let read = || -> Result<Vec<RevisionInfo>, Failure> {
            let revisions = self.database.begin_read()?.open_table(REVISIONS)?;
            let rows = revisions.range((group.as_str(), 0)..=(group.as_str(), u64::MAX))?;
            rows.rev()
                .take(limit)
                .map(|row| {
                    let (key, sealed) = row?;
                    info(Revision(key.value().1), unseal_revision(key.value(), sealed.value())?)
                })
                .collect()
        };
        self.name_file(read())
    }

    fn get(&self, group: &NodeGroup, revision: Revision) -> Result<Option<StoredRevision>, StoreError> {
        let read = || -> Result<Option<StoredRevision>, Failure> {
            let txn = self.database.begin_read()?;
            let key = (group.as_str(), revision.0);
            let Some(sealed) = txn.open_table(REVISIONS)?.get(key)? else {
                return Ok(None);
            };
            let record = unseal_revision(key, sealed.value())?;
            stored(&txn, revision, record).map(Some)
        };
        self.name_file(read())
    }

    fn forget(&self, group: &NodeGroup) -> Result<(), StoreError> {
        self.name_file(self.write(|txn| keep_newest(txn, group, 0)))
    }

    fn retention(&self) -> NonZeroUsize {
        self.retention
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore")
            .field("path", &self.path)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

fn append(txn: &WriteTransaction, revision: &StoredRevision, retention: NonZeroUsize) -> Result<(), Failure> {
    let mut meta = txn.open_table(META)?;
    let last = Revision(meta.get(META_LAST)?.map_or(0, |last| last.value()));
    if revision.revision <= last {
        return Err(Failure::NotNewer {
            revision: revision.revision,
            last,
        });
    }
    meta.insert(META_LAST, revision.revision.0)?;
    let mut objects = Objects::open(txn)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let group = revision.group.as_str();
    let before = match revisions.range((group, 0)..=(group, u64::MAX))?.next_back() {
        Some(row) => {
            let (key, sealed) = row?;
            Some(unseal_revision(key.value(), sealed.value())?)
        }
        None => None,
    };
    let mut types = Vec::new();
    for (resource_type, resources) in revision.types().into_iter().flatten() {
        let type_url = resource_type.type_url();
        let before = before.as_ref().and_then(|before| before.list(type_url));
        types.push(TypeRecord {
            type_url: type_url.to_owned(),
            version: resources.version().to_string(),
            resources: resources.len() as u64,
            list: objects.hold(resources, before)?.to_vec(),
        });
    }
    let record = RevisionRecord::new(revision, types);
    revisions.insert((group, revision.revision.0), seal(&record).as_slice())?;
    drop((objects, revisions));
    keep_newest(txn, &revision.group, retention.get())
}

/// Removes a group's oldest revisions, and every object that only they had.
fn keep_newest(txn: &WriteTransaction, group: &NodeGroup, count: usize) -> Result<(), Failure> {
    let mut objects = Objects::open(txn)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let group = group.as_str();
    let kept: Vec<u64> = revisions
        .range((group, 0)..=(group, u64::MAX))?
        .map(|row| row.map(|(key, _)| key.value().1))
        .collect::<Result<_, _>>()?;
    for (index, old) in kept[..kept.len().saturating_sub(count)].iter().enumerate() {
        let key = (group, *old);
        let next = match kept.get(index + 1) {
            Some(next) => read_revision(&revisions, (group, *next))?,
            None => None,
        };
        let record = read_revision(&revisions, key)?.ok_or_else(|| damaged_revision(key))?;
        revisions.remove(key)?;
        for found in &record.types {
            let list = found.list().ok_or_else(|| damaged_revision(key))?;
            let after = next.as_ref().and_then(|next| next.list(&found.type_url));
            objects.release(list, after)?;
        }
    }
    Ok(())
}

fn read_revision(
    revisions: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    key: (&str, u64),
) -> Result<Option<RevisionRecord>, Failure> {
    let sealed = revisions.get(key)?;
    sealed.map(|sealed| unseal_revision(key, sealed.value())).transpose()
}

fn loaded_group(
    txn: &ReadTransaction,
    (traces, revision, record): (Vec<Trace>, Revision, RevisionRecord),
) -> Result<LoadedGroup, Failure> {
    let head = stored(txn, revision, record)?;
    Ok(LoadedGroup { head, traces })
}

fn stored(txn: &ReadTransaction, revision: Revision, record: RevisionRecord) -> Result<StoredRevision, Failure> {
    let objects = txn.open_table(OBJECTS)?;
    let damaged = || damaged_revision((&record.group, revision.0));
    let mut types = Types::new();
    for found in &record.types {
        let (Some(summary), Some(list)) = (found.summary(), found.list()) else {
            return Err(damaged());
        };
        let resources = TypeResources::new(read_list(&objects, list)?).map_err(|_| damaged())?;
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
    })
}

fn time_of(record: &RevisionRecord) -> SystemTime {
    let time = record.time.and_then(|time| SystemTime::try_from(time).ok());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn unseal_revision(key: (&str, u64), sealed: &[u8]) -> Result<RevisionRecord, Failure> {
    unseal(sealed)
        .filter(|record: &RevisionRecord| record.group == key.0)
        .ok_or_else(|| damaged_revision(key))
}

fn damaged_revision((group, revision): (&str, u64)) -> Failure {
    Failure::Damaged(format!(
        "revision {revision} of group \"{group}\" is not what was written"
    ))
}

fn private_file(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Locked { path },
        DatabaseError::Storage(StorageError::Corrupted(detail)) => StoreError::Damaged { path, detail },
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Damaged {
                path,
                detail: error.to_string(),
            }
        }
        DatabaseError::Storage(StorageError::Io(source)) => StoreError::Io { path, source },
        other => StoreError::Database {
            path,
            source: Box::new(other),
        },
    }
}

// === impl Failure ===

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

#[cfg(test)]
mod tests;
