//! Equal lists are one, and what they stand for is found once.

use super::*;
use crate::resource::{ContentHash, ResourceType, Version};

fn names(pool: &NamePool, list: &[&str]) -> Names {
    Names::pooled(list.iter().copied(), pool)
}

fn set(resources: &[(&str, &str, &[&str])]) -> TypeResources {
    let resource = |(name, content, aliases): &(&str, &str, &[&str])| {
        let name = ResourceName::from(*name);
        let hash = ContentHash::of(&ResourceType::Endpoint, &name, &[], None, content.as_bytes());
        Arc::new(Resource {
            name,
            version: Version::from(hash),
            content: hash,
            aliases: aliases.iter().copied().map(ResourceName::from).collect(),
            ttl: None,
            body: bytes::Bytes::copy_from_slice(content.as_bytes()),
            references: Box::default(),
            places: Box::default(),
        })
    };
    TypeResources::new(resources.iter().map(resource).collect()).unwrap()
}

fn found(selection: &Selection) -> Vec<&str> {
    selection
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect()
}

#[test]
fn equal_lists_are_one_whatever_their_order() {
    let pool = NamePool::default();
    let one = names(&pool, &["b", "a", "b"]);
    let two = names(&pool, &["a", "b"]);
    assert!(Arc::ptr_eq(one.0.as_ref().unwrap(), two.0.as_ref().unwrap()));
    assert_eq!(pool.len(), 1);
    assert_ne!(one, names(&pool, &["a"]));
    assert!(names(&pool, &[]).is_empty());
}

#[test]
fn list_that_nobody_asks_for_is_gone() {
    let pool = NamePool::default();
    for number in 0..10 * SWEEP_FROM {
        drop(names(&pool, &[&number.to_string()]));
    }
    assert!(pool.is_empty());
    let left = pool.lists.lock().unwrap().lists.len();
    assert!(left <= SWEEP_FROM, "{left} of unused lists are left");
}

#[test]
fn list_is_known_again_in_any_order() {
    let pool = NamePool::default();
    let list = names(&pool, &["a", "b", "c"]);
    assert!(list.are(["a", "b", "c"].into_iter()));
    assert!(list.are(["c", "a", "b"].into_iter()));
    assert!(!list.are(["a", "b"].into_iter()));
    assert!(!list.are(["a", "b", "d"].into_iter()));
}

#[test]
fn selection_is_made_once_for_all_that_share_a_list() {
    let pool = NamePool::default();
    let set = set(&[("a", "1", &["x"]), ("b", "1", &[]), ("c", "1", &[])]);
    let one = names(&pool, &["a", "x", "c", "gone"]).select(&set);
    assert_eq!(found(&one), ["a", "c"]);
    assert_eq!(one.missing, [ResourceName::from("gone")]);
    let list = names(&pool, &["x", "c", "gone", "a"]);
    let (two, three) = (list.select(&set), list.clone().select(&set));
    assert!(Arc::ptr_eq(&two, &three));
}

#[test]
fn change_is_selected_by_the_shorter_of_names_and_diff() {
    let pool = NamePool::default();
    let old = set(&[("a", "1", &["x"]), ("b", "1", &[]), ("c", "1", &[])]);
    let one = set(&[("a", "2", &["x"]), ("b", "1", &[]), ("c", "1", &[])]);
    let all = set(&[("a", "3", &["x"]), ("b", "3", &[]), ("c", "3", &[])]);
    assert_eq!(found(&names(&pool, &["x", "b"]).select_changed(&old, &one)), ["a"]);
    assert_eq!(found(&names(&pool, &["x"]).select_changed(&old, &all)), ["a"]);
    assert_eq!(
        found(&names(&pool, &["b", "c", "d", "e"]).select_changed(&old, &all)),
        ["b", "c"]
    );
    assert!(names(&pool, &["b"]).select_changed(&old, &one).resources.is_empty());
}
