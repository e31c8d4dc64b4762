//! Files damaged by others: opening fails with an error that names the file, or returns everything, never a part of it.

use super::*;

/// The bytes and contents of a closed store with some revisions.
fn sample() -> (Vec<u8>, Loaded) {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path(), three(), None).unwrap();
    for revision in 1..=6 {
        let clusters = (0..60).map(|n| resource(&format!("c{n}"), &format!("{}", n % (revision + 1)).repeat(90)));
        let key = receipt(&format!("key {revision}"), revision);
        let stored = published("g", revision, clusters.collect());
        store.append(&stored, Some(&key)).unwrap();
    }
    store
        .append(&published("h", 7, vec![resource("a", "1")]), None)
        .unwrap();
    let loaded = store.load().unwrap();
    let path = store.path().to_owned();
    drop(store);
    (fs::read(path).unwrap(), loaded)
}

/// Opens and reads the bytes as a server would.
fn open(bytes: &[u8]) -> Result<Loaded, StoreError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), bytes).unwrap();
    let store = RedbStore::open(dir.path(), three(), None)?;
    let loaded = store.load()?;
    store.verify()?;
    Ok(loaded)
}

/// Expects all contents, or an error with the file's name and a remedy; returns true for an error.
fn expect_all_or_damaged(bytes: &[u8], expected: &Loaded, what: &str) -> bool {
    match open(bytes) {
        Ok(loaded) => {
            assert_eq!(loaded.last, expected.last, "{what}");
            assert_eq!(loaded.groups.len(), expected.groups.len(), "{what}");
            for (found, expected) in loaded.groups.iter().zip(&expected.groups) {
                assert_same(&found.head, &expected.head);
                assert_eq!(found.traces, expected.traces, "{what}");
            }
            false
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("chancery.redb"), "{what}: {message}");
            assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error:?}");
            assert!(message.contains("restore"), "{what}: {message}");
            true
        }
    }
}

/// Numbers that look random and are the same in every run.
fn numbers() -> impl FnMut() -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 8).unwrap()
    }
}

#[test]
fn flipped_bytes_at_any_place_are_found_or_do_not_matter() {
    let (bytes, expected) = sample();
    let mut next = numbers();
    let mut found = 0;
    for round in 0..150 {
        let mut damaged = bytes.clone();
        let places: Vec<usize> = (0..=round % 4).map(|_| next() % bytes.len()).collect();
        for place in &places {
            damaged[*place] ^= u8::try_from(1 + next() % 255).unwrap();
        }
        found += usize::from(expect_all_or_damaged(&damaged, &expected, &format!("{places:?}")));
    }
    assert!(found > 20, "only {found} were found: the places are in no use");
}

#[test]
fn file_that_is_cut_off_anywhere_is_damaged() {
    let (bytes, expected) = sample();
    let mut next = numbers();
    for _ in 0..40 {
        let length = 1 + next() % (bytes.len() - 1);
        expect_all_or_damaged(&bytes[..length], &expected, &format!("{length} bytes"));
    }
}

#[test]
fn overwritten_stretches_are_found() {
    let (bytes, expected) = sample();
    let mut next = numbers();
    for _ in 0..60 {
        let (from, length) = (next() % bytes.len(), 1 + next() % 20_000);
        let mut damaged = bytes.clone();
        let end = damaged.len().min(from + length);
        for byte in &mut damaged[from..end] {
            *byte = u8::try_from(next() % 256).unwrap();
        }
        expect_all_or_damaged(&damaged, &expected, &format!("{length} bytes from {from}"));
    }
}
