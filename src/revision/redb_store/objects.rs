//! Content-addressed objects with reference counts: a list holds chapters, a chapter pages, a page entries, each the name of
//! a resource.
//!
//! The revisions of a group follow one another, and most objects are in many of them. What is counted are the runs: an object
//! is held where a revision has it that the one before had not, and released where the one behind has it no longer. So a
//! publish and the forgetting of a revision cost what the two neighbours do not share.

use std::{collections::HashSet, sync::Arc};

use prost::Message;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::records::{
    ChapterRecord, EntryRecord, Hash, ListRecord, PageRecord, ResourceRecord, hashes, joined, seal, unseal,
};
use crate::{resource::Resource, snapshot::TypeResources};

/// The kind of the object, then its hash.
pub(super) type Key = [u8; 17];

/// Object → its sealed record.
pub(super) const OBJECTS: TableDefinition<'static, &Key, &[u8]> = TableDefinition::new("objects");
/// Object → in how many runs of revisions it is.
pub(super) const REFERENCES: TableDefinition<'static, &Key, u64> = TableDefinition::new("references");

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Chapter,
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
    pub(super) fn key(self, hash: Hash) -> Key {
        let mut key = [0; 17];
        key[0] = match self {
            Self::List => b'l',
            Self::Chapter => b'c',
            Self::Page => b'p',
            Self::Resource => b'r',
        };
        key[1..].copy_from_slice(&hash);
        key
    }

    /// Whether an object of such a key may be what is sealed under it.
    pub(super) fn is_sound(key: &Key, sealed: &[u8]) -> bool {
        match key[0] {
            b'l' => unseal::<ListRecord>(sealed).is_some(),
            b'c' => unseal::<ChapterRecord>(sealed).is_some(),
            b'p' => unseal::<PageRecord>(sealed).is_some(),
            b'r' => unseal::<ResourceRecord>(sealed).is_some(),
            _ => false,
        }
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

    /// Holds what `resources` have and the list `before` has not, and stores what is new of it; the hash names the list.
    pub(super) fn hold(&mut self, resources: &TypeResources, before: Option<Hash>) -> Result<Hash, ObjectError> {
        let list = resources.content_hash().to_bytes();
        if before == Some(list) {
            return Ok(list);
        }
        let chapters = || resources.chapters().iter().map(|chapter| chapter.hash());
        self.count_up(Kind::List, list, || ListRecord {
            chapters: joined(chapters()),
        })?;

        let old = chapters_in(&self.objects, before)?;
        let (new, old) = apart(resources.chapters().iter(), |chapter| chapter.hash().to_bytes(), old);
        for chapter in &new {
            let pages = || chapter.pages().iter().map(|page| page.hash());
            self.count_up(Kind::Chapter, chapter.hash().to_bytes(), || ChapterRecord {
                pages: joined(pages()),
            })?;
        }

        let old = pages_in(&self.objects, &old)?;
        let pages = new.into_iter().flat_map(|chapter| chapter.pages());
        let (new, old) = apart(pages, |page| page.hash().to_bytes(), old);
        for page in &new {
            let entries = || page.items().iter().map(|resource| EntryRecord::new(resource)).collect();
            self.count_up(Kind::Page, page.hash().to_bytes(), || PageRecord { entries: entries() })?;
        }

        let old = contents_in(&self.objects, &old)?;
        let contents = new.into_iter().flat_map(|page| page.items());
        let (new, _) = apart(contents, |resource| resource.content.to_bytes(), old);
        for resource in new {
            let record = || ResourceRecord::new(resource);
            self.count_up(Kind::Resource, resource.content.to_bytes(), record)?;
        }
        Ok(list)
    }

    /// Releases what the list has and the list `after` has not.
    pub(super) fn release(&mut self, list: Hash, after: Option<Hash>) -> Result<(), ObjectError> {
        for (kind, hash) in unshared(&self.objects, list, after)? {
            self.count_down(kind, hash)?;
        }
        Ok(())
    }

    fn count_up<R: Message>(&mut self, kind: Kind, hash: Hash, record: impl FnOnce() -> R) -> Result<(), ObjectError> {
        let key = kind.key(hash);
        let held = self.references.get(&key)?.map_or(0, |count| count.value());
        self.references.insert(&key, held + 1)?;
        if held == 0 {
            self.objects.insert(&key, seal(&record()).as_slice())?;
        }
        Ok(())
    }

    fn count_down(&mut self, kind: Kind, hash: Hash) -> Result<(), ObjectError> {
        let key = kind.key(hash);
        let held = self.references.get(&key)?.map_or(0, |count| count.value());
        if held > 1 {
            self.references.insert(&key, held - 1)?;
            return Ok(());
        }
        self.references.remove(&key)?;
        let object = self.objects.remove(&key)?;
        object.map(drop).ok_or_else(|| kind.damaged(hash))
    }
}

/// What a list has, itself included, and another has not.
pub(super) fn unshared(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    list: Hash,
    other: Option<Hash>,
) -> Result<Vec<(Kind, Hash)>, ObjectError> {
    if other == Some(list) {
        return Ok(Vec::new());
    }
    let chapters = (chapters_in(objects, Some(list))?, chapters_in(objects, other)?);
    let (chapters, rest) = apart(chapters.0, |hash| *hash, chapters.1);
    let (pages, rest) = apart(pages_in(objects, &chapters)?, |hash| *hash, pages_in(objects, &rest)?);
    let contents = (contents_in(objects, &pages)?, contents_in(objects, &rest)?);
    let (contents, _) = apart(contents.0, |hash| *hash, contents.1);
    let of = |kind: Kind, hashes: Vec<Hash>| hashes.into_iter().map(move |hash| (kind, hash));
    Ok(of(Kind::List, vec![list])
        .chain(of(Kind::Chapter, chapters))
        .chain(of(Kind::Page, pages))
        .chain(of(Kind::Resource, contents))
        .collect())
}

fn chapters_in(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    list: Option<Hash>,
) -> Result<Vec<Hash>, ObjectError> {
    list.map_or_else(|| Ok(Vec::new()), |list| chapters_of(objects, list))
}

fn pages_in(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    chapters: &[Hash],
) -> Result<Vec<Hash>, ObjectError> {
    let mut pages = Vec::new();
    for chapter in chapters {
        pages.extend(pages_of(objects, *chapter)?);
    }
    Ok(pages)
}

fn contents_in(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    pages: &[Hash],
) -> Result<Vec<Hash>, ObjectError> {
    let mut contents = Vec::new();
    for page in pages {
        for (_, content) in entries_of(objects, *page)? {
            contents.push(content);
        }
    }
    Ok(contents)
}

/// The resources of a list, in its order.
pub(super) fn read_list(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    list: Hash,
) -> Result<Vec<Arc<Resource>>, ObjectError> {
    let mut resources = Vec::new();
    for chapter in chapters_of(objects, list)? {
        for page in pages_of(objects, chapter)? {
            for (entry, content) in entries_of(objects, page)? {
                let record: ResourceRecord = read(objects, Kind::Resource, content)?;
                let resource = record.resource(&entry);
                resources.push(resource.ok_or_else(|| Kind::Resource.damaged(content))?);
            }
        }
    }
    Ok(resources)
}

fn chapters_of(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    list: Hash,
) -> Result<Vec<Hash>, ObjectError> {
    let record: ListRecord = read(objects, Kind::List, list)?;
    hashes(&record.chapters).ok_or_else(|| Kind::List.damaged(list))
}

fn pages_of(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    chapter: Hash,
) -> Result<Vec<Hash>, ObjectError> {
    let record: ChapterRecord = read(objects, Kind::Chapter, chapter)?;
    hashes(&record.pages).ok_or_else(|| Kind::Chapter.damaged(chapter))
}

/// The entries of a page, each with the content it names.
fn entries_of(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    page: Hash,
) -> Result<Vec<(EntryRecord, Hash)>, ObjectError> {
    let record: PageRecord = read(objects, Kind::Page, page)?;
    let entries = record.entries.into_iter().map(|entry| {
        let content = entry.content().ok_or_else(|| Kind::Page.damaged(page))?;
        Ok((entry, content))
    });
    entries.collect()
}

fn read<R: Message + Default>(
    objects: &impl ReadableTable<&'static Key, &'static [u8]>,
    kind: Kind,
    hash: Hash,
) -> Result<R, ObjectError> {
    let sealed = objects.get(&kind.key(hash))?;
    let record = sealed.and_then(|sealed| unseal(sealed.value()));
    record.ok_or_else(|| kind.damaged(hash))
}

/// What only the one side has, and what only the other.
fn apart<T>(one: impl IntoIterator<Item = T>, hash: impl Fn(&T) -> Hash, other: Vec<Hash>) -> (Vec<T>, Vec<Hash>) {
    let mut unmatched: HashSet<Hash> = other.into_iter().collect();
    let mut only_one = Vec::new();
    for part in one {
        if !unmatched.remove(&hash(&part)) {
            only_one.push(part);
        }
    }
    (only_one, unmatched.into_iter().collect())
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
