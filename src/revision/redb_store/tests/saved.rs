//! Backups: a restored store is equal, and an incomplete backup is refused.

use super::*;

/// A store with a history: several groups, a deletion, receipts, forgotten revisions.
fn sample(dir: &Path) -> RedbStore {
    let store = RedbStore::open(dir, three(), None).unwrap();
    for revision in 1..=5 {
        let clusters = (0..40).map(|n| resource(&format!("c{n}"), &(n % revision).to_string()));
        let key = receipt(&format!("key {revision}"), revision);
        let stored = published("g", revision, clusters.collect());
        store.append(&stored, Some(&key)).unwrap();
    }
    store
        .append(&published("*", 6, vec![resource("a", "1")]), None)
        .unwrap();
    store.append(&published("gone", 7, vec![]), None).unwrap();
    store.append(&deleted("gone", 8), None).unwrap();
    store
}

fn backup(store: &RedbStore, dir: &Path) -> PathBuf {
    let path = dir.join("backup");
    store.backup(&mut fs::File::create(&path).unwrap()).unwrap();
    path
}

/// All contents of a store that its methods return.
fn all_of(store: &RedbStore) -> Vec<(RevisionInfo, Trace, Vec<String>)> {
    let mut all = Vec::new();
    for group in ["*", "g", "gone"].map(NodeGroup::from) {
        for info in store.list(&group, usize::MAX).unwrap() {
            let stored = store.get(&group, info.revision).unwrap().unwrap();
            let resources = stored.types().into_iter().flat_map(Types::values);
            let described = resources.flat_map(|set| {
                set.iter()
                    .map(|one| format!("{one:?} {:?} {:?} {:?}", one.body, one.places, one.warming))
            });
            all.push((info, stored.trace(), described.collect()));
        }
    }
    all
}

#[test]
fn restored_store_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = sample(&dir.path().join("old"));
    let path = backup(&store, dir.path());
    // A later publish is not in the backup.
    store.append(&published("g", 9, vec![]), None).unwrap();

    let restored = restore(&path, &dir.path().join("new"), None, false).unwrap();
    assert_eq!(restored.replaced, None);
    let contents = restored.contents;
    assert_eq!(verify_backup(&path, None).unwrap(), contents);
    assert_eq!((contents.groups, contents.revisions, contents.receipts), (3, 6, 3));
    let old = sample(&dir.path().join("same"));
    let new = RedbStore::open(&dir.path().join("new"), three(), None).unwrap();
    assert_eq!(all_of(&new), all_of(&old));
    assert_eq!(new.receipt(&"g".into(), "key 5").unwrap(), Some(receipt("key 5", 5)));
    assert_eq!(new.receipt(&"g".into(), "key 1").unwrap(), None, "it was forgotten");
    new.verify().unwrap();
    let names: Vec<_> = fs::read_dir(dir.path().join("new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [FILE], "nothing else is left");
}

#[test]
fn numbers_of_lost_revisions_are_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = sample(&dir.path().join("data"));
    let path = backup(&store, dir.path());
    let last = restore(&path, &dir.path().join("new"), None, false)
        .unwrap()
        .contents
        .last;
    assert_eq!(last, Revision(1_000_000));
    let new = RedbStore::open(&dir.path().join("new"), three(), None).unwrap();
    assert_eq!(new.load().unwrap().last, last);
    new.append(&published("g", last.0 + 1, vec![]), None).unwrap();
    drop((store, new));

    // Over a store with larger numbers.
    let last = restore(&path, &dir.path().join("new"), None, true)
        .unwrap()
        .contents
        .last;
    assert_eq!(last, Revision(2_000_000));
}

#[test]
fn restore_overwrites_nothing_unless_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = sample(&dir.path().join("old"));
    let path = backup(&store, dir.path());
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::create_dir(data.join("lost+found")).unwrap();
    fs::write(data.join("notes"), "mine").unwrap();
    let refused = restore(&path, &data, None, false).unwrap_err();
    assert!(refused.to_string().contains("notes"), "{refused}");
    fs::remove_file(data.join("notes")).unwrap();
    restore(&path, &data, None, false).unwrap();
    // Files left by a restore that was killed.
    for name in ["chancery.redb.restoring", "chancery.redb.restoring.new-17"] {
        fs::write(data.join(name), "half").unwrap();
    }

    let refused = restore(&path, &data, None, false).unwrap_err();
    assert!(matches!(refused, StoreError::NotEmpty { .. }), "{refused}");
    let refused = restore(&path, &dir.path().join("old"), None, true).unwrap_err();
    assert!(
        matches!(refused, StoreError::Locked { .. }),
        "a server has it open: {refused}"
    );
    let replaced = restore(&path, &data, None, true).unwrap().replaced.unwrap();
    assert!(
        replaced
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("chancery.redb.replaced-")
    );
    assert!(replaced.exists());
    let names = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(
        !names
            .into_iter()
            .any(|name| name.to_str().unwrap().contains("restoring"))
    );
}

#[test]
fn damaged_store_can_be_restored_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = sample(&dir.path().join("old"));
    let path = backup(&store, dir.path());
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join(FILE), "damaged").unwrap();
    let restored = restore(&path, &data, None, true).unwrap();
    assert_eq!(fs::read(restored.replaced.unwrap()).unwrap(), b"damaged");
    RedbStore::open(&data, three(), None).unwrap();
}

#[test]
fn backup_that_is_not_whole_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = sample(&dir.path().join("old"));
    let bytes = fs::read(backup(&store, dir.path())).unwrap();
    let path = dir.path().join("damaged");
    let expect_refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let data = dir.path().join("data");
        let refused = restore(&path, &data, None, false).unwrap_err();
        assert!(matches!(refused, StoreError::BadBackup { .. }), "{what}: {refused:?}");
        assert!(refused.to_string().contains("damaged"), "{what}: {refused}");
        assert!(!data.join(FILE).exists(), "{what}");
        assert!(verify_backup(&path, None).is_err(), "{what}");
    };
    for length in (0..bytes.len()).step_by(bytes.len() / 40).chain([bytes.len() - 1]) {
        expect_refused(&bytes[..length], &format!("{length} of {} bytes", bytes.len()));
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        expect_refused(&flipped, &format!("byte {at}"));
    }
    expect_refused(&[&bytes[..], b"more"].concat(), "something behind it");
    expect_refused(b"resources: []\n", "something else");
}

#[test]
fn reader_that_is_gone_ends_the_backup() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = sample(dir.path());
    let interrupted = store.backup(&mut Gone);
    assert!(
        matches!(interrupted, Err(StoreError::Interrupted(_))),
        "{interrupted:?}"
    );
    store.append(&published("g", 9, vec![]), None).unwrap();
}
