//! The single resources that the message of a NACK accuses. The message is untrusted text and is read only once.

use std::{collections::BTreeSet, iter::once, sync::Arc};

use crate::{protocol::Contents, resource::Resource};

/// The texts with which an Envoy begins a list of refused resources.
const LISTS: [&str; 2] = [
    "Error adding/updating cluster(s) ",
    "Error adding/updating listener(s) ",
];

/// The number of places where the name of an entry may end: a name may contain colons, but not many.
const ENDS: usize = 4;

/// The resources of a refused response that an Envoy accuses, if its message has the known form. An Envoy checks all
/// clusters or listeners of a response, applies the valid ones and names the others (S-8).
pub(in crate::protocol) fn accused(message: &str, resources: &Contents) -> Option<Contents> {
    let list = LISTS.iter().find_map(|begin| message.strip_prefix(begin))?;
    let sorted = resources.as_slice();
    let named: BTreeSet<usize> = entries(list).filter_map(|entry| position(sorted, entry)).collect();
    let named: Vec<_> = named.into_iter().map(|at| Arc::clone(&sorted[at])).collect();
    (!named.is_empty()).then_some(Contents::Chosen(named))
}

/// The texts in `name: reason, name: reason\nname: reason` that may be names.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    let ends: Vec<usize> = list.match_indices(": ").map(|(at, _)| at).collect();
    let begins = |mark: &'static str| list.match_indices(mark).map(move |(at, _)| at + mark.len());
    let starts = once(0).chain(begins(", ")).chain(begins("\n"));
    let of = move |start: usize| {
        let from = ends.partition_point(|end| *end < start);
        let near: Vec<&str> = ends[from..].iter().take(ENDS).map(|end| &list[start..*end]).collect();
        near
    };
    starts.flat_map(of)
}

fn position(sorted: &[Arc<Resource>], name: &str) -> Option<usize> {
    sorted
        .binary_search_by(|resource| resource.name.as_str().cmp(name))
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resource::{ContentHash, Version, Warming};

    fn resources<'a>(names: impl IntoIterator<Item = &'a str>) -> Contents {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let resource = |name: &str| {
            let content = ContentHash::of_texts([name]);
            Arc::new(Resource {
                name: name.into(),
                version: Version::from(content),
                content,
                aliases: Box::default(),
                ttl: None,
                body: name.to_owned().into(),
                references: Box::default(),
                places: Box::default(),
                warming: Warming::default(),
            })
        };
        Contents::Chosen(names.into_iter().map(resource).collect())
    }

    fn names(accused: Option<Contents>) -> Vec<String> {
        let accused = accused.unwrap_or_default();
        accused.iter().map(|resource| resource.name.to_string()).collect()
    }

    #[test]
    fn resources_are_accused_by_their_names_at_the_beginning_of_an_entry() {
        let sent = resources(["a", "b", "c: d", "x, y", "e"]);
        for (list, expected) in [
            ("a: no such thing", &["a"][..]),
            ("a: bad, e: worse: because of b", &["a", "e"]),
            ("c: d: bad\nx, y: bad", &["c: d", "x, y"]),
            ("nothing known", &[]),
            ("aa: bad, ee: bad", &[]),
        ] {
            let message = format!("{}{list}", LISTS[0]);
            assert_eq!(names(accused(&message, &sent)), expected, "{list}");
        }
        assert!(accused("a: bad", &sent).is_none(), "not the known form");
    }

    proptest! {
        #[test]
        fn words_are_read_as_if_each_name_were_looked_for(list in "[ab,: \n]{0,40}", listed in prop::collection::vec("[ab]{1,2}", 0..4)) {
            let sent = resources(listed.iter().map(String::as_str));
            let is_named = |name: &&String| {
                let entry = format!("{name}: ");
                list.starts_with(&entry) || list.contains(&format!(", {entry}")) || list.contains(&format!("\n{entry}"))
            };
            let expected: BTreeSet<&String> = listed.iter().filter(is_named).collect();
            let found = names(accused(&format!("{}{list}", LISTS[1]), &sent));
            prop_assert_eq!(found, expected.into_iter().cloned().collect::<Vec<_>>());
        }
    }

    /// A search for each resource in the whole message took minutes.
    #[test]
    fn long_words_about_many_resources_are_read_once() {
        let all: Vec<String> = (0..50_000).map(|number| format!("cluster-{number}")).collect();
        let sent = resources(all.iter().map(String::as_str));
        let list = ", x".repeat(80_000) + &", ".repeat(80_000) + ", cluster-7: bad" + &": ".repeat(80_000);
        assert_eq!(names(accused(&format!("{}{list}", LISTS[0]), &sent)), ["cluster-7"]);
    }
}
