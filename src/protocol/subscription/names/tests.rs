//! Equal lists are one, and their selections are made once.

use std::sync::Mutex;

use super::*;
use crate::protocol::subscription::{Lists, Unshared, lists};
use crate::resource::{ContentHash, ResourceType, Version};

fn names(list: &[&str]) -> Names {
    lists::listed(list.iter().copied(), &Unshared)
}

/// A registry that returns the last shared list, whatever the fingerprint.
#[derive(Debug, Default)]
struct Last(Mutex<Names>);

impl Lists for Last {
    fn find(&self, _: NamesFingerprint) -> Option<Names> {
        Some(self.0.lock().unwrap().clone())
    }

    fn share(&self, names: Names) -> Names {
        let mut last = self.0.lock().unwrap();
        if last.fingerprint() != names.fingerprint() {
            last.clone_from(&names);
        }
        last.clone()
    }
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
            warming: crate::resource::Warming::default(),
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
fn equal_lists_are_one_whatever_their_order_and_the_way_to_them() {
    let known = Last::default();
    let shared = |list: &[&str]| lists::listed(list.iter().copied(), &known);
    let one = shared(&["b", "a", "b"]);
    assert!(one.is_same(&shared(&["a", "b"])));
    let edited = lists::edited(&names(&["a", "c"]), &["b"], &["c"], &known);
    assert!(one.is_same(&edited));
    assert!(names(&[]).is_empty() && lists::edited(&one, &[], &["a", "b"], &known).is_empty());
}

#[test]
fn list_that_is_found_and_is_another_is_not_taken() {
    let known = Last::default();
    lists::listed(["a"].into_iter(), &known);
    assert_eq!(lists::listed(["b"].into_iter(), &known), ["b".into()]);
    assert_eq!(
        lists::edited(&names(&["c"]), &["d"], &[], &known),
        ["c".into(), "d".into()]
    );
}

#[test]
fn walk_finds_what_a_search_finds() {
    let list = names(&["a", "c", "d"]);
    let mut walk = list.walk();
    let found = ["", "a", "b", "c", "c", "e"].map(|name| walk.holds(name));
    assert_eq!(found, [false, true, false, true, true, false]);
    assert_eq!(list.minus(&names(&["c", "z"])), ["a".into(), "d".into()]);
}

#[test]
fn list_without_users_is_gone() {
    let list = names(&["a"]);
    let weak = list.downgrade();
    assert!(weak.upgrade().is_some_and(|again| again.is_same(&list)) && !weak.is_gone());
    drop(list);
    assert!(weak.upgrade().is_none() && weak.is_gone());
}

#[test]
fn selection_is_made_once_for_all_that_share_a_list() {
    let set = set(&[("a", "1", &["x"]), ("b", "1", &[]), ("c", "1", &[])]);
    let one = names(&["a", "x", "c", "gone"]).select(&set);
    assert_eq!(found(&one), ["a", "c"]);
    assert_eq!(one.missing, [ResourceName::from("gone")]);
    let list = names(&["x", "c", "gone", "a"]);
    let (two, three) = (list.select(&set), list.clone().select(&set));
    assert!(Arc::ptr_eq(&two, &three));
}

#[test]
fn change_is_selected_by_the_shorter_of_names_and_diff() {
    let old = set(&[("a", "1", &["x"]), ("b", "1", &[]), ("c", "1", &[])]);
    let one = set(&[("a", "2", &["x"]), ("b", "1", &[]), ("c", "1", &[])]);
    let all = set(&[("a", "3", &["x"]), ("b", "3", &[]), ("c", "3", &[])]);
    assert_eq!(found(&names(&["x", "b"]).select_changed(&old, &one)), ["a"]);
    assert_eq!(found(&names(&["x"]).select_changed(&old, &all)), ["a"]);
    assert_eq!(
        found(&names(&["b", "c", "d", "e"]).select_changed(&old, &all)),
        ["b", "c"]
    );
    assert!(names(&["b"]).select_changed(&old, &one).resources.is_empty());
}
