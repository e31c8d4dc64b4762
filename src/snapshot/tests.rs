//! Tests of snapshots: versions, differences, compositions.

use std::collections::BTreeMap;

use super::*;
use crate::resource::{ContentHash, Reference, ResourceName, Version};

mod layers;

fn resource(kind: &ResourceType, name: &str, content: &str) -> Arc<Resource> {
    let name = ResourceName::from(name);
    let hash = ContentHash::of(kind, &name, &[], None, content.as_bytes());
    Arc::new(Resource {
        version: Version::from(hash),
        name,
        content: hash,
        aliases: Box::default(),
        ttl: None,
        body: content.to_owned().into(),
        references: Box::default(),
        places: Box::default(),
        warming: crate::resource::Warming::default(),
    })
}

fn eds_cluster(name: &str) -> Arc<Resource> {
    let plain = resource(&ResourceType::Cluster, name, name);
    Arc::new(Resource {
        references: Box::new([Reference {
            resource_type: ResourceType::Endpoint,
            name: ResourceName::from(name),
        }]),
        ..Resource::clone(&plain)
    })
}

fn snapshot(group: &str, revision: u64, kinds: Vec<(ResourceType, Vec<Arc<Resource>>)>) -> Snapshot {
    let types: BTreeMap<_, _> = kinds
        .into_iter()
        .map(|(kind, resources)| (kind, Arc::new(TypeResources::new(resources).unwrap())))
        .collect();
    Snapshot::new(group.into(), Revision(revision), types, Completeness::Published)
}

#[test]
fn equal_content_has_equal_versions_whatever_the_order() {
    let (a, b) = (
        resource(&ResourceType::Listener, "a", "1"),
        resource(&ResourceType::Listener, "b", "2"),
    );
    let one = TypeResources::new(vec![a.clone(), b.clone()]).unwrap();
    let two = TypeResources::new(vec![b, a]).unwrap();
    assert_eq!(one.version(), two.version());
    assert!(one.same_as(&two));
}

#[test]
fn duplicate_names_and_aliases_are_refused() {
    let a = resource(&ResourceType::VirtualHost, "a", "1");
    let b = Arc::new(Resource {
        aliases: Box::new([ResourceName::from("a")]),
        ..Resource::clone(&resource(&ResourceType::VirtualHost, "b", "2"))
    });
    assert!(TypeResources::new(vec![a.clone(), a.clone()]).is_err());
    assert!(TypeResources::new(vec![a, b]).is_err());
}

#[test]
fn diff_names_what_changed_and_what_is_gone() {
    let kind = ResourceType::Cluster;
    let from = TypeResources::new(vec![
        resource(&kind, "a", "1"),
        resource(&kind, "b", "1"),
        resource(&kind, "c", "1"),
    ]);
    let to = TypeResources::new(vec![
        resource(&kind, "b", "2"),
        resource(&kind, "c", "1"),
        resource(&kind, "d", "1"),
    ]);
    let diff = to.unwrap().diff_from(&from.unwrap());
    let names = |list: &[Arc<Resource>]| list.iter().map(|r| r.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&diff.changed), ["b", "d"]);
    assert_eq!(names(&diff.removed), ["a"]);
}

#[test]
fn diff_between_two_sets_is_computed_once() {
    let kind = ResourceType::Cluster;
    let from = TypeResources::new(vec![resource(&kind, "a", "1")]).unwrap();
    let to = TypeResources::new(vec![resource(&kind, "a", "2")]).unwrap();
    assert!(Arc::ptr_eq(&to.diff_from(&from), &to.diff_from(&from)));
}

#[test]
fn own_resources_win_over_shared_ones() {
    let kind = ResourceType::Cluster;
    let own = snapshot("g", 2, vec![(kind.clone(), vec![resource(&kind, "a", "own")])]);
    let shared = snapshot(
        "*",
        3,
        vec![(
            kind.clone(),
            vec![resource(&kind, "a", "shared"), resource(&kind, "b", "shared")],
        )],
    );
    let served = Snapshot::compose(&"g".into(), Some(&own), Some(&shared), None);
    assert_eq!(served.resource(&kind, "a").unwrap().body, "own");
    assert_eq!(served.resource(&kind, "b").unwrap().body, "shared");
    assert_eq!(served.revision(), Revision(3));
}

#[test]
fn published_group_knows_that_a_type_is_empty() {
    let own = snapshot("g", 1, vec![]);
    let served = Snapshot::compose(&"g".into(), Some(&own), None, None);
    assert!(served.get(&ResourceType::Listener).is_some_and(|set| set.is_empty()));
}

#[test]
fn unpublished_group_knows_only_the_types_of_the_shared_group() {
    let kind = ResourceType::Endpoint;
    let shared = snapshot("*", 1, vec![(kind.clone(), vec![resource(&kind, "a", "1")])]);
    let served = Snapshot::compose(&"g".into(), None, Some(&shared), None);
    assert!(served.get(&kind).is_some());
    assert!(served.get(&ResourceType::Cluster).is_none());
}

// S-20
#[test]
fn shared_group_alone_is_whole_only_where_it_suffices() {
    let kind = ResourceType::Cluster;
    let clusters = || vec![(kind.clone(), vec![resource(&kind, "a", "1")])];
    let (own, shared) = (snapshot("g", 1, clusters()), snapshot("*", 2, clusters()));
    let published = Snapshot::compose(&"g".into(), Some(&own), Some(&shared), None);
    assert!(published.is_whole(&kind));
    let partial = Snapshot::compose(&"g".into(), None, Some(&shared), None);
    assert!(!partial.is_whole(&kind) && !partial.is_whole(&ResourceType::Listener));

    let whole = partial.sufficing();
    assert!(whole.is_whole(&kind));
    assert!(whole.get(&ResourceType::Listener).is_some_and(|set| set.is_empty()));
    assert!(Arc::ptr_eq(whole.get(&kind).unwrap(), partial.get(&kind).unwrap()));
    // The completeness of the previous composition does not carry over.
    assert!(!Snapshot::compose(&"g".into(), None, Some(&shared), Some(&whole)).is_whole(&kind));
}

// S-20
#[test]
fn type_was_had_where_either_group_has_it_or_emptied_it() {
    let kind = |content: Vec<Arc<Resource>>, kind: ResourceType| (kind, content);
    let own = vec![
        kind(vec![eds_cluster("a")], ResourceType::Cluster),
        kind(vec![], ResourceType::Listener),
    ];
    let shared = vec![kind(vec![], ResourceType::Secret)];
    let served = Snapshot::compose(
        &"g".into(),
        Some(&snapshot("g", 1, own)),
        Some(&snapshot("*", 2, shared)),
        None,
    );
    for had in [
        ResourceType::Cluster,
        ResourceType::Endpoint,
        ResourceType::Listener,
        ResourceType::Secret,
    ] {
        assert!(served.had(&had), "{had}");
    }
    assert!(!served.had(&ResourceType::Route));
    assert!(served.get(&ResourceType::Route).is_some_and(|set| set.is_empty()));
}

#[test]
fn eds_cluster_without_endpoints_gets_an_empty_assignment() {
    let own = snapshot("g", 1, vec![(ResourceType::Cluster, vec![eds_cluster("a")])]);
    let served = Snapshot::compose(&"g".into(), Some(&own), None, None);
    let any = <prost_types::Any as prost::Message>::decode(
        served.resource(&ResourceType::Endpoint, "a").unwrap().body.clone(),
    )
    .unwrap();
    assert_eq!(any.type_url, ResourceType::Endpoint.type_url());
    assert_eq!(any.value, b"\x0a\x01a");
}

#[test]
fn unchanged_types_are_shared_with_the_previous_snapshot() {
    let clusters = || (ResourceType::Cluster, vec![eds_cluster("a")]);
    let listener = |content| {
        (
            ResourceType::Listener,
            vec![resource(&ResourceType::Listener, "l", content)],
        )
    };
    let one = Snapshot::compose(
        &"g".into(),
        Some(&snapshot("g", 1, vec![clusters(), listener("1")])),
        None,
        None,
    );
    let two = Snapshot::compose(
        &"g".into(),
        Some(&snapshot("g", 2, vec![clusters(), listener("2")])),
        None,
        Some(&one),
    );
    for (kind, same) in [
        (ResourceType::Cluster, true),
        (ResourceType::Endpoint, true),
        (ResourceType::Listener, false),
    ] {
        assert_eq!(
            Arc::ptr_eq(one.get(&kind).unwrap(), two.get(&kind).unwrap()),
            same,
            "{kind}"
        );
    }
}

#[test]
fn named_version_survives_what_is_added_from_below() {
    let kind = ResourceType::Cluster;
    let named = |names: &[&str], version: &str| {
        let resources = names.iter().map(|name| resource(&kind, name, "1")).collect();
        let set = TypeResources::new(resources)
            .unwrap()
            .with_version(Version::from(version));
        BTreeMap::from([(kind.clone(), Arc::new(set))])
    };
    let own = Snapshot::new("g".into(), Revision(1), named(&["a"], "blue"), Completeness::Published);
    let version = |shared: Option<&Snapshot>| {
        let served = Snapshot::compose(&"g".into(), Some(&own), shared, None);
        served.get(&kind).unwrap().version().to_string()
    };
    assert_eq!(version(None), "blue");
    let below = |name: &str| snapshot("*", 2, vec![(kind.clone(), vec![resource(&kind, name, "1")])]);
    assert_eq!(version(Some(&below("a"))), "blue", "it adds nothing");
    assert!(version(Some(&below("b"))).starts_with("blue+"));
    assert_ne!(version(Some(&below("b"))), version(Some(&below("c"))));
}
