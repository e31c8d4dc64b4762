//! Sealed stores: what they hide, the keys that open them, and a change of keys.

use super::*;
use crate::revision::{keys::tests::keys, tests::passes_by};

/// Text in names, contents, messages and authors.
const CANARY: &str = "canary-7f3a91";

/// Adds groups with a history, a deletion and receipts, with the canary everywhere except in groups and keys.
fn fill(store: &RedbStore) {
    for revision in 1..=5 {
        let clusters = (0..40).map(|n| resource(&format!("{CANARY}-{n}"), &format!("{CANARY} {}", n % revision)));
        let mut stored = published("g", revision, clusters.collect());
        stored.message = CANARY.to_owned();
        stored.author = CANARY.to_owned();
        store
            .append(&stored, Some(&receipt(&format!("key {revision}"), revision)))
            .unwrap();
    }
    store
        .append(&published("*", 6, vec![resource("a", CANARY)]), None)
        .unwrap();
    store.append(&published("gone", 7, vec![]), None).unwrap();
    store.append(&deleted("gone", 8), None).unwrap();
}

fn sample(dir: &Path, keys: Option<&StoreKeys>) {
    fill(&RedbStore::open(dir, three(), keys).unwrap());
}

/// All contents of a store that its methods return.
fn all_of(dir: &Path, keys: Option<&StoreKeys>) -> Vec<String> {
    let store = RedbStore::open(dir, three(), keys).unwrap();
    store.verify().unwrap();
    let mut all = vec![format!(
        "{:?} {:?}",
        store.load().unwrap().last,
        store.content_key().unwrap().as_bytes()
    )];
    for group in ["*", "g", "gone"].map(NodeGroup::from) {
        for info in store.list(&group, usize::MAX).unwrap() {
            let stored = store.get(&group, info.revision).unwrap().unwrap();
            let resources = stored.types().into_iter().flat_map(Types::values);
            let bodies: Vec<_> = resources
                .flat_map(|set| set.iter().map(|one| one.body.clone()).collect::<Vec<_>>())
                .collect();
            all.push(format!("{stored:?} {bodies:?}"));
        }
        for revision in 1..=5 {
            all.push(format!(
                "{:?}",
                store.receipt(&group, &format!("key {revision}")).unwrap()
            ));
        }
    }
    all
}

fn contains(path: &Path, needle: &[u8]) -> bool {
    fs::read(path)
        .unwrap()
        .windows(needle.len())
        .any(|window| window == needle)
}

fn has_canary(dir: &Path) -> bool {
    contains(&dir.join(FILE), CANARY.as_bytes())
}

/// A store sealed with key 1, except for one publish after key 2 was put first.
fn rotated(dir: &Path) {
    sample(dir, Some(&keys(&[1])));
    let store = RedbStore::open(dir, three(), Some(&keys(&[2, 1]))).unwrap();
    store
        .append(&published("g", 9, vec![resource("new", CANARY)]), None)
        .unwrap();
}

#[test]
fn sealed_store_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    keeps_its_promises(&RedbStore::open(&dir.path().join("a"), three(), Some(&keys(&[1]))).unwrap());
    keeps_receipts(&RedbStore::open(&dir.path().join("b"), three(), Some(&keys(&[1]))).unwrap());
    let store = RedbStore::open(&dir.path().join("c"), three(), Some(&keys(&[1]))).unwrap();
    passes_by(&store, || {
        store.verify().unwrap();
    });
}

#[test]
fn sealed_store_holds_what_a_plain_one_does_and_shows_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let [plain, sealed] = ["plain", "sealed"].map(|name| dir.path().join(name));
    sample(&plain, None);
    sample(&sealed, Some(&keys(&[1])));
    // Everything but the content keys is equal.
    assert_eq!(all_of(&sealed, Some(&keys(&[1])))[1..], all_of(&plain, None)[1..]);
    assert!(has_canary(&plain) && !has_canary(&sealed));
    // A guessed content does not reveal its hash either.
    let hash = resource("a", CANARY).content.to_bytes();
    assert!(contains(&plain.join(FILE), &hash));
    assert!(!contains(&sealed.join(FILE), &hash));
}

#[test]
fn store_opens_with_its_keys_alone_and_is_never_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), Some(&keys(&[1])));
    let before = all_of(dir.path(), Some(&keys(&[1])));
    let bytes = fs::read(dir.path().join(FILE)).unwrap();
    let open = |keys: Option<&StoreKeys>| RedbStore::open(dir.path(), three(), keys).unwrap_err();
    assert!(matches!(open(None), StoreError::KeyNeeded { .. }));
    assert!(matches!(open(Some(&keys(&[2, 3]))), StoreError::KeyMissing { .. }));
    assert_eq!(fs::read(dir.path().join(FILE)).unwrap().len(), bytes.len());
    assert_eq!(all_of(dir.path(), Some(&keys(&[2, 1]))), before);

    let plain = tempfile::tempdir().unwrap();
    sample(plain.path(), None);
    let refused = RedbStore::open(plain.path(), three(), Some(&keys(&[1]))).unwrap_err();
    assert!(matches!(refused, StoreError::NotSealed { .. }));
}

#[test]
fn key_that_sealed_something_is_needed_until_the_store_is_rekeyed() {
    let dir = tempfile::tempdir().unwrap();
    rotated(dir.path());
    let before = all_of(dir.path(), Some(&keys(&[2, 1])));
    for few in [&[1][..], &[2]] {
        let refused = RedbStore::open(dir.path(), three(), Some(&keys(few))).unwrap_err();
        assert!(matches!(refused, StoreError::KeyMissing { .. }), "{few:?}: {refused}");
    }
    let rekeyed = rekey(dir.path(), &keys(&[2, 1]), RekeyTo::FirstKey).unwrap();
    assert!(rekeyed.changed);
    assert_eq!(all_of(dir.path(), Some(&keys(&[2]))), before);
    fs::write(dir.path().join("chancery.redb.rekeying"), CANARY).unwrap();
    let again = rekey(dir.path(), &keys(&[2]), RekeyTo::FirstKey).unwrap();
    assert!(again.left.is_empty() && !dir.path().join("chancery.redb.rekeying").exists());
    assert_eq!((again.changed, again.contents), (false, rekeyed.contents));
}

#[test]
fn key_that_sealed_nothing_is_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), Some(&keys(&[1])));
    let before = all_of(dir.path(), Some(&keys(&[2, 1])));
    assert_eq!(all_of(dir.path(), Some(&keys(&[1]))), before);
    let store = RedbStore::open(dir.path(), three(), Some(&keys(&[2, 1]))).unwrap();
    store.keep_receipt(&"g".into(), &receipt("key 9", 5)).unwrap();
    drop(store);
    let refused = RedbStore::open(dir.path(), three(), Some(&keys(&[1]))).unwrap_err();
    assert!(matches!(refused, StoreError::KeyMissing { .. }), "{refused}");
}

#[test]
fn plain_store_is_sealed_into_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), None);
    let before = all_of(dir.path(), None);
    // Files left by an interrupted rekey and by a restore.
    fs::write(dir.path().join("chancery.redb.rekeying"), CANARY).unwrap();
    fs::write(dir.path().join("chancery.redb.rekeying.new-17"), CANARY).unwrap();
    fs::write(dir.path().join("chancery.redb.replaced-1"), CANARY).unwrap();
    let rekeyed = rekey(dir.path(), &keys(&[1]), RekeyTo::FirstKey).unwrap();
    assert_eq!(
        rekeyed.left,
        [dir.path().join("chancery.redb.replaced-1")],
        "they are reported"
    );
    assert_eq!(all_of(dir.path(), Some(&keys(&[1]))), before, "versions and all");
    assert!(!has_canary(dir.path()), "no page that was freed has it either");

    let rekeyed = rekey(dir.path(), &keys(&[1]), RekeyTo::Plain).unwrap();
    assert!(rekeyed.changed);
    assert_eq!(all_of(dir.path(), None), before);
}

#[test]
fn store_that_cannot_be_rekeyed_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let none = rekey(dir.path(), &keys(&[1]), RekeyTo::FirstKey).unwrap_err();
    assert!(matches!(none, StoreError::Io { .. }));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "none is made");

    sample(dir.path(), Some(&keys(&[1])));
    let before = all_of(dir.path(), Some(&keys(&[1])));
    let refused = rekey(dir.path(), &keys(&[2]), RekeyTo::FirstKey).unwrap_err();
    assert!(matches!(refused, StoreError::KeyMissing { .. }));
    let open = RedbStore::open(dir.path(), three(), Some(&keys(&[1]))).unwrap();
    let locked = rekey(dir.path(), &keys(&[2, 1]), RekeyTo::FirstKey).unwrap_err();
    assert!(matches!(locked, StoreError::Locked { .. }));
    drop(open);
    // This directory blocks the file that rekey makes.
    fs::create_dir(dir.path().join("chancery.redb.rekeying")).unwrap();
    let failed = rekey(dir.path(), &keys(&[2, 1]), RekeyTo::FirstKey).unwrap_err();
    assert!(failed.to_string().contains("rekeying"), "{failed}");
    assert_eq!(all_of(dir.path(), Some(&keys(&[1]))), before);
}

#[test]
fn backup_of_a_sealed_store_is_sealed_and_needs_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let [data, new] = ["data", "new"].map(|name| dir.path().join(name));
    rotated(&data);
    let both = keys(&[2, 1]);
    let path = dir.path().join("backup");
    let store = RedbStore::open(&data, three(), Some(&both)).unwrap();
    store.backup(&mut fs::File::create(&path).unwrap()).unwrap();
    drop(store);
    assert!(!contains(&path, CANARY.as_bytes()));

    for few in [None, Some(&keys(&[1])), Some(&keys(&[3]))] {
        let refused = [
            verify_backup(&path, few).unwrap_err(),
            restore(&path, &new, few, false).unwrap_err(),
        ];
        for refused in refused {
            let locked = matches!(refused, StoreError::KeyNeeded { .. } | StoreError::KeyMissing { .. });
            assert!(locked && refused.to_string().contains("backup"), "{refused}");
        }
        assert!(!new.exists());
    }
    let restored = restore(&path, &new, Some(&both), false).unwrap();
    assert_eq!(verify_backup(&path, Some(&both)).unwrap(), restored.contents);
    assert!(!has_canary(&new));
    assert_eq!(all_of(&new, Some(&both))[1..], all_of(&data, Some(&both))[1..]);
    let needed = RedbStore::open(&new, three(), Some(&keys(&[2]))).unwrap_err();
    assert!(
        matches!(needed, StoreError::KeyMissing { .. }),
        "what is old is under the old key"
    );
    // Numbers continue even over a store that these keys cannot open.
    let last = restore(&path, &new, Some(&both), true).unwrap().contents.last;
    assert_eq!(last, Revision(2_000_000));
}

#[test]
fn numbers_go_on_over_a_store_under_a_lost_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    sample(&data, None);
    let path = dir.path().join("backup");
    let store = RedbStore::open(&data, three(), None).unwrap();
    store.backup(&mut fs::File::create(&path).unwrap()).unwrap();
    drop(store);
    let lost = dir.path().join("lost");
    let store = RedbStore::open(&lost, three(), Some(&keys(&[9]))).unwrap();
    store.append(&published("g", 1_000_007, vec![]), None).unwrap();
    drop(store);
    let last = restore(&path, &lost, None, true).unwrap().contents.last;
    assert_eq!(last, Revision(2_000_000));
}

#[test]
fn backup_of_a_plain_store_keeps_the_versions_of_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let [data, new] = ["data", "new"].map(|name| dir.path().join(name));
    sample(&data, None);
    let path = dir.path().join("backup");
    let store = RedbStore::open(&data, three(), None).unwrap();
    store.backup(&mut fs::File::create(&path).unwrap()).unwrap();
    let refused = restore(&path, &new, Some(&keys(&[1])), false).unwrap_err();
    assert!(matches!(refused, StoreError::NotSealed { .. }), "{refused}");
    restore(&path, &new, None, false).unwrap();
    let restored = RedbStore::open(&new, three(), None).unwrap();
    let key = |store: &RedbStore| *store.content_key().unwrap().as_bytes();
    assert_eq!(key(&restored), key(&store));
}

#[test]
fn store_without_a_key_of_content_hashes_gets_one_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), None);
    let without = |txn: &WriteTransaction| {
        txn.delete_table(TableDefinition::<&str, &[u8]>::new("vault"))?;
        Ok(())
    };
    RedbStore::open(dir.path(), three(), None)
        .unwrap()
        .store
        .file()
        .write(without)
        .unwrap();
    let key = || {
        let store = RedbStore::open(dir.path(), three(), None).unwrap();
        *store.content_key().unwrap().as_bytes()
    };
    assert_eq!(key(), key());
}

#[test]
fn values_that_changed_places_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), Some(&keys(&[1]))).unwrap();
    fill(&store);
    let swap = |txn: &WriteTransaction| {
        let mut objects = txn.open_table(OBJECTS)?;
        let resources: Vec<_> = objects
            .iter()?
            .map(|row| row.map(|(address, value)| (*address.value(), value.value().to_vec())))
            .collect::<Result<_, _>>()?;
        let mut resources = resources.into_iter().filter(|(address, _)| address[0] == b'r');
        let (one, other) = (resources.next().unwrap(), resources.next().unwrap());
        objects.insert(&one.0, other.1.as_slice())?;
        objects.insert(&other.0, one.1.as_slice())?;
        Ok(())
    };
    store.store.file().write(swap).unwrap();
    assert!(matches!(store.verify(), Err(StoreError::Damaged { .. })));
}
