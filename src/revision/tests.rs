//! Requirements for every store, run against each of them.

use std::time::Duration;

use super::*;
use crate::resource::{Place, Reference, Resource, ResourceName};

pub(super) fn resource(name: &str, content: &str) -> Arc<Resource> {
    let kind = ResourceType::Cluster;
    let (name, aliases) = (ResourceName::from(name), [ResourceName::from(format!("{name}-alias"))]);
    let ttl = Some(Duration::from_millis(1500));
    let content_hash = ContentHash::of(&kind, &name, &aliases, ttl, content.as_bytes());
    Arc::new(Resource {
        version: Version::from(content_hash),
        content: content_hash,
        aliases: Box::new(aliases),
        ttl,
        body: content.to_owned().into(),
        references: Box::new([Reference {
            resource_type: ResourceType::Endpoint,
            name: name.clone(),
        }]),
        places: Box::new([Place::from(format!("place of {name}"))]),
        warming: crate::resource::Warming::WithEndpoints,
        name,
    })
}

pub(super) fn published(group: &str, revision: u64, clusters: Vec<Arc<Resource>>) -> StoredRevision {
    let clusters = TypeResources::new(clusters).unwrap();
    StoredRevision {
        revision: Revision(revision),
        group: group.into(),
        time: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789 + revision),
        author: format!("author {revision}"),
        message: format!("message {revision}"),
        origin: Origin::Files,
        content: Content::Published(Types::from([(ResourceType::Cluster, Arc::new(clusters))])),
        replaced: vec![ContentHash::of_texts([group, "before"])],
    }
}

pub(super) fn deleted(group: &str, revision: u64) -> StoredRevision {
    StoredRevision {
        content: Content::Deleted,
        ..published(group, revision, vec![])
    }
}

pub(super) fn assert_same(stored: &StoredRevision, expected: &StoredRevision) {
    assert_eq!(stored.info(), expected.info());
    assert_eq!(stored.trace(), expected.trace());
    let resources = |revision: &StoredRevision| -> Vec<Resource> {
        let types = revision.types().into_iter().flatten();
        types
            .flat_map(|(_, set)| set.iter().map(|resource| Resource::clone(resource)).collect::<Vec<_>>())
            .collect()
    };
    assert_eq!(resources(stored), resources(expected));
}

/// Checks the requirements for every store. `store` is empty and keeps three revisions of a group.
pub(super) fn keeps_its_promises(store: &dyn RevisionStore) {
    assert_eq!(store.load().unwrap().last, Revision(0));
    assert!(store.load().unwrap().groups.is_empty());
    assert_eq!(store.retention().get(), 3);
    let group = NodeGroup::from("g");

    let suffixed = Arc::new(Resource {
        version: Version::from("named-r2"),
        ..Resource::clone(&resource("b", "2"))
    });
    let one = published("g", 1, vec![resource("a", "1"), suffixed]);
    let other = published("gg", 4, vec![resource("a", "1")]);
    let mut named = published("g", 7, vec![]);
    let empty = TypeResources::default().with_version(Version::from("by hand"));
    named.content = Content::Published(Types::from([
        (ResourceType::Cluster, Arc::new(empty)),
        (
            ResourceType::from_type_url("type.googleapis.com/foo.Bar").unwrap(),
            Arc::default(),
        ),
    ]));
    for revision in [&one, &other, &named] {
        store.append(revision, None).unwrap();
    }

    for revision in [&one, &other, &named] {
        let stored = store.get(&revision.group, revision.revision).unwrap().unwrap();
        assert_same(&stored, revision);
    }
    assert!(store.get(&group, Revision(4)).unwrap().is_none(), "of another group");
    assert_eq!(store.list(&group, 10).unwrap(), [named.info(), one.info()]);
    assert_eq!(store.list(&group, 1).unwrap(), [named.info()]);
    assert!(store.list(&"nobody".into(), 10).unwrap().is_empty());

    for late in [7, 6] {
        let refused = store.append(&published("late", late, vec![]), None);
        assert!(matches!(refused, Err(StoreError::NotNewer { last: Revision(7), .. })));
    }
    assert!(store.list(&"late".into(), 10).unwrap().is_empty());

    store.append(&deleted("g", 8), None).unwrap();
    store
        .append(&published("g", 9, vec![resource("c", "9")]), None)
        .unwrap();
    store.append(&deleted("g", 10), None).unwrap();
    let kept: Vec<u64> = store
        .list(&group, 10)
        .unwrap()
        .iter()
        .map(|info| info.revision.0)
        .collect();
    assert_eq!(kept, [10, 9, 8], "the oldest are forgotten");
    assert!(store.get(&group, Revision(1)).unwrap().is_none());

    let loaded = store.load().unwrap();
    assert_eq!(loaded.last, Revision(10));
    let names: Vec<&str> = loaded.groups.iter().map(|group| group.head.group.as_str()).collect();
    assert_eq!(names, ["g", "gg"]);
    assert_same(&loaded.groups[0].head, &deleted("g", 10));
    assert_same(&loaded.groups[1].head, &other);
    let traces: Vec<u64> = loaded.groups[0].traces.iter().map(|trace| trace.revision.0).collect();
    assert_eq!(traces, [8, 9, 10]);
    assert_eq!(loaded.groups[1].traces, [other.trace()]);

    store.forget(&group).unwrap();
    assert!(store.list(&group, 10).unwrap().is_empty());
    let loaded = store.load().unwrap();
    assert_eq!(
        (loaded.groups.len(), loaded.last),
        (1, Revision(10)),
        "numbers stay used up"
    );
    assert_same(&loaded.groups[0].head, &other);
}

#[test]
fn memory_store_keeps_its_promises() {
    keeps_its_promises(&MemoryStore::new(NonZeroUsize::new(3).unwrap()));
}

pub(super) fn receipt(key: &str, revision: u64) -> Receipt {
    Receipt {
        key: key.to_owned(),
        request: ContentHash::of_texts([key]),
        revision: Revision(revision),
        changed: true,
        changes: vec![ReceiptChange {
            resource_type: ResourceType::Cluster,
            version: Version::from("v"),
            added: vec!["a".into(), "b".into()],
            changed: vec!["c".into()],
            removed: Vec::new(),
        }],
    }
}

/// Checks the requirements for receipts. `store` is empty and keeps three receipts of a group.
pub(super) fn keeps_receipts(store: &dyn RevisionStore) {
    let (group, other) = (NodeGroup::from("g"), NodeGroup::from("gg"));
    assert_eq!(store.receipt(&group, "one").unwrap(), None);
    let one = receipt("one", 1);
    store.append(&published("g", 1, vec![]), Some(&one)).unwrap();
    let unchanged = Receipt {
        changed: false,
        changes: Vec::new(),
        ..receipt("same", 1)
    };
    store.keep_receipt(&group, &unchanged).unwrap();
    store.keep_receipt(&other, &receipt("one", 9)).unwrap();
    assert_eq!(store.receipt(&group, "one").unwrap(), Some(one.clone()));
    assert_eq!(store.receipt(&group, "same").unwrap(), Some(unchanged));
    assert_eq!(store.receipt(&other, "one").unwrap().unwrap().revision, Revision(9));
    assert_eq!(store.receipt(&other, "same").unwrap(), None);

    for revision in 2..=3 {
        let key = format!("key {revision}");
        let stored = published("g", revision, vec![resource("a", &key)]);
        store.append(&stored, Some(&receipt(&key, revision))).unwrap();
    }
    assert_eq!(store.receipt(&group, "one").unwrap(), None, "the oldest is forgotten");
    for key in ["same", "key 2", "key 3"] {
        assert!(store.receipt(&group, key).unwrap().is_some(), "{key}");
    }
    store.forget(&group).unwrap();
    assert_eq!(store.receipt(&group, "key 3").unwrap(), None);
    assert!(store.receipt(&other, "one").unwrap().is_some());
    assert_eq!(store.last().unwrap(), Revision(3));
}

#[test]
fn memory_store_keeps_receipts() {
    keeps_receipts(&MemoryStore::new(NonZeroUsize::new(3).unwrap()));
}

#[test]
fn memory_store_has_no_backup() {
    let refused = MemoryStore::default().backup(&mut Vec::new());
    assert!(matches!(refused, Err(StoreError::NoBackup)), "{refused:?}");
}

#[test]
fn content_hash_is_that_of_the_content_whatever_the_versions() {
    let plain = resource("a", "1");
    let suffixed = Arc::new(Resource {
        version: Version::from("other-r9"),
        ..Resource::clone(&plain)
    });
    let hash = |revision: &StoredRevision| revision.info().content_hash().unwrap();
    let one = published("g", 1, vec![plain, resource("b", "1")]);
    let returned = published("h", 9, vec![suffixed, resource("b", "1")]);
    assert_eq!(hash(&one), hash(&returned));
    assert_ne!(
        hash(&one),
        hash(&published("g", 2, vec![resource("a", "2"), resource("b", "1")]))
    );
    assert_eq!(deleted("g", 3).info().content_hash(), None);
    let mut emptied = one.clone();
    if let Content::Published(types) = &mut emptied.content {
        types.insert(ResourceType::Listener, Arc::default());
    }
    assert_eq!(hash(&one), hash(&emptied), "a type that was emptied is as good as none");
}

/// Passing revisions neither count nor pile up, in any order between lasting ones.
pub(super) fn passes_by(store: &dyn RevisionStore, check: impl Fn()) {
    assert_eq!(store.retention().get(), 3);
    let numbers = |store: &dyn RevisionStore| -> Vec<u64> {
        let listed = store.list(&"g".into(), 100).unwrap();
        listed.iter().rev().map(|info| info.revision.0).collect()
    };
    // L is a lasting revision, p a passing one.
    let kept = [
        ("p", vec![1]),
        ("p", vec![2]),
        ("L", vec![2, 3]),
        ("ppppp", vec![2, 3, 8]),
        ("L", vec![2, 3, 8, 9]),
        ("pp", vec![2, 3, 8, 9, 11]),
        ("L", vec![3, 8, 9, 11, 12]),
        ("pppp", vec![3, 8, 9, 11, 12, 16]),
        ("L", vec![9, 11, 12, 16, 17]),
        ("LLL", vec![18, 19, 20]),
        ("p", vec![18, 19, 20, 21]),
        ("LLL", vec![22, 23, 24]),
    ];
    let mut number = 0_u64;
    for (kinds, expected) in kept {
        for kind in kinds.chars() {
            number += 1;
            // Contents that come, stay, go and come again.
            let clusters = (0..40).map(|n| resource(&format!("c{n}"), &((n * number) % 5 / (1 + n % 3)).to_string()));
            let revision = StoredRevision {
                origin: if kind == 'p' { Origin::Registry } else { Origin::Files },
                ..published("g", number, clusters.collect())
            };
            store.append(&revision, None).unwrap();
            check();
            let head = store.get(&"g".into(), Revision(number)).unwrap().unwrap();
            assert_same(&head, &revision);
        }
        assert_eq!(numbers(store), expected, "after {kinds}");
        for number in expected {
            assert!(store.get(&"g".into(), Revision(number)).unwrap().is_some(), "{number}");
        }
    }
    let loaded = store.load().unwrap();
    assert_eq!(loaded.groups[0].traces.len(), 3);
}

#[test]
fn passing_revisions_do_not_count_in_memory() {
    passes_by(&MemoryStore::new(NonZeroUsize::new(3).unwrap()), || {});
}
