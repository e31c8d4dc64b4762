//! A small configuration with every kind of resource, and variants of its content.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use chancery::{
    resource::{ContentHash, Reference, Resource, ResourceName, ResourceType, Version, Warming},
    snapshot::{Completeness, Revision, Snapshot, TypeResources},
};
use prost::Message as _;

type Types = BTreeMap<ResourceType, Arc<TypeResources>>;

thread_local! {
    /// Cached resources by revision.
    static MADE: RefCell<BTreeMap<u64, Types>> = RefCell::default();
}

/// The snapshot of a revision: the last eight bits of the number decide which names exist and with which content.
pub(super) fn snapshot(revision: u64) -> Arc<Snapshot> {
    of(revision, types(revision))
}

/// The resources of a revision.
pub(super) fn types(revision: u64) -> Types {
    let number = revision % 256;
    MADE.with_borrow_mut(|made| made.entry(number).or_insert_with(|| make(number)).clone())
}

fn make(revision: u64) -> Types {
    let has = |bit: u64| revision >> bit & 1 == 1;
    let content = |bit: u64| if has(bit) { "one" } else { "two" };
    let mut types: BTreeMap<ResourceType, Vec<Arc<Resource>>> = BTreeMap::new();
    let mut add = |kind: ResourceType, name: &str, content: &str, to: &[(ResourceType, &str)]| {
        let resource = resource(&kind, name, content, to);
        types.entry(kind).or_default().push(resource);
    };
    for (index, name) in ["a", "b"].into_iter().enumerate() {
        let index = index as u64;
        if has(index) {
            add(
                ResourceType::Cluster,
                name,
                content(2 + index),
                &[(ResourceType::Endpoint, name)],
            );
            add(ResourceType::Endpoint, name, content(4), &[]);
        }
    }
    let cluster = if has(0) { "a" } else { "b" };
    add(
        ResourceType::Route,
        "r",
        content(5),
        &[(ResourceType::Cluster, cluster)],
    );
    add(
        ResourceType::VirtualHost,
        "r/a",
        content(5),
        &[(ResourceType::Cluster, cluster)],
    );
    if has(6) {
        add(ResourceType::Listener, "l", content(5), &[(ResourceType::Route, "r")]);
    }
    add(ResourceType::Secret, "xdstp://x/s/t?a=1", content(7), &[]);
    let types = types.into_iter().map(|(kind, resources)| {
        let resources = TypeResources::new(resources).unwrap();
        (kind, Arc::new(resources))
    });
    types.collect()
}

/// A snapshot with these resources.
pub(super) fn of(revision: u64, types: Types) -> Arc<Snapshot> {
    let own = Snapshot::new("demo".into(), Revision(revision), types, Completeness::Published);
    Arc::new(Snapshot::compose(&"demo".into(), Some(&own), None, None))
}

pub(super) fn one(kind: &ResourceType, name: &str) -> Arc<TypeResources> {
    let resource = resource(kind, name, "one", &[]);
    Arc::new(TypeResources::new(vec![resource]).unwrap())
}

fn resource(kind: &ResourceType, name: &str, content: &str, to: &[(ResourceType, &str)]) -> Arc<Resource> {
    let name = ResourceName::from(name);
    let body = prost_types::Any {
        type_url: kind.type_url().to_owned(),
        value: content.as_bytes().to_vec(),
    };
    let body = Bytes::from(body.encode_to_vec());
    let hash = ContentHash::of(kind, &name, &[], None, &body);
    let references = to.iter().map(|(kind, name)| Reference {
        resource_type: kind.clone(),
        name: (*name).into(),
    });
    Arc::new(Resource {
        version: Version::from(hash),
        name,
        content: hash,
        aliases: Box::default(),
        ttl: None,
        body,
        references: references.collect(),
        places: Box::default(),
        warming: Warming::default(),
    })
}
