//! The form of records in a store: with a checksum, or sealed under the keys of a key file.
//!
//! Records are sealed with XChaCha20-Poly1305. Its nonces are long enough to be random, so nothing has to be counted across
//! restarts, restores and copies of a store; it is as fast and as safe without help of the processor. The place of a value
//! is authenticated with it: no value can be moved to another place or to another store.

use std::{fmt, path::Path, sync::Arc};

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use prost::Message;
use redb::{ReadTransaction, ReadableTable as _, TableDefinition, TableError, WriteTransaction};
use zeroize::Zeroizing;

use super::{
    address::{Address, Kind},
    failure::Failure,
    records::{Hash, hash_of},
    tables::{FORMAT, META, META_FORMAT, SEALED_FORMAT},
};
use crate::{
    resource::ContentKey,
    revision::{
        StoreError,
        keys::{KeyId, StoreKey, StoreKeys},
        random,
    },
};

/// Rows that are needed to read the store, by name, as stored.
pub(super) type Rows = Vec<(String, Vec<u8>)>;

/// Name → value; some values are sealed.
const VAULT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("vault");
/// The key of the content hashes of secrets.
const CONTENT: &str = "content";
/// In a sealed store: identifies the store.
const IDENTITY: &str = "identity";
/// In a sealed store: the key of the addresses of objects.
const ADDRESSES: &str = "addresses";
/// In a sealed store: the prefix of rows that name the keys in use.
const USED: &str = "used/";

/// The first byte of every sealed value: the version of its form.
const FORM: u8 = 1;
const NONCE: usize = 24;
/// Bytes before the ciphertext: form, key id, nonce.
const HEAD: usize = 1 + KeyId::BYTES + NONCE;
/// The context of the authenticated data.
const CONTEXT: &[u8] = b"chancery store 1";

/// Seals and opens records. The cost grows with the length of the record.
#[derive(Clone)]
pub(super) struct Vault {
    content: ContentKey,
    seals: Option<Arc<Seals>>,
}

/// The secrets of a sealed store.
struct Seals {
    identity: [u8; 16],
    addresses: Zeroizing<[u8; 32]>,
    keys: StoreKeys,
}

/// The place of a record, which is authenticated with it.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// A row of the vault.
    Vault(&'a str),
    Object(&'a Address),
    Revision(&'a str, u64),
    Receipt(&'a str, &'a str),
}

// === impl Vault ===

impl Vault {
    /// Makes the vault of a new store, sealed if there are keys. Pass `content` if the content key is known.
    pub(super) fn make(keys: Option<&StoreKeys>, content: Option<ContentKey>) -> Self {
        Self {
            content: content.unwrap_or_else(|| ContentKey::new(random::key())),
            seals: keys.map(|keys| {
                Arc::new(Seals {
                    identity: random::bytes(),
                    addresses: random::key(),
                    keys: keys.clone(),
                })
            }),
        }
    }

    /// Opens the vault of an existing store. `path` is named in errors.
    pub(super) fn unlock(format: u64, rows: &Rows, keys: Option<&StoreKeys>, path: &Path) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::Damaged {
            path: path.to_owned(),
            detail: format!("{what}, which every reading needs, is missing or not what was written"),
        };
        let row = |name: &str| rows.iter().find_map(|(row, value)| (row == name).then_some(&value[..]));
        let seals = match (format == SEALED_FORMAT, keys) {
            (false, None) => None,
            (false, Some(keys)) => {
                return Err(StoreError::NotSealed {
                    path: path.to_owned(),
                    key_file: keys.file().to_owned(),
                });
            }
            (true, keys) => {
                let keys = expect_keys(rows, keys, path)?.ok_or_else(|| damaged("the list of keys"))?;
                let identity = row(IDENTITY).and_then(|identity| identity.try_into().ok());
                let identity: [u8; 16] = identity.ok_or_else(|| damaged("the identity"))?;
                let sealed = row(ADDRESSES).and_then(|sealed| {
                    let opened = open(keys, &identity, Place::Vault(ADDRESSES), sealed)?;
                    Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
                });
                Some(Arc::new(Seals {
                    identity,
                    addresses: sealed.ok_or_else(|| damaged("the key of the addresses"))?,
                    keys: keys.clone(),
                }))
            }
        };
        let mut vault = Self {
            content: ContentKey::new(random::key()),
            seals,
        };
        match row(CONTENT) {
            Some(sealed) => {
                let opened = vault.open_bytes(Place::Vault(CONTENT), sealed);
                let key = opened.and_then(|opened| Some(Zeroizing::new(opened.as_slice().try_into().ok()?)));
                vault.content = ContentKey::new(key.ok_or_else(|| damaged("the key of content hashes"))?);
            }
            // Older stores have no content key; sealed ones always have one.
            None if vault.seals.is_none() => {}
            None => return Err(damaged("the key of content hashes")),
        }
        Ok(vault)
    }

    /// Returns the rows of this vault that a store lacks.
    pub(super) fn missing(&self, rows: &Rows) -> Rows {
        let mut wanted = vec![(
            CONTENT.to_owned(),
            self.seal_bytes(Place::Vault(CONTENT), self.content.as_bytes()),
        )];
        if let Some(seals) = &self.seals {
            let addresses = self.seal_bytes(Place::Vault(ADDRESSES), &*seals.addresses);
            wanted.push((IDENTITY.to_owned(), seals.identity.to_vec()));
            wanted.push((ADDRESSES.to_owned(), addresses));
            wanted.push((format!("{USED}{}", seals.keys.first().id()), Vec::new()));
        }
        wanted.retain(|(name, _)| !rows.iter().any(|(row, _)| row == name));
        wanted
    }

    /// Returns true if a store lacks more rows than the one that names the first key as used.
    pub(super) fn is_incomplete(&self, rows: &Rows) -> bool {
        self.missing(rows).iter().any(|(name, _)| !name.starts_with(USED))
    }

    /// Writes the rows that the store lacks.
    pub(super) fn complete(&self, txn: &WriteTransaction) -> Result<(), Failure> {
        let mut rows = Rows::new();
        for row in txn.open_table(VAULT)?.iter()? {
            let (name, value) = row?;
            rows.push((name.value().to_owned(), value.value().to_vec()));
        }
        write_rows(txn, &self.missing(&rows))
    }

    /// The format of a store with this vault: releases that cannot open sealed records must not report damage.
    pub(super) const fn format(&self) -> u64 {
        if self.seals.is_some() { SEALED_FORMAT } else { FORMAT }
    }

    pub(super) const fn content_key(&self) -> &ContentKey {
        &self.content
    }

    /// Returns true if every value is sealed with the first of these keys alone, or if nothing is sealed and there are no keys.
    pub(super) fn is_under(&self, keys: Option<&StoreKeys>, rows: &Rows) -> bool {
        match (&self.seals, keys) {
            (None, None) => true,
            (Some(_), Some(keys)) => used(rows).is_some_and(|used| used == [keys.first().id()]),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// The address of an object: its kind and hash. In a sealed store the hash is keyed, so that it does not reveal content.
    pub(super) fn address(&self, kind: Kind, hash: &Hash) -> Address {
        match &self.seals {
            None => kind.address(*hash),
            Some(seals) => {
                let mut hasher = blake3::Hasher::new_keyed(&seals.addresses);
                hasher.update(&kind.address(*hash));
                let mut address = Hash::default();
                address.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
                kind.address(address)
            }
        }
    }

    /// Encodes and seals a record for its place.
    pub(super) fn seal(&self, place: Place<'_>, record: &impl Message) -> Vec<u8> {
        self.seal_bytes(place, &Zeroizing::new(record.encode_to_vec()))
    }

    /// Opens and decodes a record; `None` if it was not sealed for this place.
    pub(super) fn open<R: Message + Default>(&self, place: Place<'_>, sealed: &[u8]) -> Option<R> {
        R::decode(self.open_bytes(place, sealed)?.as_slice()).ok()
    }

    /// Opens a record without decoding it, to seal it for another vault.
    pub(super) fn open_bytes(&self, place: Place<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match &self.seals {
            None => {
                let (checksum, encoded) = sealed.split_first_chunk::<16>()?;
                (hash_of(encoded) == *checksum).then(|| Zeroizing::new(encoded.to_vec()))
            }
            Some(seals) => open(&seals.keys, &seals.identity, place, sealed),
        }
    }

    pub(super) fn seal_bytes(&self, place: Place<'_>, encoded: &[u8]) -> Vec<u8> {
        match &self.seals {
            None => [&hash_of(encoded)[..], encoded].concat(),
            Some(seals) => seal(seals.keys.first(), &seals.identity, place, encoded),
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.seals.as_ref().map(|seals| &seals.keys);
        f.debug_struct("Vault").field("keys", &keys).finish_non_exhaustive()
    }
}

// === the rows ===

/// Reads the format of a store and the rows of its vault; `None` for an empty database.
pub(super) fn read(txn: &ReadTransaction) -> Result<Option<(u64, Rows)>, Failure> {
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) if txn.list_tables()?.next().is_none() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let format = meta.get(META_FORMAT)?.map(|format| format.value());
    let format = format.ok_or_else(|| Failure::Damaged("it names no format".to_owned()))?;
    Ok(Some((format, read_rows(txn)?)))
}

/// Reads the rows of the vault, sorted by name; none in stores of releases without a vault.
pub(super) fn read_rows(txn: &ReadTransaction) -> Result<Rows, Failure> {
    let table = match txn.open_table(VAULT) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Rows::new()),
        Err(error) => return Err(error.into()),
    };
    let mut rows = Rows::new();
    for row in table.iter()? {
        let (name, value) = row?;
        rows.push((name.value().to_owned(), value.value().to_vec()));
    }
    Ok(rows)
}

/// Adds rows to the vault.
pub(super) fn write_rows(txn: &WriteTransaction, rows: &Rows) -> Result<(), Failure> {
    let mut table = txn.open_table(VAULT)?;
    for (name, value) in rows {
        table.insert(name.as_str(), value.as_slice())?;
    }
    Ok(())
}

/// The ids of the keys that values may be sealed with; `None` if an id is malformed.
fn used(rows: &Rows) -> Option<Vec<KeyId>> {
    let names = rows.iter().filter_map(|(name, _)| name.strip_prefix(USED));
    names.map(KeyId::parse).collect()
}

/// Checks that `keys` has every key that the store needs; `None` if the store does not name its keys.
fn expect_keys<'a>(rows: &Rows, keys: Option<&'a StoreKeys>, path: &Path) -> Result<Option<&'a StoreKeys>, StoreError> {
    let Some(used) = used(rows).filter(|used| !used.is_empty()) else {
        return Ok(None);
    };
    let missing: Vec<KeyId> = match keys {
        Some(keys) => used.into_iter().filter(|id| keys.find(*id).is_none()).collect(),
        None => used,
    };
    if missing.is_empty() {
        return Ok(keys);
    }
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let (path, missing) = (path.to_owned(), missing.join(" and "));
    Err(match keys {
        None => StoreError::KeyNeeded { path, missing },
        Some(keys) => StoreError::KeyMissing {
            path,
            missing,
            key_file: keys.file().to_owned(),
            held: keys.ids(),
        },
    })
}

// === sealing ===

fn seal(key: &StoreKey, identity: &[u8; 16], place: Place<'_>, encoded: &[u8]) -> Vec<u8> {
    let nonce = XNonce::from(random::bytes::<NONCE>());
    let aad = place.authenticated(identity);
    let payload = Payload {
        msg: encoded,
        aad: &aad,
    };
    let sealed = XChaCha20Poly1305::new(key.sealing().into()).encrypt(&nonce, payload);
    let sealed = sealed.expect("a record is far shorter than 256 GiB");
    let mut value = Vec::with_capacity(HEAD + sealed.len());
    value.push(FORM);
    value.extend_from_slice(&key.id().to_bytes());
    value.extend_from_slice(&nonce);
    value.extend_from_slice(&sealed);
    value
}

fn open(keys: &StoreKeys, identity: &[u8; 16], place: Place<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (&form, rest) = sealed.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (nonce, msg) = rest.split_first_chunk::<NONCE>()?;
    let key = keys.find(KeyId::from_bytes(*id)).filter(|_| form == FORM)?;
    let aad = place.authenticated(identity);
    let opened =
        XChaCha20Poly1305::new(key.sealing().into()).decrypt(&XNonce::from(*nonce), Payload { msg, aad: &aad });
    opened.ok().map(Zeroizing::new)
}

// === impl Place ===

impl Place<'_> {
    /// The place as bytes, with the identity of the store; each part has its length, so that no two places are equal.
    fn authenticated(self, identity: &[u8; 16]) -> Vec<u8> {
        let number;
        let (kind, parts): (&[u8], [&[u8]; 2]) = match self {
            Self::Vault(name) => (b"vault", [name.as_bytes(), b""]),
            Self::Object(address) => (b"object", [address, b""]),
            Self::Revision(group, revision) => {
                number = revision.to_le_bytes();
                (b"revision", [group.as_bytes(), &number])
            }
            Self::Receipt(group, key) => (b"receipt", [group.as_bytes(), key.as_bytes()]),
        };
        let mut bytes = [CONTEXT, identity].concat();
        for part in [kind, parts[0], parts[1]] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
