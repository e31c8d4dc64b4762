//! Checks that a store is consistent: every referenced object exists, is intact, and has the right count.

use std::collections::{BTreeSet, HashMap};

use redb::{ReadTransaction, ReadableTable as _};

use super::{
    address::Kind,
    failure::Failure,
    history::{damaged_revision, open_revision, read_all},
    objects::{OBJECTS, REFERENCES, Reader, is_sound},
    receipts::{RECEIPT_ORDER, RECEIPTS, receipt},
    records::{Hash, RevisionRecord},
    tables::{META, REVISIONS, read_last},
    vault::Vault,
};
use crate::snapshot::Revision;

/// The contents of a store or a backup, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Groups with a history, deleted ones included.
    pub groups: u64,
    /// Kept revisions of all groups.
    pub revisions: u64,
    /// Resources of all revisions; equal ones count once.
    pub resources: u64,
    /// Receipts of publishes with an idempotency key.
    pub receipts: u64,
    /// The largest revision ever made.
    pub last: Revision,
}

/// Reads and checks the whole store.
pub(super) fn verify(txn: &ReadTransaction, vault: &Vault) -> Result<Contents, Failure> {
    // Reads every group's newest revision, resource by resource.
    read_all(txn, vault)?;
    let mut contents = Contents {
        last: read_last(&txn.open_table(META)?)?,
        ..Contents::default()
    };
    let expected = references(txn, vault, &mut contents)?;
    objects(txn, vault, &expected, &mut contents)?;
    receipts(txn, vault, &mut contents)?;
    Ok(contents)
}

/// The count of each object.
type Counts = HashMap<(Kind, Hash), u64>;

/// Every object of the revisions, with the count that it must have.
pub(super) fn counts(txn: &ReadTransaction, vault: &Vault) -> Result<Counts, Failure> {
    let mut contents = Contents {
        last: read_last(&txn.open_table(META)?)?,
        ..Contents::default()
    };
    references(txn, vault, &mut contents)
}

fn references(txn: &ReadTransaction, vault: &Vault, contents: &mut Contents) -> Result<Counts, Failure> {
    let objects = txn.open_table(OBJECTS)?;
    let reader = Reader::new(&objects, vault);
    let mut expected = Counts::new();
    let mut before: Option<RevisionRecord> = None;
    for row in txn.open_table(REVISIONS)?.iter()? {
        let (key, sealed) = row?;
        let (key, record) = (key.value(), open_revision(vault, key.value(), sealed.value())?);
        if key.1 > contents.last.0 {
            let last = contents.last;
            return Err(Failure::Damaged(format!(
                "revision {} of group \"{}\" is behind the last one, {last}",
                key.1, key.0
            )));
        }
        before = before.filter(|before| before.group == record.group);
        contents.revisions += 1;
        contents.groups += u64::from(before.is_none());
        for found in &record.types {
            let list: Hash = found.list().ok_or_else(|| damaged_revision(key))?;
            let old = before.as_ref().and_then(|before| before.list(&found.type_url));
            for object in reader.unshared(list, old)? {
                *expected.entry(object).or_default() += 1;
            }
        }
        before = Some(record);
    }
    Ok(expected)
}

/// Checks that the objects are exactly the expected ones, intact and counted right.
fn objects(txn: &ReadTransaction, vault: &Vault, expected: &Counts, contents: &mut Contents) -> Result<(), Failure> {
    let expected: HashMap<_, _> = expected
        .iter()
        .map(|((kind, hash), count)| (vault.address(*kind, hash), count))
        .collect();
    let damaged = |what: &str| Failure::Damaged(format!("{what}: its objects and its revisions do not fit together"));
    let references = txn.open_table(REFERENCES)?;
    let mut found = 0;
    for row in txn.open_table(OBJECTS)?.iter()? {
        let (key, sealed) = row?;
        let key = key.value();
        if !is_sound(vault, key, sealed.value()) {
            return Err(damaged("an object is not what was written"));
        }
        let counted = references.get(key)?.map(|count| count.value());
        if counted.is_none() || counted.as_ref() != expected.get(key).copied() {
            return Err(damaged("an object is miscounted"));
        }
        found += 1;
        contents.resources += u64::from(Kind::of(key) == Some(Kind::Resource));
    }
    if found != expected.len() {
        return Err(damaged("an object is missing"));
    }
    Ok(())
}

/// Checks that every receipt is intact and has a place in the order.
fn receipts(txn: &ReadTransaction, vault: &Vault, contents: &mut Contents) -> Result<(), Failure> {
    let mut ordered = BTreeSet::new();
    for row in txn.open_table(RECEIPT_ORDER)?.iter()? {
        let (key, value) = row?;
        ordered.insert((key.value().0.to_owned(), value.value().to_owned()));
    }
    for row in txn.open_table(RECEIPTS)?.iter()? {
        let (key, sealed) = row?;
        let (group, name) = key.value();
        receipt(vault, (group, name), sealed.value())?;
        if !ordered.remove(&(group.to_owned(), name.to_owned())) {
            return Err(Failure::Damaged(format!(
                "the receipt \"{name}\" has no place in the order"
            )));
        }
        contents.receipts += 1;
    }
    if ordered.is_empty() {
        return Ok(());
    }
    Err(Failure::Damaged("a receipt is missing".to_owned()))
}
