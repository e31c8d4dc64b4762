//! Tests of the store on disk: durability, collection of unused objects, and refusal of damaged files.

use std::{collections::BTreeSet, fs};

use proptest::prelude::*;
use redb::{ReadTransaction, ReadableTableMetadata as _, TableDefinition, WriteTransaction};

use super::{
    failure::Failure,
    file::FILE,
    objects::OBJECTS,
    receipts::{RECEIPT_ORDER, RECEIPTS},
    tables::{FORMAT, META_FORMAT, META_LAST, SEALED_FORMAT},
    *,
};
use crate::{
    resource::ContentHash,
    revision::{
        Trace,
        tests::{assert_same, deleted, keeps_its_promises, keeps_receipts, published, receipt, resource},
    },
    snapshot::Types,
};

mod damage;
mod origin;
mod place;
mod saved;
mod sealed;

fn three() -> NonZeroUsize {
    NonZeroUsize::new(3).unwrap()
}

fn objects(store: &RedbStore) -> u64 {
    store.verify().unwrap();
    let read = |txn: &ReadTransaction| Ok(txn.open_table(OBJECTS)?.len()?);
    store.store.file().read(read).unwrap()
}

fn stored_bytes(store: &RedbStore) -> u64 {
    let read = |txn: &ReadTransaction| Ok(txn.open_table(OBJECTS)?.stats()?.stored_bytes());
    store.store.file().read(read).unwrap()
}

fn write_format(store: &RedbStore, format: u64) {
    let write = |txn: &WriteTransaction| Ok(txn.open_table(META)?.insert(META_FORMAT, format).map(|_| ())?);
    store.store.file().write(write).unwrap();
}

#[test]
fn redb_store_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    keeps_its_promises(&RedbStore::open(dir.path(), three(), None).unwrap());
}

#[test]
fn passing_revisions_do_not_count_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    // Compares all counts with those that the revisions imply.
    crate::revision::tests::passes_by(&store, || {
        store.verify().unwrap();
    });
}

#[test]
fn redb_store_keeps_receipts() {
    let dir = tempfile::tempdir().unwrap();
    keeps_receipts(&RedbStore::open(dir.path(), three(), None).unwrap());
}

#[test]
fn receipts_survive_with_their_revision() {
    let dir = tempfile::tempdir().unwrap();
    let one = receipt("one", 1);
    {
        let store = RedbStore::open(dir.path(), three(), None).unwrap();
        store.append(&published("g", 1, vec![]), Some(&one)).unwrap();
    }
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    assert_eq!(store.receipt(&"g".into(), "one").unwrap(), Some(one));
    assert_eq!(store.verify().unwrap().receipts, 1);
}

#[test]
fn file_made_before_there_were_receipts_gets_their_tables() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = RedbStore::open(dir.path(), three(), None).unwrap();
        store.append(&published("g", 1, vec![]), None).unwrap();
        let without = |txn: &WriteTransaction| {
            txn.delete_table(RECEIPTS)?;
            txn.delete_table(RECEIPT_ORDER)?;
            Ok(())
        };
        store.store.file().write(without).unwrap();
    }
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    assert_eq!(store.receipt(&"g".into(), "one").unwrap(), None);
    assert_eq!(store.verify().unwrap().revisions, 1);
}

#[test]
fn reopened_store_holds_what_was_appended() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("made/on/open");
    let one = published("a", 1, vec![resource("x", "1"), resource("y", "1")]);
    let two = deleted("b", 2);
    {
        let store = RedbStore::open(&data_dir, three(), None).unwrap();
        store.append(&one, None).unwrap();
        store.append(&two, None).unwrap();
    }
    let store = RedbStore::open(&data_dir, three(), None).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.last, Revision(2));
    assert_same(&loaded.groups[0].head, &one);
    assert_same(&loaded.groups[1].head, &two);
}

#[test]
fn publish_that_changes_one_of_many_resources_stores_little_more_than_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    let body = |n: usize| format!("{n}-{}", "x".repeat(1000));
    let mut clusters: Vec<_> = (0..10_000)
        .map(|n| resource(&format!("cluster-{n:05}"), &body(n)))
        .collect();
    store.append(&published("g", 1, clusters.clone()), None).unwrap();
    let (objects_before, bytes_before) = (objects(&store), stored_bytes(&store));

    clusters[5_000] = resource("cluster-05000", "changed");
    store.append(&published("g", 2, clusters.clone()), None).unwrap();
    assert_eq!(
        objects(&store) - objects_before,
        4,
        "a resource, its leaf, its inner node, the list"
    );
    let grown = stored_bytes(&store) - bytes_before;
    assert!(grown < 64_000, "{grown} bytes for one of {bytes_before}");

    clusters.insert(7, resource("cluster-00006-new", "added"));
    let objects_before = objects(&store);
    store.append(&published("g", 3, clusters.clone()), None).unwrap();
    assert!(objects(&store) - objects_before <= 4, "a new name moves no other leaf");

    store.append(&published("other", 4, clusters), None).unwrap();
    assert!(objects(&store) - objects_before <= 4, "groups share what is equal");
}

#[test]
fn objects_without_a_revision_are_collected() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    for revision in 1..=20 {
        let fresh = resource(&format!("fresh-{revision}"), "1");
        let clusters = vec![resource("kept", "1"), fresh];
        store.append(&published("g", revision, clusters), None).unwrap();
    }
    assert!(
        objects(&store) <= 3 * 5,
        "three revisions of a list, an inner node, leaves and two resources"
    );
    for revision in 21..=23 {
        store.append(&deleted("g", revision), None).unwrap();
    }
    assert_eq!(objects(&store), 0);
}

/// The objects of every kept revision, and the objects in the file.
fn kept_and_stored(store: &RedbStore, groups: &[&str]) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let mut kept = BTreeSet::new();
    let mut keep = |kind: u8, hash: ContentHash| {
        kept.insert([&[kind], &hash.to_bytes()[..]].concat());
    };
    for group in groups.iter().map(|group| NodeGroup::from(*group)) {
        for info in store.list(&group, usize::MAX).unwrap() {
            let revision = store.get(&group, info.revision).unwrap().unwrap();
            for set in revision.types().into_iter().flat_map(Types::values) {
                keep(b'l', set.content_hash());
                for inner in set.inner_nodes() {
                    keep(b'c', inner.hash());
                    for leaf in inner.leaves() {
                        keep(b'p', leaf.hash());
                        leaf.items().iter().for_each(|resource| keep(b'r', resource.content));
                    }
                }
            }
        }
    }
    let read = |txn: &ReadTransaction| {
        let objects = txn.open_table(OBJECTS)?;
        let stored = objects.iter()?.map(|row| row.unwrap().0.value().to_vec());
        Ok(stored.collect())
    };
    (kept, store.store.file().read(read).unwrap())
}

proptest! {
    // Every step waits for the disk.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn objects_are_exactly_those_of_the_kept_revisions(
        steps in proptest::collection::vec((0..2_usize, 0..9_u8, proptest::collection::btree_map(0..200_u16, 0..2_u8, 0..60)), 1..16),
    ) {
        const GROUPS: [&str; 2] = ["g", "h"];
        let dir = tempfile::tempdir().unwrap();
        let store = RedbStore::open(dir.path(), three(), None).unwrap();
        let mut clusters: [std::collections::BTreeMap<u16, u8>; 2] = Default::default();
        for (number, (group, what, change)) in (1..).zip(steps) {
            match what {
                0 => store.forget(&GROUPS[group].into()).unwrap(),
                1 => store.append(&deleted(GROUPS[group], number), None).unwrap(),
                // A few edits, or another state.
                2 => clusters[group] = change,
                _ => clusters[group].extend(change.into_iter().take(3)),
            }
            if what > 1 {
                let named = |(name, content): (&u16, &u8)| resource(&format!("c{name:03}"), &content.to_string());
                let all = clusters[group].iter().map(named).collect();
                let revision = published(GROUPS[group], number, all);
                store.append(&revision, None).unwrap();
                assert_same(&store.get(&revision.group, revision.revision).unwrap().unwrap(), &revision);
            }
            let (kept, stored) = kept_and_stored(&store, &GROUPS);
            prop_assert_eq!(kept, stored);
            objects(&store);
        }
    }
}

#[test]
fn second_opener_gets_an_error_about_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let _first = RedbStore::open(dir.path(), three(), None).unwrap();
    let error = RedbStore::open(dir.path(), three(), None).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("chancery.redb") && text.contains("locked"), "{text}");
}

#[test]
fn other_formats_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (format, word) in [(FORMAT - 1, "older"), (SEALED_FORMAT + 1, "newer")] {
        write_format(&RedbStore::open(&dir.path().join(word), three(), None).unwrap(), format);
        let error = RedbStore::open(&dir.path().join(word), three(), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains(word) && error.contains(&format.to_string()), "{error}");
    }
}

#[test]
fn file_that_is_no_database_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    for content in [&b"not a database"[..], &[0; 100_000], &[0xff; 100_000]] {
        fs::write(dir.path().join(FILE), content).unwrap();
        let error = RedbStore::open(dir.path(), three(), None).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("chancery.redb"), "{error}");
    }
}

#[test]
fn flipped_bytes_are_found_at_open() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = RedbStore::open(dir.path(), three(), None).unwrap();
        let clusters = (0..500)
            .map(|n| resource(&format!("c{n}"), &"needle".repeat(50)))
            .collect();
        store.append(&published("g", 1, clusters), None).unwrap();
    }
    let path = dir.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    let mut flipped = 0;
    for at in 0..bytes.len() - 6 {
        if &bytes[at..at + 6] == b"needle" {
            bytes[at] = b'N';
            flipped += 1;
        }
    }
    assert!(flipped > 0);
    fs::write(&path, bytes).unwrap();
    let error = RedbStore::open(dir.path(), three(), None).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[test]
fn record_that_is_not_what_was_sealed_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    store
        .append(&published("g", 1, vec![resource("a", "1")]), None)
        .unwrap();
    let tamper = |txn: &WriteTransaction| {
        let mut revisions = txn.open_table(REVISIONS)?;
        revisions.insert(("g", 1), &b"0123456789abcdef something else"[..])?;
        Ok(())
    };
    store.store.file().write(tamper).unwrap();
    for error in [
        store.load().unwrap_err(),
        store.list(&"g".into(), 1).unwrap_err(),
        store.get(&"g".into(), Revision(1)).unwrap_err(),
    ] {
        assert!(error.to_string().contains("revision 1 of group \"g\""), "{error}");
    }
}

#[test]
#[cfg(unix)]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    let mode = fs::metadata(store.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn killed_process_leaves_every_appended_revision() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    for number in 1..=10 {
        let revision = published(
            "g",
            number,
            vec![resource("kept", "1"), resource("a", &number.to_string())],
        );
        store.append(&revision, None).unwrap();
        // A copy of the open file is what a killed process leaves behind.
        fs::copy(store.path(), copy.path().join(FILE)).unwrap();
        let found = RedbStore::open(copy.path(), three(), None).unwrap().load().unwrap();
        assert_eq!(found.last, Revision(number));
        assert_same(&found.groups[0].head, &revision);
    }
}
