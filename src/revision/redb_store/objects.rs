//! Content-addressed objects with reference counts: lists of pages, pages of entries, resources.
//!
//! A revision holds lists, a list its pages, a page its resources. Only a new object counts what it holds, so what a publish
//! costs is what it changes, and what no kept revision holds is gone with the last that did.

use std::sync::Arc;

use prost::Message;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::records::{EntryRecord, Hash, ListRecord, PageRecord, ResourceRecord, hash_of, hashes, seal, unseal};
use crate::{resource::Resource, snapshot::TypeResources};

/// The kind of the object, then its hash.
type Key = [u8; 17];

/// Object → its sealed record.
pub(super) const OBJECTS: TableDefinition<'static, &Key, &[u8]> = TableDefinition::new("objects");
/// Object → how many objects and revisions hold it.
pub(super) const REFERENCES: TableDefinition<'static, &Key, u64> = TableDefinition::new("references");

/// A page ends behind a name whose hash says so: on average every 64 names, wherever names are added or removed before.
const PAGE_MASK: u8 = 63;
/// Pages end here at the latest.
const PAGE_LIMIT: usize = 512;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Page,
    Resource,
}

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    #[error(transparent)]
    Storage(#[from] redb::StorageError),
    #[error("{kind:?} {} is missing or not what was written", hex(.hash))]
    Damaged { kind: Kind, hash: Hash },
}

/// The two tables, open for writing.
pub(super) struct Objects<'txn> {
    objects: Table<'txn, &'static Key, &'static [u8]>,
    references: Table<'txn, &'static Key, u64>,
}

// === impl Kind ===

impl Kind {
    fn key(self, hash: Hash) -> Key {
        let mut key = [0; 17];
        key[0] = match self {
            Self::List => b'l',
            Self::Page => b'p',
            Self::Resource => b'r',
        };
        key[1..].copy_from_slice(&hash);
        key
    }

    const fn damaged(self, hash: Hash) -> ObjectError {
        ObjectError::Damaged { kind: self, hash }
    }
}

// === impl Objects ===

impl<'txn> Objects<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::TableError> {
        Ok(Self {
            objects: txn.open_table(OBJECTS)?,
            references: txn.open_table(REFERENCES)?,
        })
    }

    /// Stores what is new of a type's resources and holds them once more; the hash names the list.
    pub(super) fn hold_list(&mut self, resources: &TypeResources) -> Result<Hash, ObjectError> {
        let pages: Vec<(&[Arc<Resource>], PageRecord)> = pages(resources.as_slice())
            .map(|page| {
                let entries = page.iter().map(|resource| EntryRecord::new(resource)).collect();
                (page, PageRecord { entries })
            })
            .collect();
        let page_hashes: Vec<Hash> = pages
            .iter()
            .map(|(_, record)| hash_of(&record.encode_to_vec()))
            .collect();
        let list = ListRecord {
            pages: page_hashes.concat(),
        };
        let hash = hash_of(&list.encode_to_vec());
        if self.hold(Kind::List, hash, || seal(&list))? {
            for ((page, record), hash) in pages.into_iter().zip(page_hashes) {
                self.hold_page(page, &record, hash)?;
            }
        }
        Ok(hash)
    }

    fn hold_page(&mut self, page: &[Arc<Resource>], record: &PageRecord, hash: Hash) -> Result<(), ObjectError> {
        if self.hold(Kind::Page, hash, || seal(record))? {
            for resource in page {
                self.hold(Kind::Resource, resource.content.to_bytes(), || {
                    seal(&ResourceRecord::new(resource))
                })?;
            }
        }
        Ok(())
    }

    /// Counts one more holder; whether the object is new.
    fn hold(&mut self, kind: Kind, hash: Hash, sealed: impl FnOnce() -> Vec<u8>) -> Result<bool, ObjectError> {
        let key = kind.key(hash);
        let held = self.references.get(&key)?.map_or(0, |count| count.value());
        self.references.insert(&key, held + 1)?;
        if held == 0 {
            self.objects.insert(&key, sealed().as_slice())?;
        }
        Ok(held == 0)
    }

    /// Undoes one [`Objects::hold_list`].
    pub(super) fn release_list(&mut self, hash: Hash) -> Result<(), ObjectError> {
        let Some(sealed) = self.release(Kind::List, hash)? else {
            return Ok(());
        };
        for page in pages_of(&sealed, hash)? {
            let Some(sealed) = self.release(Kind::Page, page)? else {
                continue;
            };
            for entry in entries_of(&sealed, page)? {
                let content = entry.content().ok_or_else(|| Kind::Page.damaged(page))?;
                self.release(Kind::Resource, content)?;
            }
        }
        Ok(())
    }

    /// Counts one holder less; the object, where that was the last.
    fn release(&mut self, kind: Kind, hash: Hash) -> Result<Option<Vec<u8>>, ObjectError> {
        let key = kind.key(hash);
        let held = self.references.get(&key)?.map_or(0, |count| count.value());
        if held > 1 {
            self.references.insert(&key, held - 1)?;
            return Ok(None);
        }
        self.references.remove(&key)?;
        let sealed = self.objects.remove(&key)?;
        let sealed = sealed.ok_or_else(|| kind.damaged(hash))?;
        Ok(Some(sealed.value().to_vec()))
    }
}

/// The resources of a list, in its order.
pub(super) fn read_list(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    hash: Hash,
) -> Result<Vec<Arc<Resource>>, ObjectError> {
    let read = |kind: Kind, hash: Hash| -> Result<Vec<u8>, ObjectError> {
        let sealed = objects.get(&kind.key(hash))?;
        Ok(sealed.ok_or_else(|| kind.damaged(hash))?.value().to_vec())
    };
    let mut resources = Vec::new();
    for page in pages_of(&read(Kind::List, hash)?, hash)? {
        for entry in entries_of(&read(Kind::Page, page)?, page)? {
            let content = entry.content().ok_or_else(|| Kind::Page.damaged(page))?;
            let record: Option<ResourceRecord> = unseal(&read(Kind::Resource, content)?);
            let resource = record.and_then(|record| record.resource(&entry));
            resources.push(resource.ok_or_else(|| Kind::Resource.damaged(content))?);
        }
    }
    Ok(resources)
}

fn pages_of(sealed: &[u8], list: Hash) -> Result<Vec<Hash>, ObjectError> {
    unseal::<ListRecord>(sealed)
        .and_then(|record| hashes(&record.pages))
        .ok_or_else(|| Kind::List.damaged(list))
}

fn entries_of(sealed: &[u8], page: Hash) -> Result<Vec<EntryRecord>, ObjectError> {
    unseal::<PageRecord>(sealed)
        .map(|record| record.entries)
        .ok_or_else(|| Kind::Page.damaged(page))
}

/// Cuts a sorted list where names say so, so that a change moves no other page's bounds.
fn pages(mut rest: &[Arc<Resource>]) -> impl Iterator<Item = &[Arc<Resource>]> {
    std::iter::from_fn(move || {
        let window = &rest[..rest.len().min(PAGE_LIMIT)];
        let end = window.iter().position(|resource| ends_page(resource));
        let (page, after) = rest.split_at(end.map_or(window.len(), |end| end + 1));
        rest = after;
        (!page.is_empty()).then_some(page)
    })
}

fn ends_page(resource: &Resource) -> bool {
    hash_of(resource.name.as_str().as_bytes())[0] & PAGE_MASK == 0
}

// === impl ObjectError ===

impl From<ObjectError> for redb::Error {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Storage(error) => error.into(),
            damaged @ ObjectError::Damaged { .. } => Self::Corrupted(damaged.to_string()),
        }
    }
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
