//! A store's file with its vault: opened with its keys, or made.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use redb::{ReadTransaction, TableError, WriteTransaction};

use super::{
    failure::Failure,
    file::File,
    objects::{OBJECTS, REFERENCES},
    receipts::{RECEIPT_ORDER, RECEIPTS},
    tables::{FORMAT, META, META_FORMAT, REVISIONS, SEALED_FORMAT},
    vault::{self, Vault},
};
use crate::revision::{StoreError, keys::StoreKeys};

/// A file with the vault that opens its records.
#[derive(Debug)]
pub(super) struct Unlocked {
    file: File,
    vault: Vault,
    /// The file names the first key as used. The first write adds this, not the opening: a key that sealed nothing is not
    /// needed.
    says_first_key: AtomicBool,
}

// === impl Unlocked ===

impl Unlocked {
    /// Opens the file; makes it and its directory where they are missing, sealed if there are keys. An existing file must be
    /// sealed if and only if there are keys, and with these keys.
    pub(super) fn open(path: PathBuf, keys: Option<&StoreKeys>) -> Result<Self, StoreError> {
        let file = File::open(path, |txn| make_tables(txn, &Vault::make(keys, None)))?;
        let Some((format, rows)) = file.read(vault::read)? else {
            let vault = Vault::make(keys, None);
            file.write(|txn| make_tables(txn, &vault))?;
            return Ok(Self::of(file, vault));
        };
        expect_format(format, file.path())?;
        let vault = Vault::unlock(format, &rows, keys, file.path())?;
        // Stores of earlier releases lack receipts or the content key.
        if vault.is_incomplete(&rows) || !file.read(has_receipts)? {
            file.write(|txn| make_tables(txn, &vault))?;
        }
        Ok(Self::of(file, vault))
    }

    const fn of(file: File, vault: Vault) -> Self {
        Self {
            file,
            vault,
            says_first_key: AtomicBool::new(false),
        }
    }

    /// Makes a file with this vault and no revisions.
    pub(super) fn create(path: PathBuf, vault: Vault) -> Result<Self, StoreError> {
        let file = File::open(path, |txn| make_tables(txn, &vault))?;
        Ok(Self::of(file, vault))
    }

    /// Like [`Unlocked::create`], but in memory; failures name the path `of`.
    pub(super) fn in_memory(of: &Path, vault: Vault) -> Result<Self, StoreError> {
        let file = File::in_memory(of)?;
        file.write(|txn| make_tables(txn, &vault))?;
        Ok(Self::of(file, vault))
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    pub(super) const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Reads one state of the file, while writes go on.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction, &Vault) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.file.read(|txn| read(txn, &self.vault))
    }

    /// Runs one durable transaction: all of it, or nothing.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction, &Vault) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let says_first_key = self.says_first_key.load(Ordering::Relaxed);
        let written = self.file.write(|txn| {
            if !says_first_key {
                self.vault.complete(txn)?;
            }
            change(txn, &self.vault)
        })?;
        self.says_first_key.store(true, Ordering::Relaxed);
        Ok(written)
    }
}

/// Fails unless this release reads the format.
pub(super) fn expect_format(found: u64, path: &Path) -> Result<(), StoreError> {
    let (path, expected) = (path.to_owned(), SEALED_FORMAT);
    match found {
        FORMAT | SEALED_FORMAT => Ok(()),
        _ if found < FORMAT => Err(StoreError::OlderFormat {
            path,
            found,
            expected: FORMAT,
        }),
        _ => Err(StoreError::NewerFormat { path, found, expected }),
    }
}

/// Makes the tables and rows that are missing.
fn make_tables(txn: &WriteTransaction, vault: &Vault) -> Result<(), Failure> {
    txn.open_table(META)?.insert(META_FORMAT, vault.format())?;
    txn.open_table(REVISIONS)?;
    txn.open_table(OBJECTS)?;
    txn.open_table(REFERENCES)?;
    txn.open_table(RECEIPTS)?;
    txn.open_table(RECEIPT_ORDER)?;
    vault.complete(txn)
}

fn has_receipts(txn: &ReadTransaction) -> Result<bool, Failure> {
    match txn.open_table(RECEIPT_ORDER) {
        Ok(_) => Ok(true),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
