//! Tests of the index: a look-up of many names finds the same as a look-up of one.

use proptest::prelude::*;

use super::*;
use crate::{
    resource::{ContentHash, ResourceName, ResourceType, Version},
    snapshot::TypeResources,
};

fn name(number: u16) -> String {
    format!("vhosts/name-{number}")
}

/// Makes a resource; every third one has an alias.
fn resource(number: u16) -> Arc<Resource> {
    let (kind, name) = (ResourceType::VirtualHost, ResourceName::from(name(number)));
    let content = ContentHash::of(&kind, &name, &[], None, b"");
    let alias = number
        .is_multiple_of(3)
        .then(|| ResourceName::from(format!("alias-{number}")));
    Arc::new(Resource {
        name,
        version: Version::from(content),
        content,
        aliases: alias.into_iter().collect(),
        ttl: None,
        body: bytes::Bytes::new(),
        references: Box::default(),
        places: Box::default(),
        warming: crate::resource::Warming::default(),
    })
}

fn set(numbers: impl IntoIterator<Item = u16>) -> TypeResources {
    TypeResources::new(numbers.into_iter().map(resource).collect()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn many_names_are_found_as_one_is(numbers in prop::collection::btree_set(0..600_u16, 0..400),
                                      asked in 1..100_usize) {
        let set = set(numbers);
        let find = set.finder(asked);
        for number in 0..600 {
            for name in [name(number), format!("alias-{number}")] {
                let (found, expected) = (find(&name), set.get(&name));
                prop_assert_eq!(found.map(Arc::as_ptr), expected.map(Arc::as_ptr), "{}", name);
            }
        }
    }
}

#[test]
fn nothing_is_found_in_an_empty_set() {
    let set = TypeResources::default();
    assert!(set.finder(1_000)("a").is_none());
}

#[test]
fn hash_that_is_taken_is_no_name_that_is_there() {
    let list: Vec<_> = (0..100).map(resource).collect();
    let index = Index::new(&list);
    // A list of the same length with other names: the places exist, the names do not.
    let others: Vec<_> = (100..200).map(resource).collect();
    assert!(
        list.iter()
            .all(|resource| index.find(&others, resource.name.as_str()).is_none())
    );
}
