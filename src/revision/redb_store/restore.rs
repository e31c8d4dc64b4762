//! Restores a backup to a data directory, or only checks it.

use std::{
    fs,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;
use redb::WriteTransaction;

use super::{
    address::Address,
    backup::{FRAME_HEAD, FrameKind, Header, LAST_FRAME, MAGIC, Row, VaultRow},
    failure::{Failure, io_error},
    file::{self, File, remove_leftovers, rename},
    objects::{OBJECTS, REFERENCES},
    receipts::{RECEIPT_ORDER, RECEIPTS},
    tables::{META, META_LAST, REVISIONS, SEALED_FORMAT, read_last},
    unlocked::{Unlocked, expect_format},
    vault::{self, Vault},
    verify::{self, Contents},
};
use crate::{
    input,
    revision::{StoreError, keys::StoreKeys},
    snapshot::Revision,
};

/// A restore continues revision numbers at the next multiple of this: revisions published since the backup are lost, and
/// their numbers must not get another meaning.
const NUMBERS: u64 = 1_000_000;
/// The directory that a file system makes in an empty volume.
const NOTHING: &str = "lost+found";

/// The result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The contents of the restored store.
    pub contents: Contents,
    /// The path of the store that was there before.
    pub replaced: Option<PathBuf>,
}

/// Restores a backup to an empty directory or, with `force`, over the store in it. The backup is checked first; on an error
/// the directory is unchanged. The backup of a sealed store makes a sealed store, and needs its keys.
///
/// # Errors
///
/// [`StoreError::BadBackup`], [`StoreError::NotEmpty`], [`StoreError::Locked`] where a server uses the store,
/// [`StoreError::KeyMissing`], and any error of the disk.
pub fn restore(backup: &Path, data_dir: &Path, keys: Option<&StoreKeys>, force: bool) -> Result<Restored, StoreError> {
    let opened = Opened::open(backup, keys)?;
    let path = file::path_in(data_dir);
    if !force {
        expect_nothing(data_dir)?;
    }
    let used = last_of(&path)?;
    let restoring = path.with_extension("redb.restoring");
    remove_leftovers(&restoring)?;
    let restored = Unlocked::create(restoring.clone(), opened.vault.clone())
        .and_then(|store| fill(opened, &store, used))
        .and_then(|contents| {
            let replaced = set_aside(&path)?;
            rename(&restoring, &path)?;
            Ok(Restored { contents, replaced })
        });
    if restored.is_err() {
        remove_leftovers(&restoring)?;
    }
    restored
}

/// Checks that a backup is complete and consistent, by restoring it in memory.
///
/// # Errors
///
/// [`StoreError::BadBackup`], [`StoreError::KeyMissing`], and any error of the disk.
pub fn verify_backup(backup: &Path, keys: Option<&StoreKeys>) -> Result<Contents, StoreError> {
    let opened = Opened::open(backup, keys)?;
    let store = Unlocked::in_memory(backup, opened.vault.clone())?;
    fill(opened, &store, Revision::default())
}

/// A complete backup whose header was read.
struct Opened<'a> {
    backup: &'a Path,
    /// Positioned after the header.
    input: BufReader<fs::File>,
    header: Header,
    vault: Vault,
}

impl<'a> Opened<'a> {
    /// Opens a complete backup with its keys.
    fn open(backup: &'a Path, keys: Option<&StoreKeys>) -> Result<Self, StoreError> {
        check_hash(backup)?;
        let mut input = open(backup)?;
        skip_magic(&mut input).map_err(|detail| bad(backup, detail))?;
        let header = header(&mut input).map_err(|detail| bad(backup, detail))?;
        let vault = Vault::unlock(header.format, &header.rows(), keys, backup).map_err(|error| match error {
            StoreError::Damaged { detail, .. } => bad(backup, detail),
            other => other,
        })?;
        Ok(Self {
            backup,
            input,
            header,
            vault,
        })
    }
}

/// Restores a backup into an empty store and checks the store. Revision numbers continue after those of the backup and
/// `used`.
fn fill(opened: Opened<'_>, store: &Unlocked, used: Revision) -> Result<Contents, StoreError> {
    let Opened {
        backup,
        mut input,
        header,
        ..
    } = opened;
    let mut refused = None;
    store.write(|txn, _| {
        // These rows name the keys in use.
        vault::write_rows(txn, &header.rows())?;
        txn.open_table(META)?.insert(META_LAST, header.last)?;
        rows(txn, &mut input).or_else(|failure| match failure {
            RowFailure::Store(failure) => Err(failure),
            RowFailure::Backup(detail) => {
                refused = Some(detail);
                Ok(())
            }
        })
    })?;
    if let Some(detail) = refused {
        return Err(bad(backup, detail));
    }
    let contents = store.read(verify::verify).map_err(|error| match error {
        StoreError::Damaged { detail, .. } => bad(backup, detail),
        other => other,
    })?;
    let last = Revision((contents.last.max(used).0 / NUMBERS + 1) * NUMBERS);
    store.write(|txn, _| {
        txn.open_table(META)?.insert(META_LAST, last.0)?;
        Ok(())
    })?;
    Ok(Contents { last, ..contents })
}

/// Errors while rows are copied.
enum RowFailure {
    Store(Failure),
    Backup(String),
}

/// Reads the first frame.
fn header(input: &mut impl Read) -> Result<Header, String> {
    let header = match frame(input) {
        Ok((FrameKind::Header, payload)) => Header::decode(payload.as_slice()).map_err(|error| error.to_string())?,
        Ok((other, _)) => return Err(format!("it begins with {other:?}")),
        Err(RowFailure::Backup(detail)) => return Err(detail),
        Err(RowFailure::Store(_)) => return Err("it has no header".to_owned()),
    };
    if expect_format(header.format, Path::new("")).is_err() {
        let found = header.format;
        return Err(format!(
            "it was made of a store of format {found}, this release reads formats up to {SEALED_FORMAT}"
        ));
    }
    Ok(header)
}

impl Header {
    fn rows(&self) -> vault::Rows {
        let rows = self.vault.iter().cloned();
        rows.map(|VaultRow { name, value }| (name, value)).collect()
    }
}

/// Copies every row after the header.
fn rows(txn: &WriteTransaction, input: &mut impl Read) -> Result<(), RowFailure> {
    let mut objects = txn.open_table(OBJECTS)?;
    let mut references = txn.open_table(REFERENCES)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let mut receipts = txn.open_table(RECEIPTS)?;
    let mut order = txn.open_table(RECEIPT_ORDER)?;
    loop {
        let (kind, payload) = frame(input)?;
        if kind == FrameKind::Hash {
            return Ok(());
        }
        let row = Row::decode(payload.as_slice()).map_err(|error| RowFailure::Backup(error.to_string()))?;
        let sealed = row.sealed.as_slice();
        match kind {
            FrameKind::Object => {
                let key: &Address = row.key.as_slice().try_into().map_err(|_| malformed("an object"))?;
                objects.insert(key, sealed)?;
                references.insert(key, row.number)?;
            }
            FrameKind::Revision => {
                revisions.insert((row.group.as_str(), row.number), sealed)?;
            }
            FrameKind::Receipt => {
                let key = std::str::from_utf8(&row.key).map_err(|_| malformed("a receipt"))?;
                receipts.insert((row.group.as_str(), key), sealed)?;
                order.insert((row.group.as_str(), row.number), key)?;
            }
            FrameKind::Header | FrameKind::Hash => return Err(malformed("a frame out of place")),
        }
    }
}

fn malformed(what: &str) -> RowFailure {
    RowFailure::Backup(format!("{what} is malformed"))
}

/// Reads the next frame.
fn frame(input: &mut impl Read) -> Result<(FrameKind, Vec<u8>), RowFailure> {
    let cut = |error: io::Error| RowFailure::Backup(error.to_string());
    let mut head = [0; FRAME_HEAD];
    input.read_exact(&mut head).map_err(cut)?;
    let [kind, length @ ..] = head;
    let kind = match kind {
        b'h' => FrameKind::Header,
        b'r' => FrameKind::Revision,
        b'o' => FrameKind::Object,
        b'k' => FrameKind::Receipt,
        b'z' => FrameKind::Hash,
        other => return Err(RowFailure::Backup(format!("a frame of unknown kind {other}"))),
    };
    let length = u64::from(u32::from_le_bytes(length));
    let mut payload = Vec::new();
    // Reads no more than there is, for any length.
    let read = input.take(length).read_to_end(&mut payload).map_err(cut)?;
    if read as u64 == length {
        return Ok((kind, payload));
    }
    Err(malformed("a frame that is cut off"))
}

/// Checks that the hash at the end matches everything before it.
fn check_hash(backup: &Path) -> Result<(), StoreError> {
    let failed = |error| io_error(backup, error);
    let mut file = open(backup)?;
    skip_magic(&mut file).map_err(|detail| bad(backup, detail))?;
    let length = file.get_ref().metadata().map_err(failed)?.len();
    let hashed = length.saturating_sub(LAST_FRAME);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut (&mut file).take(hashed), &mut HashedBy(&mut hasher)).map_err(failed)?;
    let cut_off = || bad(backup, "it is cut off, or was altered".to_owned());
    let (kind, hash) = frame(&mut file).map_err(|_| cut_off())?;
    if kind == FrameKind::Hash && hash == hasher.finalize().as_bytes() {
        return Ok(());
    }
    Err(cut_off())
}

/// Writes into a hasher.
struct HashedBy<'a>(&'a mut blake3::Hasher);

impl Write for HashedBy<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(backup: &Path) -> Result<BufReader<fs::File>, StoreError> {
    let file = input::open(backup).map_err(|error| io_error(backup, error))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn skip_magic(input: &mut impl Read) -> Result<(), String> {
    let mut magic = [0; MAGIC.len()];
    let read = input.read_exact(&mut magic);
    if read.is_ok() && magic == MAGIC {
        return Ok(());
    }
    Err("it does not begin like a backup".to_owned())
}

fn bad(backup: &Path, detail: String) -> StoreError {
    StoreError::BadBackup {
        path: backup.to_owned(),
        detail,
    }
}

// === the directory ===

fn expect_nothing(dir: &Path) -> Result<(), StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(dir, error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| io_error(dir, error))?.file_name();
        if name != NOTHING {
            return Err(StoreError::NotEmpty {
                path: dir.to_owned(),
                found: name.display().to_string(),
            });
        }
    }
    Ok(())
}

/// The largest revision of the store that is replaced, if it can be read.
fn last_of(path: &Path) -> Result<Revision, StoreError> {
    if !path.exists() {
        return Ok(Revision::default());
    }
    let opened =
        File::open(path.to_owned(), |_| Ok(())).and_then(|file| file.read(|txn| read_last(&txn.open_table(META)?)));
    match opened {
        Ok(last) => Ok(last),
        Err(error @ StoreError::Locked { .. }) => Err(error),
        // A damaged store is the reason to restore.
        Err(_) => Ok(Revision::default()),
    }
}

/// Renames the store.
fn set_aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let aside = path.with_extension(format!("redb.replaced-{}", now.as_secs()));
    rename(path, &aside)?;
    Ok(Some(aside))
}

// === impl RowFailure ===

impl<E: Into<Failure>> From<E> for RowFailure {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}
