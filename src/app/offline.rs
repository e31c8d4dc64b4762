//! Work on a store that no server has open: restore, verify and rekey.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::revision::{
    Contents, KeyFileError, RedbStore, RekeyTo, StoreError, StoreKeys, rekey as rekey_store, restore as restore_store,
    verify_backup,
};

/// The contents of a store or a backup, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreReport {
    /// Groups with a history, deleted ones included.
    pub groups: u64,
    /// Kept revisions of all groups.
    pub revisions: u64,
    /// Resources of all revisions; equal ones count once.
    pub resources: u64,
    /// Receipts of publishes with an idempotency key.
    pub receipts: u64,
    /// The largest revision ever made: the next publish has a larger one.
    pub last_revision: u64,
    /// After a restore: the path of the store that was there before.
    pub replaced: Option<PathBuf>,
}

/// The result of a rekey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekeyReport {
    /// The contents of the store.
    pub store: StoreReport,
    /// The id of the key that seals the store now; `None` for a store that is not sealed.
    pub key: Option<String>,
    /// `false` where there was nothing to do.
    pub changed: bool,
    /// Files beside the store that were not touched and hold older contents.
    pub left: Vec<PathBuf>,
}

/// The reason why the work failed; nothing changed.
#[derive(Debug)]
pub enum OfflineError {
    /// The store is damaged, of another release, or must not be overwritten.
    Refused(String),
    /// A server has the store open, or the system refuses.
    Unavailable(String),
    /// The store or the backup does not exist.
    NotFound(String),
}

/// Makes the store of a data directory from a backup.
///
/// # Errors
///
/// [`OfflineError`].
pub fn restore(
    backup: &Path,
    data_dir: &Path,
    key_file: Option<&Path>,
    force: bool,
) -> Result<StoreReport, OfflineError> {
    let keys = key_file.map(StoreKeys::read).transpose()?;
    let restored = restore_store(backup, data_dir, keys.as_ref(), force)?;
    Ok(StoreReport {
        replaced: restored.replaced,
        ..report(restored.contents)
    })
}

/// Reads a whole store or backup and checks its references and counts.
///
/// # Errors
///
/// [`OfflineError`].
pub fn verify(path: &Path, key_file: Option<&Path>) -> Result<StoreReport, OfflineError> {
    let keys = key_file.map(StoreKeys::read).transpose()?;
    if !path.is_dir() {
        return Ok(report(verify_backup(path, keys.as_ref())?));
    }
    expect_store(path)?;
    let store = RedbStore::open(path, crate::revision::DEFAULT_RETENTION, keys.as_ref())?;
    Ok(report(store.verify()?))
}

/// Rekeys a data directory: seals it with the first key of a file, or with `plain` makes it unsealed.
///
/// # Errors
///
/// [`OfflineError`].
pub fn rekey(data_dir: &Path, key_file: &Path, plain: bool) -> Result<RekeyReport, OfflineError> {
    let keys = StoreKeys::read(key_file)?;
    expect_store(data_dir)?;
    let to = if plain { RekeyTo::Plain } else { RekeyTo::FirstKey };
    let rekeyed = rekey_store(data_dir, &keys, to)?;
    Ok(RekeyReport {
        store: report(rekeyed.contents),
        key: (!plain).then(|| keys.first().id().to_string()),
        changed: rekeyed.changed,
        left: rekeyed.left,
    })
}

fn expect_store(data_dir: &Path) -> Result<(), OfflineError> {
    if RedbStore::path_in(data_dir).exists() {
        return Ok(());
    }
    Err(OfflineError::NotFound(format!(
        "{}: there is no store in it",
        data_dir.display()
    )))
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
            | StoreError::KeyNeeded { .. }
            | StoreError::KeyMissing { .. }
            | StoreError::NotSealed { .. }
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

impl From<KeyFileError> for OfflineError {
    fn from(error: KeyFileError) -> Self {
        let message = error.to_string();
        match error {
            KeyFileError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::NotFound(message)
            }
            KeyFileError::Read { .. } => Self::Unavailable(message),
            KeyFileError::Open { .. } | KeyFileError::Content { .. } => Self::Refused(message),
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
