//! Tests of the cache: which changes wake which watches, and which groups remain when no watch is left.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Wake, Waker},
};

use super::*;
use crate::{
    resource::ResourceType,
    snapshot::{Completeness, Revision},
};

fn snapshot(revision: u64) -> Arc<Snapshot> {
    let snapshot = Snapshot::new("g".into(), Revision(revision), BTreeMap::new(), Completeness::Published);
    Arc::new(snapshot)
}

fn current(watch: &mut SnapshotWatch) -> Option<u64> {
    watch.current().map(|snapshot| snapshot.revision().0)
}

fn group() -> NodeGroup {
    NodeGroup::from("g")
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn is_ready(watch: &mut SnapshotWatch) -> bool {
    watch.poll_changed(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn watch_of_unpublished_group_hears_of_its_first_publish() {
    let cache = SnapshotCache::new();
    let mut watch = cache.subscribe(&group());
    assert_eq!(current(&mut watch), None);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(watch.poll_changed(&mut Context::from_waker(&waker)).is_pending());

    cache.set(group(), snapshot(1));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(is_ready(&mut watch));
    assert_eq!(current(&mut watch), Some(1));
}

#[test]
fn change_is_ready_until_it_is_seen_and_not_after() {
    let cache = SnapshotCache::new();
    let mut watch = cache.subscribe(&group());
    assert!(!is_ready(&mut watch));
    cache.set(group(), snapshot(1));
    cache.set(group(), snapshot(2));
    assert!(is_ready(&mut watch));
    assert!(is_ready(&mut watch), "nobody has looked yet");
    assert_eq!(current(&mut watch), Some(2));
    assert!(!is_ready(&mut watch));
}

#[test]
fn change_seen_before_it_was_polled_for_is_not_reported_again() {
    let cache = SnapshotCache::new();
    let mut watch = cache.subscribe(&group());
    assert!(!is_ready(&mut watch));
    cache.set(group(), snapshot(1));
    assert_eq!(current(&mut watch), Some(1));
    assert!(!is_ready(&mut watch));
    cache.set(group(), snapshot(2));
    assert!(is_ready(&mut watch));
}

#[test]
fn setting_the_same_snapshot_wakes_nobody() {
    let cache = SnapshotCache::new();
    let same = snapshot(1);
    cache.set(group(), Arc::clone(&same));
    let mut watch = cache.subscribe(&group());
    cache.set(group(), same);
    assert!(!is_ready(&mut watch));
}

#[test]
fn unpublished_groups_are_served_the_default() {
    let cache = SnapshotCache::new();
    let mut early = cache.subscribe(&group());
    cache.set_default(Some(&snapshot(1)));
    assert!(is_ready(&mut early));
    assert_eq!(current(&mut early), Some(1));
    assert_eq!(current(&mut cache.subscribe(&NodeGroup::from("late"))), Some(1));
    assert_eq!(cache.get(&NodeGroup::from("nobody")).unwrap().revision(), Revision(1));
}

// S-20
#[test]
fn default_is_whole_for_the_groups_to_which_it_suffices() {
    const CLUSTER: ResourceType = ResourceType::Cluster;
    let shared = Snapshot::new("*".into(), Revision(1), BTreeMap::new(), Completeness::SharedOnly);
    let cache = SnapshotCache::with_sufficed(["edge-*".into()].into_iter().collect());
    let is_whole = |watch: &mut SnapshotWatch| watch.current().map(|snapshot| snapshot.is_whole(&CLUSTER));
    let (mut edge, mut other) = (cache.subscribe(&"edge-1".into()), cache.subscribe(&group()));
    cache.set_default(Some(&Arc::new(shared)));
    assert!(is_ready(&mut edge) && is_ready(&mut other));
    assert_eq!((is_whole(&mut edge), is_whole(&mut other)), (Some(true), Some(false)));
    let late = |name: &str| cache.get(&name.into()).unwrap();
    assert!(late("edge-2").is_whole(&CLUSTER) && !late("late").is_whole(&CLUSTER));
    assert!(
        Arc::ptr_eq(&late("edge-2"), &edge.current().unwrap()),
        "one for all of them"
    );

    cache.set("edge-1".into(), snapshot(2));
    cache.forget(&"edge-1".into());
    assert!(is_whole(&mut cache.subscribe(&"edge-1".into())).unwrap());
    cache.set(group(), snapshot(3));
    assert_eq!(is_whole(&mut other), Some(true), "it was published");
    cache.forget(&group());
    assert_eq!(is_whole(&mut cache.subscribe(&group())), Some(false));
}

#[test]
fn published_groups_do_not_hear_of_the_default() {
    let cache = SnapshotCache::new();
    cache.set(group(), snapshot(1));
    let mut watch = cache.subscribe(&group());
    cache.set_default(Some(&snapshot(2)));
    assert!(!is_ready(&mut watch));
    assert_eq!(current(&mut watch), Some(1));
}

#[test]
fn deleted_group_takes_nothing_from_its_watches() {
    let cache = SnapshotCache::new();
    cache.set_default(Some(&snapshot(1)));
    cache.set(group(), snapshot(2));
    let mut connected = cache.subscribe(&group());
    cache.forget(&group());
    assert!(!is_ready(&mut connected));
    assert_eq!(current(&mut connected), Some(2));
    assert_eq!(
        current(&mut cache.subscribe(&group())),
        Some(1),
        "new ones get the default"
    );

    cache.set_default(Some(&snapshot(3)));
    assert!(!is_ready(&mut connected), "the default is less than what it holds");
    assert_eq!(current(&mut connected), Some(2));
    cache.set(group(), snapshot(4));
    assert!(is_ready(&mut connected));
    assert_eq!(current(&mut connected), Some(4));
}

#[test]
fn deleted_default_takes_nothing_from_watches() {
    let cache = SnapshotCache::new();
    cache.set_default(Some(&snapshot(1)));
    let mut connected = cache.subscribe(&group());
    cache.set_default(None);
    assert!(!is_ready(&mut connected));
    assert_eq!(current(&mut connected), Some(1));
    assert_eq!(current(&mut cache.subscribe(&group())), None);
}

#[test]
fn group_that_nobody_published_is_gone_with_its_last_watch() {
    let cache = SnapshotCache::new();
    let mut one = cache.subscribe(&group());
    let two = cache.subscribe(&group());
    assert!(!is_ready(&mut one), "polled watches count as well");
    assert_eq!(cache.len(), 1);
    drop(one);
    assert_eq!(cache.len(), 1);
    drop(two);
    assert!(cache.is_empty());
}

#[test]
fn published_group_outlives_its_watches_until_it_is_deleted() {
    let cache = SnapshotCache::new();
    cache.set(group(), snapshot(1));
    drop(cache.subscribe(&group()));
    assert_eq!(cache.len(), 1);
    let watch = cache.subscribe(&group());
    cache.forget(&group());
    assert_eq!(cache.len(), 1);
    drop(watch);
    assert!(cache.is_empty());
}

#[tokio::test]
async fn changed_waits_for_the_next_snapshot() {
    let cache = SnapshotCache::new();
    let mut watch = cache.subscribe(&group());
    let (seen, ()) = tokio::join!(
        async {
            watch.changed().await;
            current(&mut watch)
        },
        async { cache.set(group(), snapshot(1)) }
    );
    assert_eq!(seen, Some(1));
}

#[test]
fn watches_that_come_and_go_during_publishes_lose_nothing() {
    let cache = SnapshotCache::new();
    std::thread::scope(|scope| {
        scope.spawn(|| (1..=500).for_each(|n| cache.set_default(Some(&snapshot(n)))));
        for _ in 0..2 {
            scope.spawn(|| (0..500).for_each(|_| drop(cache.subscribe(&group()))));
        }
    });
    assert!(cache.is_empty());
    assert_eq!(current(&mut cache.subscribe(&group())), Some(500));
}
