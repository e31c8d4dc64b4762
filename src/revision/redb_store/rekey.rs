//! Rekeys a store: copies everything, sealed anew, into a new file, which then replaces the store in one step.
//!
//! The file is not changed in place, since pages that the database freed keep their old content. Until the new file is
//! complete and on the disk, the store is the old file: a rekey that was interrupted loses nothing and can be started again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use redb::{ReadTransaction, ReadableTable as _, WriteTransaction};

use super::{
    failure::{Failure, io_error},
    file::{self, File},
    history::damaged_revision,
    objects::{OBJECTS, ObjectError, REFERENCES},
    receipts::{RECEIPT_ORDER, RECEIPTS},
    tables::{FORMAT, META, META_LAST, META_PROBES, REVISIONS},
    unlocked::{Unlocked, expect_format},
    vault::{self, Place, Vault},
    verify::{self, Contents},
};
use crate::revision::{StoreError, keys::StoreKeys};

/// The target of a rekey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RekeyTo {
    /// A store sealed with the first key.
    FirstKey,
    /// A store that is not sealed.
    Plain,
}

/// The result of a rekey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// The contents of the store.
    pub contents: Contents,
    /// `false` where the store was in the target state already.
    pub changed: bool,
    /// Files in the directory that hold older contents, sealed under other keys or not at all.
    pub left: Vec<PathBuf>,
}

/// Rekeys the store of a data directory. The store is checked before and after; on an error it is unchanged.
///
/// # Errors
///
/// [`StoreError::Locked`] where a server uses the store, [`StoreError::KeyMissing`], [`StoreError::Damaged`], and any error
/// of the disk.
pub fn rekey(data_dir: &Path, keys: &StoreKeys, to: RekeyTo) -> Result<Rekeyed, StoreError> {
    let path = file::path_in(data_dir);
    // Opening would make a missing store.
    fs::metadata(&path).map_err(|error| io_error(&path, error))?;
    let file = File::open(path.clone(), |_| Ok(()))?;
    let found = file.read(vault::read)?;
    let (format, rows) = found.ok_or_else(|| StoreError::Damaged {
        path: path.clone(),
        detail: "it names no format".to_owned(),
    })?;
    expect_format(format, &path)?;
    let old = Vault::unlock(format, &rows, Some(keys).filter(|_| format != FORMAT), &path)?;
    let contents = file.read(|txn| verify::verify(txn, &old))?;
    let target = match to {
        RekeyTo::FirstKey => Some(keys),
        RekeyTo::Plain => None,
    };
    let aside = path.with_extension("redb.rekeying");
    // Leftovers may hold plain records, so remove them in any case.
    file::remove_leftovers(&aside)?;
    let changed = !old.is_under(target, &rows);
    if changed {
        // Keeps the content key, and with it the versions of secrets.
        let new = Vault::make(target, Some(old.content_key().clone()));
        write_aside(&file, &old, aside.clone(), new)
            .and_then(|()| file::rename(&aside, &path))
            .inspect_err(|_| {
                file::remove_leftovers(&aside).ok();
            })?;
    }
    // The old file stays locked until the new one has its name.
    drop(file);
    Ok(Rekeyed {
        contents,
        changed,
        left: left(&path)?,
    })
}

fn write_aside(file: &File, old: &Vault, aside: PathBuf, new: Vault) -> Result<(), StoreError> {
    let written = Unlocked::create(aside, new)?;
    file.read(|from| {
        // Errors of writes name the new file.
        Ok(written.write(|to, new| copy(from, old, to, new)))
    })??;
    written.read(verify::verify)?;
    Ok(())
}

/// Copies every row.
fn copy(from: &ReadTransaction, old: &Vault, to: &WriteTransaction, new: &Vault) -> Result<(), Failure> {
    let numbers = from.open_table(META)?;
    let mut meta = to.open_table(META)?;
    for name in [META_LAST, META_PROBES] {
        if let Some(number) = numbers.get(name)? {
            meta.insert(name, number.value())?;
        }
    }

    let objects = from.open_table(OBJECTS)?;
    let mut copied = to.open_table(OBJECTS)?;
    let mut references = to.open_table(REFERENCES)?;
    for ((kind, hash), count) in verify::counts(from, old)? {
        let damaged = || ObjectError::from((kind, hash));
        let [at, address] = [old, new].map(|vault| vault.address(kind, &hash));
        let sealed = objects.get(&at)?.ok_or_else(damaged).map_err(redb::Error::from)?;
        let opened = old.open_bytes(Place::Object(&at), sealed.value());
        let opened = opened.ok_or_else(damaged).map_err(redb::Error::from)?;
        copied.insert(&address, new.seal_bytes(Place::Object(&address), &opened).as_slice())?;
        references.insert(&address, count)?;
    }

    let mut revisions = to.open_table(REVISIONS)?;
    for row in from.open_table(REVISIONS)?.iter()? {
        let (key, sealed) = row?;
        let (group, number) = key.value();
        let place = Place::Revision(group, number);
        let opened = old.open_bytes(place, sealed.value());
        let opened = opened.ok_or_else(|| damaged_revision((group, number)))?;
        revisions.insert((group, number), new.seal_bytes(place, &opened).as_slice())?;
    }

    let mut receipts = to.open_table(RECEIPTS)?;
    for row in from.open_table(RECEIPTS)?.iter()? {
        let (key, sealed) = row?;
        let (group, name) = key.value();
        let place = Place::Receipt(group, name);
        let opened = old.open_bytes(place, sealed.value());
        let opened =
            opened.ok_or_else(|| Failure::Damaged(format!("the receipt \"{name}\" is not what was written")))?;
        receipts.insert((group, name), new.seal_bytes(place, &opened).as_slice())?;
    }
    let mut order = to.open_table(RECEIPT_ORDER)?;
    for row in from.open_table(RECEIPT_ORDER)?.iter()? {
        let (key, name) = row?;
        order.insert(key.value(), name.value())?;
    }
    Ok(())
}

/// Stores that a restore kept under another name.
fn left(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let failed = |error| io_error(dir, error);
    let mut left = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b"chancery.redb.") {
            left.push(entry.path());
        }
    }
    left.sort();
    Ok(left)
}
