//! A publish against the head equals the same publish made from scratch.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    admission::{Places, check_group},
    snapshot::TypeResources,
};

/// The fields of a `RouteConfiguration` that refer to clusters.
#[derive(Clone, PartialEq, prost::Message)]
struct Route {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    virtual_hosts: Vec<VirtualHost>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VirtualHost {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    domains: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    routes: Vec<RouteEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RouteEntry {
    #[prost(message, optional, tag = "1")]
    matched: Option<Match>,
    #[prost(message, optional, tag = "2")]
    action: Option<Action>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Match {
    #[prost(string, tag = "1")]
    prefix: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Action {
    #[prost(string, tag = "1")]
    cluster: String,
}

fn route(name: &str, clusters: &[String]) -> RawResource {
    let entry = |cluster: &String| RouteEntry {
        matched: Some(Match { prefix: "/".to_owned() }),
        action: Some(Action {
            cluster: cluster.clone(),
        }),
    };
    let host = VirtualHost {
        name: "all".to_owned(),
        domains: vec!["*".to_owned()],
        routes: clusters.iter().map(entry).collect(),
    };
    let config = Route {
        name: name.to_owned(),
        virtual_hosts: vec![host],
    };
    raw(&ResourceType::Route, name, config.encode_to_vec())
}

/// Name → content of clusters, and name → clusters of routes.
#[derive(Clone, Debug, Default)]
struct State {
    clusters: BTreeMap<String, String>,
    routes: BTreeMap<String, Vec<String>>,
}

/// The resources of a state, as admission returns them.
type Lists = BTreeMap<ResourceType, Vec<Arc<Resource>>>;

#[derive(Clone, Debug)]
enum Step {
    Replace(State),
    /// Upserts, deletions of clusters and of routes.
    Patch(State, Vec<String>, Vec<String>),
    Rollback(u64),
    Delete,
}

const NAMES: &str = "[abcd]";

fn state() -> impl Strategy<Value = State> {
    let clusters = proptest::collection::btree_map(NAMES, "[12]", 0..4);
    let routes = proptest::collection::btree_map(NAMES, proptest::collection::vec(NAMES, 1..3), 0..4);
    (clusters, routes).prop_map(|(clusters, routes)| State { clusters, routes })
}

fn step() -> impl Strategy<Value = (bool, bool, Step)> {
    let gone = || proptest::collection::vec(NAMES, 0..2);
    let step = prop_oneof![
        3 => state().prop_map(Step::Replace),
        5 => (state(), gone(), gone()).prop_map(|(state, clusters, routes)| Step::Patch(state, clusters, routes)),
        2 => (0..6_u64).prop_map(Step::Rollback),
        1 => Just(Step::Delete),
    ];
    (proptest::bool::weighted(0.3), proptest::bool::weighted(0.2), step)
}

fn candidate(state: &State) -> Candidate {
    let clusters = state.clusters.iter().map(|(name, content)| cluster(name, content));
    let routes = state.routes.iter().map(|(name, clusters)| route(name, clusters));
    Candidate {
        documents: Vec::new(),
        resources: clusters.chain(routes).collect(),
    }
}

/// The published state of a group, as lists.
fn listed(fixture: &Fixture, group: &NodeGroup) -> Option<(Revision, Lists)> {
    let (info, snapshot) = fixture.publisher.get(group, None).ok()?;
    let types = snapshot
        .types()
        .map(|(kind, set)| (kind.clone(), set.iter().cloned().collect()));
    Some((info.revision, types.collect()))
}

fn take(fixture: &Fixture, group: &NodeGroup, dry_run: bool, step: &Step) -> Option<Published> {
    let options = PublishOptions { dry_run, ..confirmed() };
    let keys = |kind: &ResourceType, names: &[String]| {
        let keys = names
            .iter()
            .map(|name| (kind.clone(), ResourceName::from(name.as_str())));
        keys.collect::<Vec<_>>()
    };
    match step {
        Step::Replace(state) => fixture.publisher.replace(ReplaceRequest {
            group: group.clone(),
            candidate: candidate(state),
            options,
        }),
        Step::Patch(state, clusters, routes) => fixture.publisher.patch(PatchRequest {
            group: group.clone(),
            candidate: candidate(state),
            deletions: [keys(&CLUSTER, clusters), keys(&ResourceType::Route, routes)].concat(),
            options,
        }),
        Step::Rollback(back) => {
            let last = fixture.publisher.store.load().unwrap().last.0;
            fixture
                .publisher
                .rollback(group, Revision(last.saturating_sub(*back)), &options)
        }
        Step::Delete => {
            let _ = fixture.publisher.delete(group, None);
            return None;
        }
    }
    .ok()
}

/// Compares warnings, changes and sets of a publish with those made from the two whole states.
fn check(fixture: &Fixture, group: &NodeGroup, published: &Published, before: &Lists) {
    let (_, after) = listed(fixture, group).unwrap();
    let shared_head = fixture
        .publisher
        .get(&shared(), None)
        .ok()
        .filter(|_| !group.is_shared());
    let shared_types = shared_head.as_ref().map(|(_, snapshot)| {
        let types = snapshot.types();
        types.map(|(kind, set)| (kind.clone(), Arc::clone(set))).collect()
    });
    let warnings = check_group(&after, shared_types.as_ref(), &Places::default());
    // Only resources in the request have known fields.
    let mut found = published.warnings.clone();
    found.iter_mut().for_each(|finding| finding.field = None);
    assert_eq!(found, warnings);

    for kind in [CLUSTER, ResourceType::Route] {
        let contents = |state: &Lists| {
            let all = state.get(&kind).into_iter().flatten();
            all.map(|resource| (resource.name.clone(), resource.content))
                .collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (contents(before), contents(&after));
        let added: Vec<_> = new.keys().filter(|name| !old.contains_key(*name)).cloned().collect();
        let removed: Vec<_> = old.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
        let changed = new
            .iter()
            .filter(|(name, content)| old.get(*name).is_some_and(|old| old != *content));
        let changed: Vec<_> = changed.map(|(name, _)| name.clone()).collect();
        let found = published.changes.iter().find(|change| change.resource_type == kind);
        assert_eq!(found.map(|found| &found.added[..]).unwrap_or_default(), added);
        assert_eq!(found.map(|found| &found.removed[..]).unwrap_or_default(), removed);
        assert_eq!(found.map(|found| &found.changed[..]).unwrap_or_default(), changed);
    }
    check_sets(fixture, group);
}

/// Compares the edited sets with sets made of their resources, and the served snapshot with their composition.
fn check_sets(fixture: &Fixture, group: &NodeGroup) {
    let Some((_, after)) = listed(fixture, group) else {
        return;
    };
    let own = fixture.publisher.get(group, None).unwrap().1;
    for (kind, set) in own.types() {
        let anew = TypeResources::new(after[kind].clone()).unwrap();
        assert_eq!(
            (anew.content_hash(), anew.len(), anew.bytes()),
            (set.content_hash(), set.len(), set.bytes())
        );
    }
    let shared_head = fixture
        .publisher
        .get(&shared(), None)
        .ok()
        .map(|(_, snapshot)| snapshot);
    if !group.is_shared() {
        let whole = Snapshot::compose(group, Some(&own), shared_head.as_ref(), None);
        let served = fixture.cache.get(group).unwrap();
        let found = |snapshot: &Snapshot| {
            let sets = snapshot
                .types()
                .map(|(kind, set)| (kind.clone(), set.version().clone(), set.content_hash()));
            sets.collect::<Vec<_>>()
        };
        assert_eq!(found(&served), found(&whole));
        assert!(served.get(&ResourceType::Listener).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn publish_equals_one_that_checks_everything(steps in proptest::collection::vec(step(), 1..25)) {
        let fixture = Fixture::new();
        for (is_shared, dry_run, step) in steps {
            let group = if is_shared { shared() } else { group() };
            let before = listed(&fixture, &group);
            let published = take(&fixture, &group, dry_run, &step);
            match published {
                Some(published) if !dry_run && !matches!(step, Step::Rollback(_)) => {
                    check(&fixture, &group, &published, &before.map(|(_, state)| state).unwrap_or_default());
                }
                Some(_) | None => check_sets(&fixture, &group),
            }
        }
    }
}

#[test]
fn warnings_are_repeated_at_the_next_publish() {
    let fixture = Fixture::new();
    let mut request = replace_request(&group(), "a=1 b=1");
    request.candidate.resources.push(dubious_cluster("c"));
    for _ in 0..3 {
        let published = fixture.publisher.replace(request.clone()).unwrap();
        assert_eq!(published.revision, Revision(1));
        assert_eq!(published.warnings.len(), 1, "{:?}", published.warnings);
    }
    let patched = fixture.publisher.patch(patch_request("c=1", &["a"])).unwrap();
    assert!(patched.warnings.is_empty(), "{:?}", patched.warnings);
    let replaced = fixture.publisher.replace(request).unwrap();
    assert_eq!(replaced.warnings.len(), 1, "{:?}", replaced.warnings);
    assert_eq!(names(&replaced.changes[0].added), ["a"]);
    assert_eq!(names(&replaced.changes[0].changed), ["c"]);
}

#[test]
fn checks_of_a_head_carry_nothing_of_the_states_before() {
    let fixture = Fixture::new();
    let all = ["a", "b", "c", "d"];
    for turn in 0..8 {
        // Every second one is only tried; references come, go and dangle.
        let routed = [all[turn % 4].to_owned(), all[(turn + 1) % 4].to_owned()];
        let state = State {
            clusters: all[..turn % 4]
                .iter()
                .map(|name| ((*name).to_owned(), "1".to_owned()))
                .collect(),
            routes: BTreeMap::from([(all[turn % 3].to_owned(), routed.to_vec())]),
        };
        let request = ReplaceRequest {
            group: group(),
            candidate: candidate(&state),
            options: PublishOptions {
                dry_run: turn % 2 == 1,
                ..confirmed()
            },
        };
        fixture.publisher.replace(request).unwrap();
        let writer = fixture.publisher.writer();
        let known = writer.known(&group()).expect("the group was published");
        assert!(known.is_settled(), "turn {turn}");
        let head = fixture.publisher.head(&group()).unwrap();
        assert!(known.is_of(head.types().unwrap(), None), "turn {turn}");
    }
}
