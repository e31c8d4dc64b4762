//! What is done to a store that no server has open: a backup becomes one, and either is checked whole.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::revision::{Contents, RedbStore, StoreError, restore as restore_store, verify_backup};

/// What a store or a backup holds, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreReport {
    /// Groups with a history, deleted ones included.
    pub groups: u64,
    /// Kept revisions of all groups.
    pub revisions: u64,
    /// Resources in all of them; what is equal is one.
    pub resources: u64,
    /// Publishes with an idempotency key that are remembered.
    pub receipts: u64,
    /// The last revision number that was given: the next publish has a larger one.
    pub last_revision: u64,
    /// After a restore: where the store is now that was there before.
    pub replaced: Option<PathBuf>,
}

/// Why it could not be done; nothing changed.
#[derive(Debug)]
pub enum OfflineError {
    /// What is there is damaged, of another release, or not to be overwritten.
    Refused(String),
    /// A server has it open, or the system refuses.
    Unavailable(String),
    /// It is not there.
    NotFound(String),
}

/// Makes the store of a data directory from a backup.
///
/// # Errors
///
/// [`OfflineError`].
pub fn restore(backup: &Path, data_dir: &Path, force: bool) -> Result<StoreReport, OfflineError> {
    let restored = restore_store(backup, data_dir, force)?;
    Ok(StoreReport {
        replaced: restored.replaced,
        ..report(restored.contents)
    })
}

/// Reads all of a data directory's store, or of a backup, and compares it with what names and counts it.
///
/// # Errors
///
/// [`OfflineError`].
pub fn verify(path: &Path) -> Result<StoreReport, OfflineError> {
    if !path.is_dir() {
        return Ok(report(verify_backup(path)?));
    }
    let file = RedbStore::path_in(path);
    if !file.exists() {
        return Err(OfflineError::NotFound(format!(
            "{}: there is no store in it",
            path.display()
        )));
    }
    let store = RedbStore::open(path, crate::revision::DEFAULT_RETENTION)?;
    Ok(report(store.verify()?))
}

const fn report(contents: Contents) -> StoreReport {
    StoreReport {
        groups: contents.groups,
        revisions: contents.revisions,
        resources: contents.resources,
        receipts: contents.receipts,
        last_revision: contents.last.0,
        replaced: None,
    }
}

// === impl OfflineError ===

impl From<StoreError> for OfflineError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Self::NotFound(message),
            StoreError::OlderFormat { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::Damaged { .. }
            | StoreError::BadBackup { .. }
            | StoreError::NotEmpty { .. } => Self::Refused(message),
            StoreError::Locked { .. }
            | StoreError::Replaced { .. }
            | StoreError::Io { .. }
            | StoreError::Full { .. }
            | StoreError::Database { .. }
            | StoreError::NotNewer { .. }
            | StoreError::NoBackup
            | StoreError::Interrupted(_) => Self::Unavailable(message),
        }
    }
}

impl fmt::Display for OfflineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) | Self::Unavailable(message) | Self::NotFound(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for OfflineError {}
