//! Publishes from the candidate to the served snapshot, and their refusals.

use std::num::NonZeroUsize;

use prost::Message as _;

use super::{commit::DELETED_GROUPS, *};
use crate::{
    admission::{Candidate, RawResource, codes},
    resource::{Resource, ResourceName, ResourceType, Version},
    revision::{MemoryStore, Receipt, RedbStore, RevisionInfo, Summary},
};

mod durability;
mod idempotency;
mod incremental;
mod model;
mod secrets;
mod shared_group;
mod versions;

const CLUSTER: ResourceType = ResourceType::Cluster;

/// The two fields of a `Cluster` that the tests need, and one that no release of Envoy has.
#[derive(Clone, PartialEq, prost::Message)]
struct Cluster {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "28")]
    alt_stat_name: String,
    #[prost(string, optional, tag = "100000")]
    unheard_of: Option<String>,
}

/// A static cluster; `content` makes its content differ.
fn cluster(name: &str, content: &str) -> RawResource {
    raw(
        &CLUSTER,
        name,
        Cluster {
            name: name.to_owned(),
            alt_stat_name: content.to_owned(),
            unheard_of: None,
        }
        .encode_to_vec(),
    )
}

/// A cluster with a warning of admission.
fn dubious_cluster(name: &str) -> RawResource {
    raw(
        &CLUSTER,
        name,
        Cluster {
            name: name.to_owned(),
            alt_stat_name: String::new(),
            unheard_of: Some("newer".to_owned()),
        }
        .encode_to_vec(),
    )
}

fn raw(resource_type: &ResourceType, name: &str, value: Vec<u8>) -> RawResource {
    RawResource {
        name: Some(name.into()),
        aliases: Vec::new(),
        ttl: None,
        any: prost_types::Any {
            type_url: resource_type.type_url().to_owned(),
            value,
        },
    }
}

/// Clusters from a text such as `a=1 b=2`.
fn clusters(text: &str) -> Candidate {
    let parse = |word: &str| word.split_once('=').map(|(name, content)| cluster(name, content));
    Candidate {
        documents: Vec::new(),
        resources: text.split_whitespace().filter_map(parse).collect(),
    }
}

fn group() -> NodeGroup {
    NodeGroup::from("g")
}

fn shared() -> NodeGroup {
    NodeGroup::from(NodeGroup::SHARED)
}

/// Options that confirm removals, for the many tests that are not about removals.
fn confirmed() -> PublishOptions {
    PublishOptions {
        allow_removals: true,
        ..PublishOptions::default()
    }
}

fn replace_request(group: &NodeGroup, text: &str) -> ReplaceRequest {
    ReplaceRequest {
        group: group.clone(),
        candidate: clusters(text),
        options: confirmed(),
    }
}

fn patch_request(upserts: &str, deletions: &[&str]) -> PatchRequest {
    PatchRequest {
        group: group(),
        candidate: clusters(upserts),
        deletions: deletions
            .iter()
            .map(|name| (CLUSTER, ResourceName::from(*name)))
            .collect(),
        options: confirmed(),
    }
}

/// A publisher over a store, and its cache.
struct Fixture {
    publisher: Publisher,
    cache: Arc<SnapshotCache>,
}

impl Fixture {
    fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default()))
    }

    fn over(store: Arc<dyn RevisionStore>) -> Self {
        Self::with(store, PublisherSettings::default())
    }

    fn with(store: Arc<dyn RevisionStore>, settings: PublisherSettings) -> Self {
        let cache = Arc::new(SnapshotCache::new());
        let publisher = Publisher::open(store, Arc::clone(&cache), settings).unwrap();
        Self { publisher, cache }
    }

    fn replace(&self, text: &str) -> Published {
        self.publisher.replace(replace_request(&group(), text)).unwrap()
    }

    fn share(&self, text: &str) -> Published {
        self.publisher.replace(replace_request(&shared(), text)).unwrap()
    }

    fn rollback(&self, to: u64) -> Result<Published, PublishError> {
        let options = PublishOptions::default();
        self.publisher.rollback(&group(), Revision(to), &options)
    }

    /// The served clusters, as in `a=1 b=2`.
    fn served(&self) -> Option<String> {
        let snapshot = self.cache.get(&group())?;
        let all = snapshot
            .get(&CLUSTER)?
            .iter()
            .map(|resource| text(resource))
            .collect::<Vec<_>>();
        Some(all.join(" "))
    }

    fn version(&self, name: &str) -> String {
        let snapshot = self.cache.get(&group()).unwrap();
        snapshot.resource(&CLUSTER, name).unwrap().version.to_string()
    }

    fn type_version(&self) -> String {
        let snapshot = self.cache.get(&group()).unwrap();
        snapshot.get(&CLUSTER).unwrap().version().to_string()
    }
}

fn text(resource: &Resource) -> String {
    let any = prost_types::Any::decode(resource.body.clone()).unwrap();
    let content = Cluster::decode(any.value.as_slice()).unwrap().alt_stat_name;
    format!("{}={content}", resource.name)
}

fn names(list: &[ResourceName]) -> Vec<&str> {
    list.iter().map(ResourceName::as_str).collect()
}

#[test]
fn replace_serves_exactly_the_candidate() {
    let fixture = Fixture::new();
    assert_eq!(fixture.served(), None);
    let published = fixture.replace("b=1 a=1");
    assert_eq!((published.revision, published.changed), (Revision(1), true));
    assert_eq!(names(&published.changes[0].added), ["a", "b"]);
    assert_eq!(fixture.served().unwrap(), "a=1 b=1");

    let published = fixture.replace("a=1 b=2 c=1");
    let change = &published.changes[0];
    assert_eq!((names(&change.added), names(&change.changed)), (vec!["c"], vec!["b"]));
    fixture.replace("c=1");
    assert_eq!(fixture.served().unwrap(), "c=1");
}

#[test]
fn publish_that_changes_nothing_makes_no_revision_and_wakes_nobody() {
    let fixture = Fixture::new();
    fixture.replace("a=1 b=1");
    let mut watch = fixture.cache.subscribe(&group());
    let before = watch.current().unwrap();
    let published = fixture.replace("b=1 a=1");
    assert_eq!((published.revision, published.changed), (Revision(1), false));
    assert!(published.changes.is_empty());
    assert!(Arc::ptr_eq(&before, &watch.current().unwrap()));
    assert_eq!(fixture.publisher.history(&group(), 10).unwrap().len(), 1);
}

#[test]
fn first_publish_counts_even_if_it_is_empty() {
    let fixture = Fixture::new();
    assert!(fixture.replace("").changed);
    assert!(fixture.cache.get(&group()).unwrap().get(&CLUSTER).unwrap().is_empty());
    assert!(!fixture.replace("").changed);
}

#[test]
fn unchanged_resources_and_types_are_shared_with_the_head() {
    let fixture = Fixture::new();
    let with_secret = |text: &str| {
        let mut request = replace_request(&group(), text);
        let secret = raw(&ResourceType::Secret, "s", b"\x0a\x01s".to_vec());
        request.candidate.resources.push(secret);
        fixture.publisher.replace(request).unwrap();
        fixture.cache.get(&group()).unwrap()
    };
    let (one, two) = (with_secret("a=1 b=1"), with_secret("a=1 b=2"));
    let resource = |snapshot: &Snapshot, name| Arc::clone(snapshot.resource(&CLUSTER, name).unwrap());
    assert!(Arc::ptr_eq(&resource(&one, "a"), &resource(&two, "a")));
    assert!(!Arc::ptr_eq(&resource(&one, "b"), &resource(&two, "b")));
    let secrets = |snapshot: &Snapshot| Arc::clone(snapshot.get(&ResourceType::Secret).unwrap());
    assert!(Arc::ptr_eq(&secrets(&one), &secrets(&two)));
}

#[test]
fn patch_adds_updates_and_deletes() {
    let fixture = Fixture::new();
    fixture.replace("a=1 b=1 c=1");
    let published = fixture.publisher.patch(patch_request("a=2 d=1", &["b"])).unwrap();
    let change = &published.changes[0];
    assert_eq!(names(&change.added), ["d"]);
    assert_eq!(names(&change.changed), ["a"]);
    assert_eq!(names(&change.removed), ["b"]);
    assert_eq!(fixture.served().unwrap(), "a=2 c=1 d=1");
}

#[test]
fn patch_that_deletes_a_missing_resource_changes_nothing() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let refused = fixture.publisher.patch(patch_request("b=1", &["x"])).unwrap_err();
    assert_eq!(refused.to_string(), "group \"g\" has no cluster \"x\"");
    assert_eq!(fixture.served().unwrap(), "a=1");
}

#[test]
fn patch_that_brings_two_owners_of_a_name_together_is_refused() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let mut request = patch_request("b=1", &[]);
    request.candidate.resources[0].aliases = vec!["a".into()];
    let refused = fixture.publisher.patch(request).unwrap_err();
    let PublishError::Rejected(rejection) = refused else {
        panic!("{refused}")
    };
    assert_eq!(rejection.findings[0].code, codes::DUPLICATE);
    assert_eq!(fixture.served().unwrap(), "a=1");
}

#[test]
fn patch_cannot_grow_a_snapshot_beyond_the_limits() {
    let settings = PublisherSettings {
        limits: Limits {
            resources: 2,
            ..Default::default()
        },
        ..PublisherSettings::default()
    };
    let fixture = Fixture::with(Arc::new(MemoryStore::default()), settings);
    fixture.replace("a=1 b=1");
    let refused = fixture.publisher.patch(patch_request("c=1", &[])).unwrap_err();
    assert!(
        matches!(&refused, PublishError::Rejected(r) if r.findings[0].code == codes::LIMIT),
        "{refused}"
    );
    fixture.publisher.patch(patch_request("c=1", &["a"])).unwrap();
}

#[test]
fn dry_run_says_what_would_change_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let mut request = replace_request(&group(), "a=2");
    request.options.dry_run = true;
    let tried = fixture.publisher.replace(request).unwrap();
    assert!(tried.changed && tried.dry_run);
    assert_eq!(tried.revision, Revision(1));
    assert_eq!(names(&tried.changes[0].changed), ["a"]);
    assert_eq!(fixture.served().unwrap(), "a=1");
    assert_eq!(fixture.replace("a=3").revision, Revision(2));
}

#[test]
fn refused_candidate_leaves_cache_and_store_untouched() {
    let store = Arc::new(MemoryStore::default());
    let fixture = Fixture::over(Arc::clone(&store) as Arc<dyn RevisionStore>);
    fixture.replace("a=1");
    let mut events = fixture.publisher.subscribe();
    let before = fixture.cache.get(&group()).unwrap();
    let mut request = replace_request(&group(), "a=2");
    request.candidate.resources.push(raw(&CLUSTER, "bad", vec![0xff]));
    let refused = fixture.publisher.replace(request).unwrap_err();
    assert!(matches!(refused, PublishError::Rejected(_)), "{refused}");
    assert!(Arc::ptr_eq(&before, &fixture.cache.get(&group()).unwrap()));
    assert_eq!(store.load().unwrap().last, Revision(1));
    assert!(events.try_recv().is_err());
}

#[test]
fn warnings_refuse_where_they_are_denied_and_not_allowed() {
    let settings = PublisherSettings {
        deny_warnings: true,
        ..PublisherSettings::default()
    };
    let fixture = Fixture::with(Arc::new(MemoryStore::default()), settings);
    let mut request = replace_request(&group(), "");
    request.candidate.resources.push(dubious_cluster("a"));
    let refused = fixture.publisher.replace(request.clone()).unwrap_err();
    assert!(matches!(refused, PublishError::Rejected(_)), "{refused}");
    assert_eq!(fixture.served(), None);

    request.options.allow_warnings = true;
    let published = fixture.publisher.replace(request).unwrap();
    assert_eq!(published.warnings[0].code, codes::NEWER_FIELD);
    fixture.replace("a=1");
    assert!(fixture.rollback(1).is_ok(), "what was admitted once may come back");
}

#[test]
fn deleted_group_is_met_with_silence_and_can_be_rolled_back() {
    let fixture = Fixture::new();
    fixture.replace("a=1");
    let mut connected = fixture.cache.subscribe(&group());
    assert_eq!(fixture.publisher.delete(&group(), Some(1)).unwrap(), Revision(1));
    assert!(connected.current().is_some(), "nothing is removed from it");
    let missing = fixture.publisher.get(&group(), None).unwrap_err();
    assert!(
        matches!(missing, PublishError::NotFound(NotFound::Group(_))),
        "{missing}"
    );
    assert!(fixture.publisher.delete(&group(), None).is_err());
    assert!(fixture.publisher.list().is_empty());
    assert_eq!(
        fixture.publisher.history(&group(), 10).unwrap()[0].summary,
        Summary::Deleted
    );
    assert!(fixture.rollback(2).is_err(), "a deletion has nothing to go back to");

    assert_eq!(fixture.rollback(1).unwrap().revision, Revision(3));
    assert_eq!(fixture.served().unwrap(), "a=1");
    drop(connected);
    fixture.publisher.delete(&group(), None).unwrap();
    assert!(fixture.cache.is_empty());
}

#[test]
fn rollback_to_a_dropped_revision_names_the_oldest_kept() {
    let fixture = Fixture::over(Arc::new(MemoryStore::new(NonZeroUsize::new(2).unwrap())));
    (1..=4).for_each(|content| drop(fixture.replace(&format!("a={content}"))));
    let refused = fixture.rollback(1).unwrap_err().to_string();
    assert_eq!(
        refused,
        "group \"g\" has no snapshot of revision 1, the oldest kept is 3"
    );
}

#[test]
fn stale_expectation_is_a_conflict() {
    let fixture = Fixture::new();
    let expecting = |expected: u64, text: &str| {
        let mut request = replace_request(&group(), text);
        request.options.expected_revision = Some(expected);
        fixture.publisher.replace(request)
    };
    expecting(0, "a=1").unwrap();
    let refused = expecting(0, "a=2").unwrap_err();
    assert_eq!(refused.to_string(), "expected revision 0, the group is at 1");
    expecting(1, "a=2").unwrap();
    assert!(fixture.publisher.delete(&group(), Some(1)).is_err());
    fixture.publisher.delete(&group(), Some(2)).unwrap();
    expecting(0, "a=3").unwrap();
}

#[test]
fn exactly_one_of_racing_publishers_wins() {
    let fixture = Fixture::new();
    for round in 0..20 {
        let expected = fixture.replace(&format!("a=start-{round}")).revision.0;
        let publish = |who: usize| {
            let mut request = replace_request(&group(), &format!("a={round}-{who}"));
            request.options.expected_revision = Some(expected);
            fixture.publisher.replace(request)
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4).map(|who| scope.spawn(move || publish(who))).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let lost = results.into_iter().filter_map(Result::err);
        assert!(
            lost.into_iter()
                .all(|error| matches!(error, PublishError::Conflict { .. }))
        );
    }
}

#[test]
fn unsound_names_are_refused() {
    let fixture = Fixture::new();
    for name in ["", "a\nb", &"x".repeat(257)] {
        let refused = fixture.publisher.replace(replace_request(&name.into(), "a=1"));
        assert!(matches!(refused, Err(PublishError::InvalidGroup(_))), "{name:?}");
    }
}

#[test]
fn author_and_message_are_bounded_and_refusals_quote_little() {
    let fixture = Fixture::new();
    let with = |author: &str, message: &str| {
        let mut request = replace_request(&group(), "a=1");
        request.options.author = author.to_owned();
        request.options.message = message.to_owned();
        fixture.publisher.replace(request)
    };
    let refused = |author: &str, message: &str| with(author, message).unwrap_err().to_string();
    assert_eq!(
        refused(&"x".repeat(257), ""),
        "author has 257 bytes: expected at most 256 without control characters"
    );
    assert!(refused("a\nb", "").starts_with("author has 3 bytes"));
    assert_eq!(
        refused("", &"x".repeat(4097)),
        "message has 4097 bytes: expected at most 4096"
    );
    assert!(fixture.publisher.list().is_empty());
    with(&"x".repeat(256), &"line\n".repeat(819)).unwrap();

    let huge = "x".repeat(60 << 20);
    let group = fixture.publisher.replace(replace_request(&huge.as_str().into(), "a=1"));
    assert!(group.unwrap_err().to_string().len() < 300);
    for set in [
        (|options, huge| options.version_info = Some(huge)) as fn(&mut PublishOptions, String),
        |options, huge| options.idempotency_key = Some(huge),
    ] {
        let mut request = replace_request(&"g".into(), "a=1");
        set(&mut request.options, huge.clone());
        assert!(fixture.publisher.replace(request).unwrap_err().to_string().len() < 300);
    }
}

#[test]
fn diff_compares_revisions_and_candidates_by_content() {
    let fixture = Fixture::new();
    fixture.replace("a=1 b=1");
    fixture.replace("a=2 c=1");
    fixture.rollback(1).unwrap();
    let diff = |from: Option<u64>, to: DiffTarget| {
        let comparison = fixture.publisher.diff(&group(), from.map(Revision), &to).unwrap();
        let change = comparison.changes.first().cloned();
        change.map(|c| {
            [
                names(&c.added).concat(),
                names(&c.changed).concat(),
                names(&c.removed).concat(),
            ]
        })
    };
    assert_eq!(
        diff(Some(1), DiffTarget::Revision(Some(Revision(3)))),
        None,
        "only the suffix differs"
    );
    let lists = |a: &str, b: &str, c: &str| Some([a.to_owned(), b.to_owned(), c.to_owned()]);
    assert_eq!(
        diff(Some(1), DiffTarget::Revision(Some(Revision(2)))),
        lists("c", "a", "b")
    );
    assert_eq!(diff(None, DiffTarget::Candidate(clusters("a=9"))), lists("", "a", "b"));
    assert_eq!(
        diff(Some(2), DiffTarget::Candidate(clusters("a=2"))),
        lists("", "", "c")
    );
    let fresh = fixture
        .publisher
        .diff(&"new".into(), None, &DiffTarget::Candidate(clusters("a=1")));
    assert_eq!(names(&fresh.unwrap().changes[0].added), ["a"]);
}

#[test]
fn publish_that_removes_too_much_is_refused_and_a_dry_run_reports_it() {
    let fixture = Fixture::new();
    fixture.replace("a=1 b=1 c=1");
    let unsure = |dry_run| ReplaceRequest {
        options: PublishOptions {
            dry_run,
            ..PublishOptions::default()
        },
        ..replace_request(&group(), "a=2")
    };
    let refused = fixture.publisher.replace(unsure(false)).unwrap_err();
    assert!(
        matches!(&refused, PublishError::Unconfirmed(rejection) if rejection.findings[0].code == codes::REMOVES_MANY),
        "{refused}"
    );
    assert_eq!(fixture.served().unwrap(), "a=1 b=1 c=1");
    let tried = fixture.publisher.replace(unsure(true)).unwrap();
    assert_eq!((tried.unconfirmed.len(), tried.changed), (1, true));
    let outlook = tried.outlook.unwrap();
    assert_eq!(outlook.changes().count(), 3);
    let foreseen = fixture.publisher.foresee(&outlook, &group());
    let was = foreseen.before.unwrap();
    assert_eq!(
        (
            was.get(&CLUSTER).unwrap().len(),
            foreseen.after.get(&CLUSTER).unwrap().len()
        ),
        (3, 1)
    );
    let done = fixture.replace("a=2");
    assert!(done.outlook.is_none() && done.unconfirmed.is_empty());
    let served = fixture.cache.get(&group()).unwrap();
    assert_eq!(
        served.get(&CLUSTER).unwrap().version(),
        foreseen.after.get(&CLUSTER).unwrap().version()
    );
    let back = PublishOptions::default();
    fixture.publisher.rollback(&group(), Revision(1), &back).unwrap();
    fixture.publisher.rollback(&group(), Revision(2), &back).unwrap();
}

#[test]
fn get_gives_own_resources_of_any_kept_revision() {
    let fixture = Fixture::new();
    fixture.share("s=1");
    fixture.replace("a=1");
    fixture.replace("a=2");
    for (revision, content) in [(None, "a=2"), (Some(Revision(2)), "a=1")] {
        let (info, snapshot) = fixture.publisher.get(&group(), revision).unwrap();
        assert_eq!(info.revision, snapshot.revision());
        let resources: Vec<_> = snapshot.get(&CLUSTER).unwrap().iter().map(|r| text(r)).collect();
        assert_eq!(resources, [content]);
    }
}

#[test]
fn subscribers_hear_of_publishes_and_deletions() {
    let fixture = Fixture::new();
    let mut events = fixture.publisher.subscribe();
    fixture.replace("a=1");
    fixture.publisher.delete(&group(), None).unwrap();
    let SnapshotEvent::Published(info) = events.try_recv().unwrap() else {
        panic!("published first")
    };
    assert_eq!((info.revision, info.group), (Revision(1), group()));
    let deleted = SnapshotEvent::Deleted {
        group: group(),
        revision: Revision(2),
    };
    assert_eq!(events.try_recv().unwrap(), deleted);
}

#[test]
fn histories_of_deleted_groups_do_not_pile_up() {
    let store = Arc::new(MemoryStore::default());
    let fixture = Fixture::over(Arc::clone(&store) as Arc<dyn RevisionStore>);
    fixture.replace("a=1");
    for n in 0..DELETED_GROUPS + 3 {
        let group = NodeGroup::from(format!("short-lived-{n}").as_str());
        fixture.publisher.replace(replace_request(&group, "a=1")).unwrap();
        fixture.publisher.delete(&group, None).unwrap();
    }
    assert_eq!(store.load().unwrap().groups.len(), DELETED_GROUPS + 1);
    assert!(fixture.publisher.history(&"short-lived-0".into(), 1).is_err());
    assert!(fixture.publisher.history(&group(), 1).is_ok());
}
