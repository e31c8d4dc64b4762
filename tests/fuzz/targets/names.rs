//! Names of resources as clients write them, including `xdstp` names.

use std::{borrow::Cow, sync::Arc};

use chancery::{
    resource::{ContentHash, Resource, ResourceName, ResourceType, Version, Warming, xdstp},
    snapshot::TypeResources,
};

use super::input::lines;

pub(super) fn run(bytes: &[u8]) {
    let Some([first, second]) = lines::<2>(bytes) else {
        return;
    };
    let [one, other] = [first, second].map(canonical);
    // A resource is found under every spelling of its name, and under no other name.
    let set = TypeResources::new(vec![resource(&one)]).unwrap();
    assert!(set.get(&one).is_some());
    assert_eq!(set.get(&other).is_some(), one == other);
    let both = TypeResources::new(vec![resource(&one), resource(&other)]);
    assert_eq!(both.is_err(), one == other, "a name is there once");
}

fn canonical(name: &str) -> String {
    let mut once = name.to_owned();
    xdstp::canonicalize(&mut once);
    let mut twice = once.clone();
    xdstp::canonicalize(&mut twice);
    assert_eq!(once, twice, "a canonical name is its own canonical form");
    let mut borrowed = Cow::Borrowed(name);
    xdstp::canonicalize_cow(&mut borrowed);
    assert_eq!(borrowed, once, "both ways come to one name");
    if !name.starts_with("xdstp://") {
        assert_eq!(once, name, "other names are left as they are");
    }
    once
}

fn resource(name: &str) -> Arc<Resource> {
    let name = ResourceName::from(name);
    let hash = ContentHash::of(&ResourceType::Secret, &name, &[], None, b"body");
    Arc::new(Resource {
        version: Version::from(hash),
        name,
        content: hash,
        aliases: Box::default(),
        ttl: None,
        body: bytes::Bytes::from_static(b"body"),
        references: Box::default(),
        places: Box::default(),
        warming: Warming::default(),
    })
}
