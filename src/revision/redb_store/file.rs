//! The database file: opened with a full check, and opened again after a failure of the disk.
//!
//! After an error of the disk the database refuses all calls, reads too, until it is opened again. A full disk must not need
//! a restart, so the failure is reported, and the next call opens the database again if the disk allows it.

use std::{
    ffi::OsString,
    fmt, fs, io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, StorageError, WriteTransaction,
    backends::{FileBackend, InMemoryBackend},
};

use super::failure::{Failure, io_error, named};
use crate::{input, revision::StoreError};

/// Bytes of pages that the database caches: the publisher holds the heads, and the history is rarely read.
const CACHE_BYTES: usize = 16 << 20;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "chancery.redb";
/// One database file, open in one process at a time.
pub(super) struct File {
    path: PathBuf,
    /// Identifies the opened file, even if its path has another one by now; `None` in memory.
    identity: Option<Identity>,
    /// `None` after a failure, until it can be opened again.
    database: RwLock<Option<Database>>,
}

/// Identifies a file on its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// The extent of the check when a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Every page of the file.
    Whole,
    /// Only the roots: the whole file was checked at the start.
    Roots,
}

/// The path of the file in a data directory.
pub(super) fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

// === impl File ===

impl File {
    /// Opens the file; makes it and its directory where they are missing, with the content of `begin`. The whole file is
    /// checked. Only its owner may read it, since it may hold private keys.
    pub(super) fn open(
        path: PathBuf,
        begin: impl FnOnce(&WriteTransaction) -> Result<(), Failure>,
    ) -> Result<Self, StoreError> {
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| io_error(&path, source)
        };
        fs::create_dir_all(dir).map_err(io(dir))?;
        if !path.try_exists().map_err(io(&path))? {
            make(&path, begin)?;
        }
        // A power cut must not lose the new name either.
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))?;
        let (database, identity) = open_database(&path, Check::Whole)?;
        Ok(Self {
            path,
            identity: Some(identity),
            database: RwLock::new(Some(database)),
        })
    }

    /// Opens a database in memory, to try writes; failures name the path `of`.
    pub(super) fn in_memory(of: &Path) -> Result<Self, StoreError> {
        let database = Builder::new().create_with_backend(InMemoryBackend::new());
        let database = database.map_err(|error| open_error(of, error))?;
        Ok(Self {
            path: of.to_owned(),
            identity: None,
            database: RwLock::new(Some(database)),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads one state of the file, while writes go on.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Failure>) -> Result<T, StoreError> {
        // The transaction needs no lock, so a long read does not delay a call that must open the file again.
        let txn = self.with(|database| Ok(database.begin_read()?))?;
        let result = contained(|| read(&txn));
        drop(txn);
        self.settle(result)
    }

    /// Runs one durable transaction: all of it, or nothing. Fails if the path no longer has the opened file.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.expect_in_place()?;
        let written = self.with(|database| {
            let mut txn = database.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            // Publishes are rare: commits may be slower, so that opening after a crash need not walk the file.
            txn.set_quick_repair(true);
            let changed = change(&txn)?;
            txn.commit()?;
            Ok(changed)
        })?;
        self.expect_in_place()?;
        Ok(written)
    }

    /// Fails if the path no longer has the opened file.
    pub(super) fn expect_in_place(&self) -> Result<(), StoreError> {
        let Some(identity) = self.identity else {
            return Ok(());
        };
        match fs::metadata(&self.path) {
            Ok(there) if Identity::of(&there) == identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&self.path, error)),
            Ok(_) | Err(_) => Err(self.replaced()),
        }
    }

    fn replaced(&self) -> StoreError {
        StoreError::Replaced {
            path: self.path.clone(),
        }
    }

    fn with<T>(&self, call: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, StoreError> {
        self.ensure_open()?;
        let result = {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            match database.as_ref() {
                Some(database) => contained(|| call(database)),
                // Another thread closed the database in between.
                None => Err(redb::Error::DatabaseClosed.into()),
            }
        };
        self.settle(result)
    }

    /// Names the file in a failure, and opens the database again if it no longer works.
    fn settle<T>(&self, result: Result<T, Failure>) -> Result<T, StoreError> {
        result.map_err(|failure| {
            if failure.closes_the_database() {
                *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
                if let Err(error) = self.ensure_open() {
                    tracing::warn!(%error, "the store is closed until it can be opened again");
                }
            }
            named(&self.path, failure)
        })
    }

    fn ensure_open(&self) -> Result<(), StoreError> {
        let is_open = |database: &Option<Database>| database.is_some();
        if is_open(&self.database.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if is_open(&database) {
            return Ok(());
        }
        self.expect_in_place()?;
        let (opened, identity) = open_database(&self.path, Check::Roots)?;
        // Never serve from another file.
        if self.identity.is_some_and(|known| known != identity) {
            return Err(self.replaced());
        }
        *database = Some(opened);
        Ok(())
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Makes an empty store beside the path and renames it: the path has a complete store, or none.
fn make(path: &Path, begin: impl FnOnce(&WriteTransaction) -> Result<(), Failure>) -> Result<(), StoreError> {
    let mut aside = OsString::from(path);
    aside.push(format!(".new-{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let made = make_aside(&aside, begin).and_then(|()| fs::rename(&aside, path).map_err(|error| io_error(path, error)));
    if made.is_err() {
        fs::remove_file(&aside).ok();
    }
    made
}

fn make_aside(aside: &Path, begin: impl FnOnce(&WriteTransaction) -> Result<(), Failure>) -> Result<(), StoreError> {
    let failed = |error| io_error(aside, error);
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(aside);
    let file = file.map_err(failed)?;
    let identity = Identity::of(&file.metadata().map_err(failed)?);
    let database = build(file, Check::Roots).map_err(|error| open_error(aside, error))?;
    let file = File {
        path: aside.to_owned(),
        identity: Some(identity),
        database: RwLock::new(Some(database)),
    };
    file.write(begin)
}

fn open_database(path: &Path, check: Check) -> Result<(Database, Identity), StoreError> {
    let file = existing_file(path).map_err(|error| io_error(path, error))?;
    let metadata = file.metadata().map_err(|error| io_error(path, error))?;
    if metadata.len() == 0 {
        // An empty file would be opened as a new store, and silently drop everything.
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            detail: "it has no bytes, which no store ever has".to_owned(),
        });
    }
    // The database panics on some damaged files.
    let opened = catch_unwind(AssertUnwindSafe(|| build(file, check)))
        .unwrap_or_else(|_| Err(StorageError::Corrupted(ASSERTION.to_owned()).into()));
    let database = opened.map_err(|error| open_error(path, error))?;
    Ok((database, Identity::of(&metadata)))
}

fn build(file: fs::File, check: Check) -> Result<Database, DatabaseError> {
    let backend = FileBackend::new(file)?;
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(check == Check::Whole)
        .create_with_backend(backend)
}

const ASSERTION: &str = "it is not what a database file is";

/// Runs a call; a panic of the database becomes an error about a damaged file.
fn contained<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(Failure::Damaged(ASSERTION.to_owned())))
}

/// Opens an existing regular file.
fn existing_file(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    input::expect_regular(&file.metadata()?)?;
    Ok(file)
}

/// Renames a file; the new name survives a power cut.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |error| io_error(to, error);
    fs::rename(from, to).map_err(failed)?;
    let dir = to.parent().unwrap_or_else(|| Path::new("."));
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

/// Removes every file whose name begins with this name, which a killed process may have left.
pub(super) fn remove_leftovers(path: &Path) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(dir, error)),
    };
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    for entry in entries {
        let entry = entry.map_err(|error| io_error(dir, error))?;
        if entry.file_name().as_encoded_bytes().starts_with(name) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file if it exists.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Locked { path },
        DatabaseError::Storage(StorageError::Corrupted(detail)) => StoreError::Damaged { path, detail },
        DatabaseError::Storage(StorageError::Io(error))
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::Damaged {
                path,
                detail: error.to_string(),
            }
        }
        DatabaseError::Storage(StorageError::Io(source)) => io_error(&path, source),
        other => StoreError::Database {
            path,
            source: Box::new(other),
        },
    }
}

// === impl Identity ===

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}
