//! Resources of the shared group, which every group is served below its own.

use super::*;

#[test]
fn shared_resources_reach_every_group_below_its_own() {
    let fixture = Fixture::new();
    fixture.share("s=1 a=shared");
    assert_eq!(fixture.served().unwrap(), "a=shared s=1");
    fixture.replace("a=own");
    assert_eq!(fixture.served().unwrap(), "a=own s=1");
    fixture.share("s=2");
    assert_eq!(fixture.served().unwrap(), "a=own s=2");
    assert_eq!(fixture.cache.get(&group()).unwrap().revision(), Revision(3));

    fixture.publisher.delete(&shared(), None).unwrap();
    assert_eq!(fixture.served().unwrap(), "a=own");
    assert!(fixture.cache.get(&NodeGroup::from("other")).is_none());
}

#[test]
fn what_a_publish_of_the_shared_group_would_change_is_foreseen_for_every_group() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    fixture.share("a=0 s=1");
    let dry_run = PublishOptions {
        dry_run: true,
        ..confirmed()
    };
    let request = ReplaceRequest {
        options: dry_run,
        ..replace_request(&shared(), "a=2 s=2")
    };
    let outlook = fixture.publisher.replace(request).unwrap().outlook.unwrap();
    let foreseen = |group: &NodeGroup| {
        let served = fixture.publisher.foresee(&outlook, group);
        let of = |snapshot: &Snapshot| {
            snapshot
                .get(&CLUSTER)
                .unwrap()
                .iter()
                .map(|r| text(r))
                .collect::<Vec<_>>()
                .join(" ")
        };
        (served.before.as_deref().map(of), of(&served.after))
    };
    assert_eq!(foreseen(&group()), (Some("a=1 s=1".to_owned()), "a=1 s=2".to_owned()));
    assert_eq!(
        foreseen(&"other".into()),
        (Some("a=0 s=1".to_owned()), "a=2 s=2".to_owned())
    );
}

// S-20
#[test]
fn group_without_a_snapshot_is_not_whole_until_it_is_published() {
    let fixture = Fixture::new();
    fixture.share("s=1");
    let is_whole = || fixture.cache.get(&group()).unwrap().is_whole(&CLUSTER);
    assert!(!is_whole());
    fixture.replace("a=1");
    assert!(is_whole());
    fixture.share("s=2");
    assert!(is_whole());
    fixture.publisher.delete(&group(), None).unwrap();
    assert!(!is_whole());
}

// S-20
#[test]
fn shared_group_that_suffices_is_foreseen_as_it_is_served() {
    let cache = Arc::new(SnapshotCache::with_sufficed(["edge-*".into()].into_iter().collect()));
    let store = Arc::new(MemoryStore::default());
    let publisher = Publisher::open(store, Arc::clone(&cache), PublisherSettings::default()).unwrap();
    publisher.replace(replace_request(&shared(), "s=1")).unwrap();
    let edge = NodeGroup::from("edge-1");
    assert!(cache.get(&edge).unwrap().is_whole(&CLUSTER));
    let mut request = replace_request(&shared(), "s=2");
    request.options.dry_run = true;
    let outlook = publisher.replace(request).unwrap().outlook.unwrap();
    assert!(publisher.foresee(&outlook, &edge).after.is_whole(&CLUSTER));
    assert!(!publisher.foresee(&outlook, &group()).after.is_whole(&CLUSTER));
}
