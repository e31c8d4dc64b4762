//! The file and its path: the path has the file that the store writes to, or a write fails.

use super::*;

fn some(revision: u64) -> StoredRevision {
    published("g", revision, vec![resource("a", &revision.to_string())])
}

#[test]
fn a_file_without_bytes_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "").unwrap();
    let error = RedbStore::open(dir.path(), three(), None).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("chancery.redb") && message.contains("no bytes") && message.contains("restore"),
        "{message}"
    );
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), 0);
}

#[test]
fn a_pipe_in_the_place_of_the_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join(FILE)).status();
    assert!(made.unwrap().success());
    let error = RedbStore::open(dir.path(), three(), None).unwrap_err();
    assert!(error.to_string().contains("is not a regular file"), "{error}");
}

#[test]
fn a_new_file_is_whole_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [FILE]);
    assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn nothing_is_acknowledged_for_a_file_that_nobody_finds_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    store.append(&some(1), None).unwrap();
    store.probe(false).unwrap();
    let away = dir.path().join("away");
    fs::rename(store.path(), &away).unwrap();
    let refused = |store: &RedbStore| {
        for error in [
            store.append(&some(2), None).unwrap_err(),
            store.keep_receipt(&"g".into(), &receipt("key", 1)).unwrap_err(),
            store.forget(&"g".into()).unwrap_err(),
            store.probe(false).unwrap_err(),
            store.probe(true).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Replaced { .. }), "{error:?}");
            assert!(
                error.to_string().contains("chancery.redb was removed or replaced"),
                "{error}"
            );
        }
    };
    refused(&store);
    assert!(!store.path().exists(), "none is made in its place");
    // The store does not write to another file at its path either.
    drop(RedbStore::open(dir.path(), three(), None).unwrap());
    refused(&store);
    assert_eq!(store.list(&"g".into(), 10).unwrap().len(), 1, "what was stored is read");
    fs::rename(&away, store.path()).unwrap();
    store.append(&some(2), None).unwrap();
    store.probe(true).unwrap();
    drop(store);
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    assert_eq!(store.list(&"g".into(), 10).unwrap().len(), 2);
}

#[test]
fn a_store_that_is_opened_again_after_a_failure_is_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    store.append(&some(1), None).unwrap();
    fs::remove_file(store.path()).unwrap();
    // After a failure of the disk the database must be opened again.
    let failed = store
        .store
        .file()
        .read(|_| -> Result<(), Failure> { Err(redb::Error::PreviousIo.into()) });
    failed.unwrap_err();
    for _ in 0..2 {
        let error = store.list(&"g".into(), 10).unwrap_err();
        assert!(matches!(error, StoreError::Replaced { .. }), "{error:?}");
        assert!(!store.path().exists());
    }
}
