//! Content-addressed objects with reference counts: a list holds chapters, a chapter pages, a page entries, each the name of
//! a resource.
//!
//! The revisions of a group follow one another, and most objects are in many of them. What is counted are the runs: an object
//! is held where a revision has it that the one before had not, and released where the one behind has it no longer. So a
//! publish and the forgetting of a revision cost what the two neighbours do not share.

use std::{collections::HashSet, sync::Arc};

use prost::Message;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    address::{Address, Kind},
    records::{ChapterRecord, EntryRecord, Hash, ListRecord, PageRecord, ResourceRecord, hashes, joined},
    vault::{Place, Vault},
};
use crate::{resource::Resource, snapshot::TypeResources};

/// Object → its sealed record.
pub(super) const OBJECTS: TableDefinition<'static, &Address, &[u8]> = TableDefinition::new("objects");
/// Object → in how many runs of revisions it is.
pub(super) const REFERENCES: TableDefinition<'static, &Address, u64> = TableDefinition::new("references");

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    #[error(transparent)]
    Storage(#[from] redb::StorageError),
    #[error("{kind:?} {} is missing or not what was written", hex(.hash))]
    Damaged { kind: Kind, hash: Hash },
}

/// Objects, to look into them.
pub(super) struct Reader<'a, T> {
    objects: &'a T,
    vault: &'a Vault,
}

/// The two tables, open for writing.
pub(super) struct Objects<'txn> {
    vault: &'txn Vault,
    objects: Table<'txn, &'static Address, &'static [u8]>,
    references: Table<'txn, &'static Address, u64>,
}

// === impl Objects ===

impl<'txn> Objects<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction, vault: &'txn Vault) -> Result<Self, redb::TableError> {
        Ok(Self {
            vault,
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
        let chapters = || resources.inner_nodes().iter().map(|chapter| chapter.hash());
        self.count_up(Kind::List, list, || ListRecord {
            chapters: joined(chapters()),
        })?;

        let old = self.reader().chapters_in(before)?;
        let (new, old) = apart(resources.inner_nodes().iter(), |chapter| chapter.hash().to_bytes(), old);
        for chapter in &new {
            let pages = || chapter.leaves().iter().map(|page| page.hash());
            self.count_up(Kind::Chapter, chapter.hash().to_bytes(), || ChapterRecord {
                pages: joined(pages()),
            })?;
        }

        let old = self.reader().pages_in(&old)?;
        let pages = new.into_iter().flat_map(|chapter| chapter.leaves());
        let (new, old) = apart(pages, |page| page.hash().to_bytes(), old);
        for page in &new {
            let entries = || page.items().iter().map(|resource| EntryRecord::new(resource)).collect();
            self.count_up(Kind::Page, page.hash().to_bytes(), || PageRecord { entries: entries() })?;
        }

        let old = self.reader().contents_in(&old)?;
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
        for (kind, hash) in self.reader().unshared(list, after)? {
            self.count_down(kind, hash)?;
        }
        Ok(())
    }

    const fn reader(&self) -> Reader<'_, Table<'txn, &'static Address, &'static [u8]>> {
        Reader::new(&self.objects, self.vault)
    }

    fn count_up<R: Message>(&mut self, kind: Kind, hash: Hash, record: impl FnOnce() -> R) -> Result<(), ObjectError> {
        let address = self.vault.address(kind, &hash);
        let held = self.references.get(&address)?.map_or(0, |count| count.value());
        self.references.insert(&address, held + 1)?;
        if held == 0 {
            let sealed = self.vault.seal(Place::Object(&address), &record());
            self.objects.insert(&address, sealed.as_slice())?;
        }
        Ok(())
    }

    fn count_down(&mut self, kind: Kind, hash: Hash) -> Result<(), ObjectError> {
        let address = self.vault.address(kind, &hash);
        let held = self.references.get(&address)?.map_or(0, |count| count.value());
        if held > 1 {
            self.references.insert(&address, held - 1)?;
            return Ok(());
        }
        self.references.remove(&address)?;
        let object = self.objects.remove(&address)?;
        object.map(drop).ok_or_else(|| kind.damaged(hash))
    }
}

// === impl Reader ===

impl<'a, T> Reader<'a, T> {
    pub(super) const fn new(objects: &'a T, vault: &'a Vault) -> Self {
        Self { objects, vault }
    }
}

impl<T: ReadableTable<&'static Address, &'static [u8]>> Reader<'_, T> {
    /// What a list has, itself included, and another has not.
    pub(super) fn unshared(&self, list: Hash, other: Option<Hash>) -> Result<Vec<(Kind, Hash)>, ObjectError> {
        if other == Some(list) {
            return Ok(Vec::new());
        }
        let chapters = (self.chapters_in(Some(list))?, self.chapters_in(other)?);
        let (chapters, rest) = apart(chapters.0, |hash| *hash, chapters.1);
        let (pages, rest) = apart(self.pages_in(&chapters)?, |hash| *hash, self.pages_in(&rest)?);
        let contents = (self.contents_in(&pages)?, self.contents_in(&rest)?);
        let (contents, _) = apart(contents.0, |hash| *hash, contents.1);
        let of = |kind: Kind, hashes: Vec<Hash>| hashes.into_iter().map(move |hash| (kind, hash));
        Ok(of(Kind::List, vec![list])
            .chain(of(Kind::Chapter, chapters))
            .chain(of(Kind::Page, pages))
            .chain(of(Kind::Resource, contents))
            .collect())
    }

    /// The resources of a list, in its order.
    pub(super) fn read_list(&self, list: Hash) -> Result<Vec<Arc<Resource>>, ObjectError> {
        let mut resources = Vec::new();
        for chapter in self.chapters_of(list)? {
            for page in self.pages_of(chapter)? {
                for (entry, content) in self.entries_of(page)? {
                    let record: ResourceRecord = self.read(Kind::Resource, content)?;
                    let resource = record.resource(&entry);
                    resources.push(resource.ok_or_else(|| Kind::Resource.damaged(content))?);
                }
            }
        }
        Ok(resources)
    }

    fn chapters_in(&self, list: Option<Hash>) -> Result<Vec<Hash>, ObjectError> {
        list.map_or_else(|| Ok(Vec::new()), |list| self.chapters_of(list))
    }

    fn pages_in(&self, chapters: &[Hash]) -> Result<Vec<Hash>, ObjectError> {
        let mut pages = Vec::new();
        for chapter in chapters {
            pages.extend(self.pages_of(*chapter)?);
        }
        Ok(pages)
    }

    fn contents_in(&self, pages: &[Hash]) -> Result<Vec<Hash>, ObjectError> {
        let mut contents = Vec::new();
        for page in pages {
            for (_, content) in self.entries_of(*page)? {
                contents.push(content);
            }
        }
        Ok(contents)
    }

    fn chapters_of(&self, list: Hash) -> Result<Vec<Hash>, ObjectError> {
        let record: ListRecord = self.read(Kind::List, list)?;
        hashes(&record.chapters).ok_or_else(|| Kind::List.damaged(list))
    }

    fn pages_of(&self, chapter: Hash) -> Result<Vec<Hash>, ObjectError> {
        let record: ChapterRecord = self.read(Kind::Chapter, chapter)?;
        hashes(&record.pages).ok_or_else(|| Kind::Chapter.damaged(chapter))
    }

    /// The entries of a page, each with the content it names.
    fn entries_of(&self, page: Hash) -> Result<Vec<(EntryRecord, Hash)>, ObjectError> {
        let record: PageRecord = self.read(Kind::Page, page)?;
        let entries = record.entries.into_iter().map(|entry| {
            let content = entry.content().ok_or_else(|| Kind::Page.damaged(page))?;
            Ok((entry, content))
        });
        entries.collect()
    }

    fn read<R: Message + Default>(&self, kind: Kind, hash: Hash) -> Result<R, ObjectError> {
        let address = self.vault.address(kind, &hash);
        let sealed = self.objects.get(&address)?;
        let record = sealed.and_then(|sealed| self.vault.open(Place::Object(&address), sealed.value()));
        record.ok_or_else(|| kind.damaged(hash))
    }
}

/// Whether an object of such an address may be what is sealed under it.
pub(super) fn is_sound(vault: &Vault, address: &Address, sealed: &[u8]) -> bool {
    let place = Place::Object(address);
    match Kind::of(address) {
        Some(Kind::List) => vault.open::<ListRecord>(place, sealed).is_some(),
        Some(Kind::Chapter) => vault.open::<ChapterRecord>(place, sealed).is_some(),
        Some(Kind::Page) => vault.open::<PageRecord>(place, sealed).is_some(),
        Some(Kind::Resource) => vault.open::<ResourceRecord>(place, sealed).is_some(),
        None => false,
    }
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

// === impl Kind ===

impl Kind {
    pub(super) const fn damaged(self, hash: Hash) -> ObjectError {
        ObjectError::Damaged { kind: self, hash }
    }
}

// === impl ObjectError ===

impl From<(Kind, Hash)> for ObjectError {
    fn from((kind, hash): (Kind, Hash)) -> Self {
        kind.damaged(hash)
    }
}

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
