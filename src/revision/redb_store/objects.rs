//! Content-addressed objects with reference counts: a list holds inner nodes, an inner node leaves, a leaf entries, and an
//! entry names a resource. These are the parts of a prolly tree, which `src/snapshot/tree.rs` explains.
//!
//! Most objects are in many revisions of a group. The count of an object is the number of runs of consecutive revisions that
//! have it: a revision holds an object that the one before lacks, and releases an object that the one after lacks. So
//! adding or dropping a revision costs only the difference between neighbours.

use std::{collections::HashSet, sync::Arc};

use prost::Message;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    address::{Address, Kind},
    records::{EntryRecord, Hash, InnerRecord, LeafRecord, ListRecord, ResourceRecord, hashes, joined},
    vault::{Place, Vault},
};
use crate::{resource::Resource, snapshot::TypeResources};

/// Object → its sealed record.
pub(super) const OBJECTS: TableDefinition<'static, &Address, &[u8]> = TableDefinition::new("objects");
/// Object → the number of runs of revisions that have it.
pub(super) const REFERENCES: TableDefinition<'static, &Address, u64> = TableDefinition::new("references");

/// The reason why an object cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    #[error(transparent)]
    Storage(#[from] redb::StorageError),
    #[error("{kind:?} {} is missing or not what was written", hex(.hash))]
    Damaged { kind: Kind, hash: Hash },
}

/// Reads objects.
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

    /// Holds the objects that `resources` has and the list `before` lacks, and stores the new ones; returns the hash of the list.
    pub(super) fn hold(&mut self, resources: &TypeResources, before: Option<Hash>) -> Result<Hash, ObjectError> {
        let list = resources.content_hash().to_bytes();
        if before == Some(list) {
            return Ok(list);
        }
        let inner_nodes = || resources.inner_nodes().iter().map(|inner| inner.hash());
        self.count_up(Kind::List, list, || ListRecord {
            inner_nodes: joined(inner_nodes()),
        })?;

        let old = self.reader().inner_nodes_in(before)?;
        let (new, old) = apart(resources.inner_nodes().iter(), |inner| inner.hash().to_bytes(), old);
        for inner in &new {
            let leaves = || inner.leaves().iter().map(|leaf| leaf.hash());
            self.count_up(Kind::Inner, inner.hash().to_bytes(), || InnerRecord {
                leaves: joined(leaves()),
            })?;
        }

        let old = self.reader().leaves_in(&old)?;
        let leaves = new.into_iter().flat_map(|inner| inner.leaves());
        let (new, old) = apart(leaves, |leaf| leaf.hash().to_bytes(), old);
        for leaf in &new {
            let entries = || leaf.items().iter().map(|resource| EntryRecord::new(resource)).collect();
            self.count_up(Kind::Leaf, leaf.hash().to_bytes(), || LeafRecord { entries: entries() })?;
        }

        let old = self.reader().contents_in(&old)?;
        let contents = new.into_iter().flat_map(|leaf| leaf.items());
        let (new, _) = apart(contents, |resource| resource.content.to_bytes(), old);
        for resource in new {
            let record = || ResourceRecord::new(resource);
            self.count_up(Kind::Resource, resource.content.to_bytes(), record)?;
        }
        Ok(list)
    }

    /// Releases the objects that `list` has and the list `after` lacks.
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
    /// Returns the objects that `list` has and `other` lacks, the list itself included.
    pub(super) fn unshared(&self, list: Hash, other: Option<Hash>) -> Result<Vec<(Kind, Hash)>, ObjectError> {
        if other == Some(list) {
            return Ok(Vec::new());
        }
        let inner_nodes = (self.inner_nodes_in(Some(list))?, self.inner_nodes_in(other)?);
        let (inner_nodes, rest) = apart(inner_nodes.0, |hash| *hash, inner_nodes.1);
        let (leaves, rest) = apart(self.leaves_in(&inner_nodes)?, |hash| *hash, self.leaves_in(&rest)?);
        let contents = (self.contents_in(&leaves)?, self.contents_in(&rest)?);
        let (contents, _) = apart(contents.0, |hash| *hash, contents.1);
        let of = |kind: Kind, hashes: Vec<Hash>| hashes.into_iter().map(move |hash| (kind, hash));
        Ok(of(Kind::List, vec![list])
            .chain(of(Kind::Inner, inner_nodes))
            .chain(of(Kind::Leaf, leaves))
            .chain(of(Kind::Resource, contents))
            .collect())
    }

    /// Returns the resources of a list, in its order.
    pub(super) fn read_list(&self, list: Hash) -> Result<Vec<Arc<Resource>>, ObjectError> {
        let mut resources = Vec::new();
        for inner in self.inner_nodes_of(list)? {
            for leaf in self.leaves_of(inner)? {
                for (entry, content) in self.entries_of(leaf)? {
                    let record: ResourceRecord = self.read(Kind::Resource, content)?;
                    let resource = record.resource(&entry);
                    resources.push(resource.ok_or_else(|| Kind::Resource.damaged(content))?);
                }
            }
        }
        Ok(resources)
    }

    fn inner_nodes_in(&self, list: Option<Hash>) -> Result<Vec<Hash>, ObjectError> {
        list.map_or_else(|| Ok(Vec::new()), |list| self.inner_nodes_of(list))
    }

    fn leaves_in(&self, inner_nodes: &[Hash]) -> Result<Vec<Hash>, ObjectError> {
        let mut leaves = Vec::new();
        for inner in inner_nodes {
            leaves.extend(self.leaves_of(*inner)?);
        }
        Ok(leaves)
    }

    fn contents_in(&self, leaves: &[Hash]) -> Result<Vec<Hash>, ObjectError> {
        let mut contents = Vec::new();
        for leaf in leaves {
            for (_, content) in self.entries_of(*leaf)? {
                contents.push(content);
            }
        }
        Ok(contents)
    }

    fn inner_nodes_of(&self, list: Hash) -> Result<Vec<Hash>, ObjectError> {
        let record: ListRecord = self.read(Kind::List, list)?;
        hashes(&record.inner_nodes).ok_or_else(|| Kind::List.damaged(list))
    }

    fn leaves_of(&self, inner: Hash) -> Result<Vec<Hash>, ObjectError> {
        let record: InnerRecord = self.read(Kind::Inner, inner)?;
        hashes(&record.leaves).ok_or_else(|| Kind::Inner.damaged(inner))
    }

    /// Returns the entries of a leaf, each with the content that it names.
    fn entries_of(&self, leaf: Hash) -> Result<Vec<(EntryRecord, Hash)>, ObjectError> {
        let record: LeafRecord = self.read(Kind::Leaf, leaf)?;
        let entries = record.entries.into_iter().map(|entry| {
            let content = entry.content().ok_or_else(|| Kind::Leaf.damaged(leaf))?;
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

/// Returns true if the record opens and decodes as the kind of its address.
pub(super) fn is_sound(vault: &Vault, address: &Address, sealed: &[u8]) -> bool {
    let place = Place::Object(address);
    match Kind::of(address) {
        Some(Kind::List) => vault.open::<ListRecord>(place, sealed).is_some(),
        Some(Kind::Inner) => vault.open::<InnerRecord>(place, sealed).is_some(),
        Some(Kind::Leaf) => vault.open::<LeafRecord>(place, sealed).is_some(),
        Some(Kind::Resource) => vault.open::<ResourceRecord>(place, sealed).is_some(),
        None => false,
    }
}

/// Returns the items that only one side has, for both sides.
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
