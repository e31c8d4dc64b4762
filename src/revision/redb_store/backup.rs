//! Backups: a store as one file that proves its own completeness.
//!
//! A backup is a line with its format, then frames: a kind, a length and a record each. The last frame is the hash of
//! everything before it. Records are copied as they are stored, so that a restored store is equal bit for bit, and the
//! backup of a sealed store can be read with its keys alone.

use std::io::Write;

use prost::Message;
use redb::{ReadTransaction, ReadableTable as _};

use super::{
    failure::Failure,
    objects::{OBJECTS, REFERENCES},
    receipts::{RECEIPT_ORDER, RECEIPTS},
    tables::{META, REVISIONS, read_last},
    vault::{self, Vault},
};

/// The first bytes of every backup, with the version of its form.
pub(super) const MAGIC: &[u8] = b"chancery backup 1\n";
/// Bytes of a frame's kind and length.
pub(super) const FRAME_HEAD: usize = 5;
/// Bytes of the last frame: head and hash.
pub(super) const LAST_FRAME: u64 = 5 + 32;
#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    /// The format of the store.
    #[prost(uint64, tag = "1")]
    pub(super) format: u64,
    #[prost(uint64, tag = "2")]
    pub(super) last: u64,
    /// The rows of the vault; none in backups of earlier releases.
    #[prost(message, repeated, tag = "3")]
    pub(super) vault: Vec<VaultRow>,
}

/// One row of the vault.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct VaultRow {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// One row of a table.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Row {
    #[prost(string, tag = "1")]
    pub(super) group: String,
    #[prost(uint64, tag = "2")]
    pub(super) number: u64,
    /// The key of a receipt, or the address of an object.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) sealed: Vec<u8>,
}

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FrameKind {
    Header = b'h',
    Revision = b'r',
    /// `number` is the reference count.
    Object = b'o',
    Receipt = b'k',
    Hash = b'z',
}

/// Writes frames and hashes them.
struct Frames<'a> {
    to: &'a mut dyn Write,
    hasher: blake3::Hasher,
}

/// Writes one state of the store.
pub(super) fn write(txn: &ReadTransaction, vault: &Vault, to: &mut dyn Write) -> Result<(), Failure> {
    let mut frames = Frames {
        to,
        hasher: blake3::Hasher::new(),
    };
    frames.bytes(MAGIC)?;
    let last = read_last(&txn.open_table(META)?)?;
    frames.frame(
        FrameKind::Header,
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
            FrameKind::Object,
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
            FrameKind::Revision,
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
            FrameKind::Receipt,
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

    fn frame(&mut self, kind: FrameKind, record: &impl Message) -> Result<(), Failure> {
        let encoded = record.encode_to_vec();
        self.head(kind, encoded.len())?;
        self.bytes(&encoded)
    }

    fn head(&mut self, kind: FrameKind, length: usize) -> Result<(), Failure> {
        let too_long = |_| Failure::Damaged(format!("a record of {length} bytes"));
        let length = u32::try_from(length).map_err(too_long)?;
        self.bytes(&[kind as u8])?;
        self.bytes(&length.to_le_bytes())
    }

    fn end(mut self) -> Result<(), Failure> {
        let hash = self.hasher.finalize();
        self.head(FrameKind::Hash, hash.as_bytes().len())?;
        self.bytes(hash.as_bytes())?;
        self.to.flush().map_err(Failure::Interrupted)
    }
}
