//! Tests that a composition from the previous one equals a composition from scratch.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KINDS: [ResourceType; 3] = [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::VirtualHost];

/// One resource of the model: content, aliases, and the endpoints that it refers to.
#[derive(Clone, Debug, PartialEq)]
struct Shape {
    content: u8,
    alias: Option<u8>,
    endpoints: Vec<u8>,
}

/// (Type, name) → resource.
type Layer = BTreeMap<(usize, u8), Shape>;

/// The effect of one publish on a layer; `None` is a deletion.
#[derive(Clone, Debug)]
enum Step {
    Own(Option<Layer>, bool),
    Shared(Option<Layer>, bool),
}

fn layer() -> impl Strategy<Value = Layer> {
    let shape = (
        0..2_u8,
        proptest::option::weighted(0.3, 0..5_u8),
        proptest::collection::vec(0..4_u8, 0..3),
    );
    let shape = shape.prop_map(|(content, alias, endpoints)| Shape {
        content,
        alias,
        endpoints,
    });
    proptest::collection::btree_map((0..KINDS.len(), 0..4_u8), shape, 0..9)
}

fn step() -> impl Strategy<Value = Step> {
    let layer = || proptest::option::weighted(0.9, layer());
    prop_oneof![
        (layer(), any::<bool>()).prop_map(|(layer, named)| Step::Own(layer, named)),
        (layer(), any::<bool>()).prop_map(|(layer, named)| Step::Shared(layer, named)),
    ]
}

fn made(kind: &ResourceType, name: u8, shape: &Shape) -> Arc<Resource> {
    let name = ResourceName::from(format!("name-{name}"));
    // Aliases have a namespace: they collide with some names of other layers, and never within one resource.
    let aliases: Box<[ResourceName]> = shape
        .alias
        .iter()
        .map(|n| ResourceName::from(format!("name-{n}")))
        .collect();
    let hash = ContentHash::of(kind, &name, &aliases, None, format!("{shape:?}").as_bytes());
    let asked = shape.endpoints.iter().filter(|_| *kind == ResourceType::Cluster);
    let mut references: Vec<Reference> = asked
        .map(|n| Reference {
            resource_type: ResourceType::Endpoint,
            name: ResourceName::from(format!("name-{n}")),
        })
        .collect();
    references.sort();
    references.dedup();
    Arc::new(Resource {
        version: Version::from(hash),
        name,
        content: hash,
        aliases,
        ttl: None,
        body: format!("{shape:?}").into(),
        references: references.into(),
        places: Box::default(),
        warming: crate::resource::Warming::default(),
    })
}

/// The layer as a group's own snapshot. Resources with a duplicate name are left out, as admission would refuse them.
fn published(layer: &Layer, named: bool, revision: u64) -> Snapshot {
    let mut types: BTreeMap<ResourceType, Vec<Arc<Resource>>> = BTreeMap::new();
    for ((kind, name), shape) in layer {
        let resources = types.entry(KINDS[*kind].clone()).or_default();
        let more = [resources.clone(), vec![made(&KINDS[*kind], *name, shape)]].concat();
        if TypeResources::new(more.clone()).is_ok() {
            *resources = more;
        }
    }
    let set = |resources| {
        let set = TypeResources::new(resources).unwrap();
        // A named version belongs to its content, as in the publisher.
        let version = Version::from(format!("named-{}", set.content_hash()));
        Arc::new(if named { set.with_version(version) } else { set })
    };
    let types = types
        .into_iter()
        .map(|(kind, resources)| (kind, set(resources)))
        .collect();
    Snapshot::new("g".into(), Revision(revision), types, Completeness::Published)
}

/// Shares unchanged types with the snapshot before, as the publisher does.
fn after(before: Option<&Snapshot>, next: Snapshot) -> Snapshot {
    let Some(before) = before else {
        return next;
    };
    let types = next.types().map(|(kind, set)| {
        let old = before.of(kind).cloned().unwrap_or_default();
        let edits = set.differences(&old).map(|(old, new)| {
            let name = new.or(old).unwrap().name.clone();
            (name, new.cloned())
        });
        let edited = old
            .edited(&edits.collect())
            .unwrap()
            .with_version(set.version().clone());
        assert_eq!(edited.content_hash(), set.content_hash());
        (kind.clone(), Arc::new(edited))
    });
    Snapshot::new("g".into(), next.revision, types.collect(), Completeness::Published)
}

/// A type's version, its resources with their versions, and the owner of each name.
type Observed = (
    ResourceType,
    Version,
    Vec<(ResourceName, Version)>,
    Vec<Option<ResourceName>>,
);

/// The parts of a snapshot that a stream could observe.
fn observed(snapshot: &Snapshot) -> Vec<Observed> {
    let types = snapshot.types().map(|(kind, set)| {
        let resources = set
            .iter()
            .map(|resource| (resource.name.clone(), resource.version.clone()));
        let names = (0..6).map(|n| set.get(&format!("name-{n}")).map(|resource| resource.name.clone()));
        (
            kind.clone(),
            set.version().clone(),
            resources.collect(),
            names.collect(),
        )
    });
    types.collect()
}

/// The expected composition, computed without layers, trees or history.
fn served(own: Option<&Snapshot>, shared: Option<&Snapshot>) -> BTreeMap<(ResourceType, ResourceName), Version> {
    let none = TypeResources::default();
    let set = |layer: Option<&Snapshot>, kind: &ResourceType| {
        let set = layer.and_then(|layer| layer.of(kind).cloned());
        set.unwrap_or_default()
    };
    let mut served = BTreeMap::new();
    let mut endpoints = none;
    for kind in &KINDS {
        let (own, shared) = (set(own, kind), set(shared, kind));
        let free = |resource: &&Arc<Resource>| resource.known_as().all(|name| own.get(name.as_str()).is_none());
        let all: Vec<_> = own.iter().chain(shared.iter().filter(free)).cloned().collect();
        served.extend(all.iter().map(|r| ((kind.clone(), r.name.clone()), r.version.clone())));
        if *kind == ResourceType::Endpoint {
            endpoints = TypeResources::new(all).unwrap();
        }
    }
    let clusters = [set(own, &KINDS[0]), set(shared, &KINDS[0])];
    let clusters = clusters.iter().flat_map(|set| set.iter());
    let clusters = clusters.filter(|r| served.get(&(KINDS[0].clone(), r.name.clone())) == Some(&r.version));
    let asked: Vec<ResourceName> = clusters.flat_map(|r| r.references_to(&KINDS[1])).cloned().collect();
    for name in asked.into_iter().filter(|name| endpoints.get(name.as_str()).is_none()) {
        let value = [
            &[0x0a, u8::try_from(name.as_str().len()).unwrap()],
            name.as_str().as_bytes(),
        ]
        .concat();
        let content = ContentHash::of(&KINDS[1], &name, &[], None, &value);
        served.insert((KINDS[1].clone(), name), Version::from(content));
    }
    served
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn composition_from_the_one_before_is_the_composition_of_everything(
        steps in proptest::collection::vec(step(), 1..12),
    ) {
        let group = NodeGroup::from("g");
        let (mut own, mut shared, mut previous): (Option<Snapshot>, Option<Snapshot>, Option<Snapshot>) = (None, None, None);
        for (revision, step) in (1..).zip(steps) {
            match step {
                Step::Own(layer, named) => {
                    own = layer.map(|layer| after(own.as_ref(), published(&layer, named, revision)));
                }
                Step::Shared(layer, named) => {
                    shared = layer.map(|layer| after(shared.as_ref(), published(&layer, named, revision)));
                }
            }
            let whole = Snapshot::compose(&group, own.as_ref(), shared.as_ref(), None);
            let step = Snapshot::compose(&group, own.as_ref(), shared.as_ref(), previous.as_ref());
            prop_assert_eq!(observed(&step), observed(&whole));
            prop_assert_eq!(step.revision(), whole.revision());
            let names = whole.types().flat_map(|(kind, set)| {
                set.iter().map(move |r| ((kind.clone(), r.name.clone()), r.version.clone()))
            });
            prop_assert_eq!(names.collect::<BTreeMap<_, _>>(), served(own.as_ref(), shared.as_ref()));
            previous = Some(step);
        }
    }
}

#[test]
fn one_change_among_many_resources_is_composed_without_the_others() {
    let kind = ResourceType::Cluster;
    let many = |prefix: &str| {
        (0..5_000)
            .map(|n| eds_cluster(&format!("{prefix}-{n:04}")))
            .collect::<Vec<_>>()
    };
    let own = snapshot("g", 1, vec![(kind.clone(), many("own"))]);
    let shared = snapshot("*", 2, vec![(kind.clone(), many("shared"))]);
    let one = Snapshot::compose(&"g".into(), Some(&own), Some(&shared), None);
    let changed = eds_cluster("own-2500-changed");
    let edits = Edits::from([(changed.name.clone(), Some(changed))]);
    let types = BTreeMap::from([(kind.clone(), Arc::new(own.of(&kind).unwrap().edited(&edits).unwrap()))]);
    let own = Snapshot::new("g".into(), Revision(3), types, Completeness::Published);
    let two = Snapshot::compose(&"g".into(), Some(&own), Some(&shared), Some(&one));
    for kind in [ResourceType::Cluster, ResourceType::Endpoint] {
        let (before, after) = (one.get(&kind).unwrap(), two.get(&kind).unwrap());
        assert_eq!((before.len(), after.len()), (10_000, 10_001));
        assert_eq!(after.diff_from(before).changed.len(), 1);
        let walked = after.differences(before).count();
        assert!(walked < 1_000, "{walked} looked at for one change");
    }
}
