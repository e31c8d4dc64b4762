//! Backups: everything that a store keeps, as one file that says of itself whether it is whole.
//!
//! A line that names the form, then frames, each a kind, a length and a record; the last frame is the hash of everything before
//! it. What is stored travels as it lies in the store, so that a restored store is the same bit for bit, and that of a sealed one
//! can be read with its keys alone.

use std::{
    fs,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;
use redb::{ReadTransaction, ReadableTable as _, WriteTransaction};

use super::{
    META, META_LAST, OBJECTS, REFERENCES, REVISIONS, RedbStore, SEALED_FORMAT,
    address::Address,
    failure::{Failure, io_error},
    file::{File, remove, rename},
    read_last,
    receipts::{RECEIPT_ORDER, RECEIPTS},
    unlocked::{Unlocked, expect_format},
    vault::{self, Vault},
    verify::{self, Contents},
};
use crate::{
    input,
    revision::{StoreError, keys::StoreKeys},
    snapshot::Revision,
};

/// How every backup begins: the number is that of the form.
const MAGIC: &[u8] = b"chancery backup 1\n";
/// Bytes of a frame's kind and length.
const FRAME_HEAD: usize = 5;
/// Bytes of the last frame: its head, and the hash.
const LAST_FRAME: u64 = 5 + 32;
/// Revision numbers are given on from the next multiple of this after a restore: what was published since the backup is lost,
/// and its numbers must not come to mean something else.
const NUMBERS: u64 = 1_000_000;
/// What a file system itself puts into an empty volume.
const NOTHING: &str = "lost+found";

/// What a restore made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What is in the store now.
    pub contents: Contents,
    /// The store that was there before, under its new name.
    pub replaced: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    /// The format of the store.
    #[prost(uint64, tag = "1")]
    format: u64,
    #[prost(uint64, tag = "2")]
    last: u64,
    /// Of the vault; none in backups of earlier releases.
    #[prost(message, repeated, tag = "3")]
    vault: Vec<VaultRow>,
}

/// One row of the vault.
#[derive(Clone, PartialEq, Eq, Message)]
struct VaultRow {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// One row of a table.
#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(uint64, tag = "2")]
    number: u64,
    /// A receipt's key, or an object's.
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    sealed: Vec<u8>,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Header = b'h',
    Revision = b'r',
    /// `number` is how often it is counted.
    Object = b'o',
    Receipt = b'k',
    Hash = b'z',
}

/// Writes frames, and hashes what it wrote.
struct Frames<'a> {
    to: &'a mut dyn Write,
    hasher: blake3::Hasher,
}

// === writing ===

/// Writes everything that a state of the store holds.
pub(super) fn write(txn: &ReadTransaction, vault: &Vault, to: &mut dyn Write) -> Result<(), Failure> {
    let mut frames = Frames {
        to,
        hasher: blake3::Hasher::new(),
    };
    frames.bytes(MAGIC)?;
    let last = read_last(&txn.open_table(META)?)?;
    frames.frame(
        Kind::Header,
        &Header {
            format: vault.format(),
            last: last.0,
            vault: vault::read_rows(txn)?
                .into_iter()
                .map(|(name, value)| VaultRow { name, value })
                .collect(),
        },
    )?;
    let references = txn.open_table(REFERENCES)?;
    for row in txn.open_table(OBJECTS)?.iter()? {
        let (key, sealed) = row?;
        let counted = references.get(key.value())?.map_or(0, |count| count.value());
        frames.frame(
            Kind::Object,
            &Row {
                number: counted,
                key: key.value().to_vec(),
                sealed: sealed.value().to_vec(),
                ..Row::default()
            },
        )?;
    }
    for row in txn.open_table(REVISIONS)?.iter()? {
        let (key, sealed) = row?;
        let (group, number) = key.value();
        let (group, sealed) = (group.to_owned(), sealed.value().to_vec());
        frames.frame(
            Kind::Revision,
            &Row {
                group,
                number,
                sealed,
                ..Row::default()
            },
        )?;
    }
    let receipts = txn.open_table(RECEIPTS)?;
    for row in txn.open_table(RECEIPT_ORDER)?.iter()? {
        let (key, name) = row?;
        let ((group, number), name) = (key.value(), name.value());
        let sealed = receipts.get((group, name))?;
        let sealed = sealed.ok_or_else(|| Failure::Damaged(format!("the receipt \"{name}\" is missing")))?;
        frames.frame(
            Kind::Receipt,
            &Row {
                group: group.to_owned(),
                number,
                key: name.as_bytes().to_vec(),
                sealed: sealed.value().to_vec(),
            },
        )?;
    }
    frames.end()
}

// === impl Frames ===

impl Frames<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.hasher.update(bytes);
        self.to.write_all(bytes).map_err(Failure::Interrupted)
    }

    fn frame(&mut self, kind: Kind, record: &impl Message) -> Result<(), Failure> {
        let encoded = record.encode_to_vec();
        self.head(kind, encoded.len())?;
        self.bytes(&encoded)
    }

    fn head(&mut self, kind: Kind, length: usize) -> Result<(), Failure> {
        let too_long = |_| Failure::Damaged(format!("a record of {length} bytes"));
        let length = u32::try_from(length).map_err(too_long)?;
        self.bytes(&[kind as u8])?;
        self.bytes(&length.to_le_bytes())
    }

    fn end(mut self) -> Result<(), Failure> {
        let hash = self.hasher.finalize();
        self.head(Kind::Hash, hash.as_bytes().len())?;
        self.bytes(hash.as_bytes())?;
        self.to.flush().map_err(Failure::Interrupted)
    }
}

// === reading ===

/// Makes a store of a backup in a directory that holds nothing, or over the store in it where `force` says so. All of it is checked
/// first; on an error the directory is as it was. That of a sealed store is sealed, and needs its keys.
///
/// # Errors
///
/// [`StoreError::BadBackup`], [`StoreError::NotEmpty`], [`StoreError::Locked`] where a server uses the store,
/// [`StoreError::KeyMissing`], and whatever the disk says.
pub fn restore(backup: &Path, data_dir: &Path, keys: Option<&StoreKeys>, force: bool) -> Result<Restored, StoreError> {
    let opened = Opened::open(backup, keys)?;
    let path = RedbStore::path_in(data_dir);
    if !force {
        expect_nothing(data_dir)?;
    }
    let used = last_of(&path)?;
    let restoring = path.with_extension("redb.restoring");
    remove(&restoring)?;
    let restored = Unlocked::create(restoring.clone(), opened.vault.clone())
        .and_then(|store| fill(opened, &store, used))
        .and_then(|contents| {
            let replaced = set_aside(&path)?;
            rename(&restoring, &path)?;
            Ok(Restored { contents, replaced })
        });
    if restored.is_err() {
        remove(&restoring)?;
    }
    restored
}

/// Whether a backup is whole and holds together: a store is made of it in memory.
///
/// # Errors
///
/// [`StoreError::BadBackup`], [`StoreError::KeyMissing`], and whatever the disk says.
pub fn verify_backup(backup: &Path, keys: Option<&StoreKeys>) -> Result<Contents, StoreError> {
    let opened = Opened::open(backup, keys)?;
    let store = Unlocked::in_memory(backup, opened.vault.clone())?;
    fill(opened, &store, Revision::default())
}

/// A backup of which the header was read.
struct Opened<'a> {
    backup: &'a Path,
    /// Behind the header.
    input: BufReader<fs::File>,
    header: Header,
    vault: Vault,
}

impl<'a> Opened<'a> {
    /// A backup that is whole, with the keys it needs.
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

/// Makes a store of a backup and checks it whole. Numbers go on behind those of the backup and behind `used`.
fn fill(opened: Opened<'_>, store: &Unlocked, used: Revision) -> Result<Contents, StoreError> {
    let Opened {
        backup,
        mut input,
        header,
        ..
    } = opened;
    let mut refused = None;
    store.write(|txn, _| {
        // They say which keys something is sealed with.
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

/// What goes wrong while rows are taken over.
enum RowFailure {
    Store(Failure),
    Backup(String),
}

/// The first frame.
fn header(input: &mut impl Read) -> Result<Header, String> {
    let header = match frame(input) {
        Ok((Kind::Header, payload)) => Header::decode(payload.as_slice()).map_err(|error| error.to_string())?,
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

/// Takes over every row behind the header.
fn rows(txn: &WriteTransaction, input: &mut impl Read) -> Result<(), RowFailure> {
    let mut objects = txn.open_table(OBJECTS)?;
    let mut references = txn.open_table(REFERENCES)?;
    let mut revisions = txn.open_table(REVISIONS)?;
    let mut receipts = txn.open_table(RECEIPTS)?;
    let mut order = txn.open_table(RECEIPT_ORDER)?;
    loop {
        let (kind, payload) = frame(input)?;
        if kind == Kind::Hash {
            return Ok(());
        }
        let row = Row::decode(payload.as_slice()).map_err(|error| RowFailure::Backup(error.to_string()))?;
        let sealed = row.sealed.as_slice();
        match kind {
            Kind::Object => {
                let key: &Address = row.key.as_slice().try_into().map_err(|_| malformed("an object"))?;
                objects.insert(key, sealed)?;
                references.insert(key, row.number)?;
            }
            Kind::Revision => {
                revisions.insert((row.group.as_str(), row.number), sealed)?;
            }
            Kind::Receipt => {
                let key = std::str::from_utf8(&row.key).map_err(|_| malformed("a receipt"))?;
                receipts.insert((row.group.as_str(), key), sealed)?;
                order.insert((row.group.as_str(), row.number), key)?;
            }
            Kind::Header | Kind::Hash => return Err(malformed("a frame out of place")),
        }
    }
}

fn malformed(what: &str) -> RowFailure {
    RowFailure::Backup(format!("{what} is malformed"))
}

/// The next frame.
fn frame(input: &mut impl Read) -> Result<(Kind, Vec<u8>), RowFailure> {
    let cut = |error: io::Error| RowFailure::Backup(error.to_string());
    let mut head = [0; FRAME_HEAD];
    input.read_exact(&mut head).map_err(cut)?;
    let [kind, length @ ..] = head;
    let kind = match kind {
        b'h' => Kind::Header,
        b'r' => Kind::Revision,
        b'o' => Kind::Object,
        b'k' => Kind::Receipt,
        b'z' => Kind::Hash,
        other => return Err(RowFailure::Backup(format!("a frame of unknown kind {other}"))),
    };
    let length = u64::from(u32::from_le_bytes(length));
    let mut payload = Vec::new();
    // As much as is there, whatever the length promises.
    let read = input.take(length).read_to_end(&mut payload).map_err(cut)?;
    if read as u64 == length {
        return Ok((kind, payload));
    }
    Err(malformed("a frame that is cut off"))
}

/// The hash at the end is that of everything before.
fn check_hash(backup: &Path) -> Result<(), StoreError> {
    let told = |error| io_error(backup, error);
    let mut file = open(backup)?;
    skip_magic(&mut file).map_err(|detail| bad(backup, detail))?;
    let length = file.get_ref().metadata().map_err(told)?.len();
    let hashed = length.saturating_sub(LAST_FRAME);
    file.seek(SeekFrom::Start(0)).map_err(told)?;
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut (&mut file).take(hashed), &mut HashedBy(&mut hasher)).map_err(told)?;
    let cut_off = || bad(backup, "it is cut off, or was altered".to_owned());
    let (kind, hash) = frame(&mut file).map_err(|_| cut_off())?;
    if kind == Kind::Hash && hash == hasher.finalize().as_bytes() {
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
    Err("it does not begin as one".to_owned())
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

/// The last number that the store to be replaced gave, where there is one that tells.
fn last_of(path: &Path) -> Result<Revision, StoreError> {
    if !path.exists() {
        return Ok(Revision::default());
    }
    let opened =
        File::open(path.to_owned(), |_| Ok(())).and_then(|file| file.read(|txn| read_last(&txn.open_table(META)?)));
    match opened {
        Ok(last) => Ok(last),
        Err(error @ StoreError::Locked { .. }) => Err(error),
        // It is replaced because it is damaged.
        Err(_) => Ok(Revision::default()),
    }
}

/// Gives the store another name.
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
