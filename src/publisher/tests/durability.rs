//! Chancery serves what the store holds, also after a restart.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn restart_serves_the_same_snapshot_in_the_same_versions() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        Fixture::over(Arc::new(
            RedbStore::open(dir.path(), NonZeroUsize::new(5).unwrap(), None).unwrap(),
        ))
    };
    let described = |fixture: &Fixture| {
        let snapshot = fixture.cache.get(&group()).unwrap();
        let types = snapshot.types().map(|(kind, set)| {
            (
                kind.clone(),
                set.version().clone(),
                set.iter().cloned().collect::<Vec<_>>(),
            )
        });
        (snapshot.revision(), types.collect::<Vec<_>>(), fixture.publisher.list())
    };
    let before = {
        let fixture = open();
        fixture.share("s=1");
        fixture.replace("a=1 b=1");
        fixture.replace("a=2 b=1");
        fixture.rollback(2).unwrap();
        fixture
            .publisher
            .replace(replace_request(&"gone".into(), "a=1"))
            .unwrap();
        fixture.publisher.delete(&"gone".into(), None).unwrap();
        described(&fixture)
    };
    let fixture = open();
    assert_eq!(described(&fixture), before);
    assert_eq!(fixture.served().unwrap(), "a=1 b=1 s=1");
    assert!(
        fixture
            .cache
            .get(&"gone".into())
            .unwrap()
            .get(&ResourceType::Listener)
            .is_none()
    );

    let returned = fixture.replace("a=2 b=1");
    assert_eq!(returned.revision, Revision(7));
    assert!(fixture.version("a").ends_with("-r7"), "the past is remembered as well");
}

// S-20
#[test]
fn type_that_was_emptied_was_had_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        Fixture::over(Arc::new(
            RedbStore::open(dir.path(), NonZeroUsize::new(2).unwrap(), None).unwrap(),
        ))
    };
    let had = |fixture: &Fixture, kind: &ResourceType| fixture.cache.get(&group()).unwrap().had(kind);
    {
        let fixture = open();
        fixture.replace("");
        assert!(!had(&fixture, &CLUSTER));
        fixture.replace("a=1");
        let emptied = fixture.replace("");
        assert!(emptied.changed);
        assert!(!fixture.replace("").changed, "empty stays empty");
        assert_eq!(names(&emptied.changes[0].removed), ["a"]);
        assert!(had(&fixture, &CLUSTER));
        // The revision with the resource is no longer kept.
        fixture.share("s=1");
        let secret = raw(&ResourceType::Secret, "s", b"\x0a\x01s".to_vec());
        let mut request = replace_request(&group(), "");
        request.candidate.resources.push(secret);
        fixture.publisher.replace(request).unwrap();
        fixture.replace("");
    }
    let fixture = open();
    assert!(had(&fixture, &CLUSTER) && had(&fixture, &ResourceType::Secret));
    assert!(!had(&fixture, &ResourceType::Listener));
    let Summary::Published(types) = fixture.publisher.list().remove(1).summary else {
        panic!("it is published")
    };
    assert!(types.iter().all(|summary| summary.resources == 0), "{types:?}");
}

/// A store that refuses writes while it is full.
#[derive(Debug)]
struct FullDisk(MemoryStore, AtomicBool);

impl FullDisk {
    fn full(&self) -> Result<(), StoreError> {
        if !self.1.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(StoreError::Full {
            path: "chancery.redb".into(),
            detail: "no space left on device".to_owned(),
        })
    }
}

impl RevisionStore for FullDisk {
    fn load(&self) -> Result<crate::revision::Loaded, StoreError> {
        self.0.load()
    }

    fn last(&self) -> Result<Revision, StoreError> {
        self.0.last()
    }

    fn content_key(&self) -> Result<ContentKey, StoreError> {
        self.0.content_key()
    }

    fn append(&self, revision: &StoredRevision, receipt: Option<&Receipt>) -> Result<(), StoreError> {
        self.full()?;
        self.0.append(revision, receipt)
    }

    fn keep_receipt(&self, group: &NodeGroup, receipt: &Receipt) -> Result<(), StoreError> {
        self.0.keep_receipt(group, receipt)
    }

    fn receipt(&self, group: &NodeGroup, key: &str) -> Result<Option<Receipt>, StoreError> {
        self.0.receipt(group, key)
    }

    fn list(&self, group: &NodeGroup, limit: usize) -> Result<Vec<RevisionInfo>, StoreError> {
        self.0.list(group, limit)
    }

    fn get(&self, group: &NodeGroup, revision: Revision) -> Result<Option<StoredRevision>, StoreError> {
        self.0.get(group, revision)
    }

    fn forget(&self, group: &NodeGroup) -> Result<(), StoreError> {
        self.0.forget(group)
    }

    fn backup(&self, to: &mut dyn io::Write) -> Result<(), StoreError> {
        self.0.backup(to)
    }

    fn probe(&self, write: bool) -> Result<(), StoreError> {
        // Only a write shows that there is no room.
        if write { self.full() } else { Ok(()) }
    }

    fn retention(&self) -> NonZeroUsize {
        self.0.retention()
    }
}

#[test]
fn what_is_not_durable_is_not_served() {
    let disk = Arc::new(FullDisk(MemoryStore::default(), AtomicBool::new(true)));
    let fixture = Fixture::over(disk);
    let refused = fixture.publisher.replace(replace_request(&group(), "a=1"));
    assert!(matches!(refused, Err(PublishError::Store(_))));
    assert_eq!(fixture.served(), None);
    assert!(fixture.publisher.list().is_empty());
}

#[test]
fn a_store_that_cannot_be_written_to_is_reported_until_it_can() {
    let disk = Arc::new(FullDisk(MemoryStore::default(), AtomicBool::new(false)));
    let fixture = Fixture::over(disk.clone());
    let works = fixture.publisher.store_works();
    fixture.replace("a=1");
    assert!(*works.borrow());
    disk.1.store(true, Ordering::Relaxed);
    fixture.publisher.probe_store();
    assert!(*works.borrow(), "nobody has tried");
    fixture.publisher.replace(replace_request(&group(), "a=2")).unwrap_err();
    assert!(!*works.borrow());
    fixture.publisher.probe_store();
    assert!(!*works.borrow(), "it is still full");
    disk.1.store(false, Ordering::Relaxed);
    fixture.publisher.probe_store();
    assert!(*works.borrow());
    disk.1.store(true, Ordering::Relaxed);
    fixture.publisher.replace(replace_request(&group(), "a=2")).unwrap_err();
    disk.1.store(false, Ordering::Relaxed);
    fixture.replace("a=2");
    assert!(*works.borrow(), "a publish shows that it works");
}
