//! A snapshot without the resources that a node may not have, as if they had never been published.

use std::{collections::BTreeSet, sync::Arc};

use super::{Edits, Snapshot, TypeResources};
use crate::resource::{Resource, ResourceName, ResourceType};

impl Snapshot {
    /// This snapshot with only those resources of a type whose names `keep` accepts. `previous` is an earlier snapshot
    /// and its restriction by the same `keep`: with it the call costs as much as what changed since. The result does
    /// not depend on it.
    ///
    /// The version of the rest is the hash of its content, so it reveals nothing about the hidden resources.
    #[must_use]
    pub fn restricted(
        &self,
        kind: &ResourceType,
        keep: impl Fn(&str) -> bool,
        previous: Option<(&Self, &Self)>,
    ) -> Self {
        let Some(all) = self.of(kind) else {
            return self.clone();
        };
        let before = previous.and_then(|(before, made)| Some((before.of(kind)?, made.of(kind)?)));
        let kept = match before {
            Some((before, made)) => edited(all, before, made, keep),
            None => selected(all, keep),
        };
        // If nothing is hidden, the set is shared with the snapshot.
        let kept = if kept.len() == all.len() { Arc::clone(all) } else { kept };
        let mut restricted = self.clone();
        let replaced = self.types.iter().map(|(own, resources)| {
            let resources = if own == kind { &kept } else { resources };
            (own.clone(), Arc::clone(resources))
        });
        restricted.types = replaced.collect();
        restricted
    }
}

fn selected(all: &TypeResources, keep: impl Fn(&str) -> bool) -> Arc<TypeResources> {
    let kept = all
        .iter()
        .filter(|resource| keep(resource.name.as_str()))
        .cloned()
        .collect();
    Arc::new(TypeResources::new(kept).expect("a part of a set has no name twice"))
}

fn edited(
    all: &Arc<TypeResources>,
    before: &Arc<TypeResources>,
    made: &Arc<TypeResources>,
    keep: impl Fn(&str) -> bool,
) -> Arc<TypeResources> {
    let changed = all.differences(before).flat_map(<[_; 2]>::from).flatten();
    let names: BTreeSet<&ResourceName> = changed.map(|resource| &resource.name).collect();
    let names = names.into_iter().filter(|name| keep(name.as_str()));
    let edits: Edits = names
        .map(|name| (name.clone(), all.named(name.as_str()).cloned()))
        .filter(|(name, edit)| !same(made.named(name.as_str()), edit.as_ref()))
        .collect();
    // A set without hidden resources may have a version that is not the hash of its content.
    if edits.is_empty() && !Arc::ptr_eq(made, before) {
        return Arc::clone(made);
    }
    Arc::new(made.edited(&edits).expect("a part of a set has no name twice"))
}

fn same(before: Option<&Arc<Resource>>, now: Option<&Arc<Resource>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now) || before == now,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        resource::Version,
        snapshot::{Completeness, Revision},
    };

    fn set(names: &BTreeMap<String, u8>, version: Option<&str>) -> Arc<TypeResources> {
        let resource = |(name, content): (&String, &u8)| {
            let name = ResourceName::from(format!("{name}{content}"));
            Arc::new(Resource::empty_endpoints(&name))
        };
        let set = TypeResources::new(names.iter().map(resource).collect()).unwrap();
        Arc::new(match version {
            Some(version) => set.with_version(Version::from(version)),
            None => set,
        })
    }

    fn snapshot(set: Arc<TypeResources>) -> Snapshot {
        let types = [(ResourceType::Secret, set)].into();
        Snapshot::new("g".into(), Revision(1), types, Completeness::Published)
    }

    fn secrets(snapshot: &Snapshot) -> &Arc<TypeResources> {
        snapshot.get(&ResourceType::Secret).unwrap()
    }

    fn names(names: &[&str]) -> BTreeMap<String, u8> {
        names.iter().map(|name| ((*name).to_owned(), 0)).collect()
    }

    fn keep(name: &str) -> bool {
        name.starts_with('a')
    }

    #[test]
    fn what_is_hidden_is_as_if_it_had_never_been() {
        let with = snapshot(set(&names(&["a", "b"]), None));
        let without = snapshot(set(&names(&["a"]), None));
        let seen = with.restricted(&ResourceType::Secret, keep, None);
        assert!(secrets(&seen).same_as(secrets(&without)));
        assert!(seen.resource(&ResourceType::Secret, "b0").is_none());
        assert!(seen.had(&ResourceType::Secret));
        assert!(secrets(&with).get("b0").is_some(), "the snapshot itself is as it was");
    }

    #[test]
    fn the_version_does_not_tell_that_something_hidden_changed() {
        let first = snapshot(set(&names(&["a", "b"]), Some("v1")));
        let second = snapshot(set(&names(&["a", "c"]), Some("v2")));
        let seen = [&first, &second].map(|snapshot| snapshot.restricted(&ResourceType::Secret, keep, None));
        assert_eq!(secrets(&seen[0]).version(), secrets(&seen[1]).version());
    }

    #[test]
    fn where_nothing_is_hidden_all_is_shared() {
        let all = snapshot(set(&names(&["a1", "a2"]), Some("v1")));
        let seen = all.restricted(&ResourceType::Secret, keep, None);
        assert!(Arc::ptr_eq(secrets(&seen), secrets(&all)));
        let none = Snapshot::new("g".into(), Revision(1), BTreeMap::new(), Completeness::SharedOnly);
        assert!(
            none.restricted(&ResourceType::Secret, keep, None)
                .get(&ResourceType::Secret)
                .is_none()
        );
    }

    proptest! {
        #[test]
        fn a_restriction_is_the_same_whatever_it_is_made_from(
            steps in prop::collection::vec(
                (prop::collection::btree_map("[ab][a-e]", 0..3_u8, 0..20), prop::bool::ANY), 1..6),
        ) {
            let mut previous: Option<(Snapshot, Snapshot)> = None;
            for (names, named) in steps {
                let all = snapshot(set(&names, named.then_some("v")));
                let before = previous.as_ref().map(|(before, made)| (before, made));
                let made = all.restricted(&ResourceType::Secret, keep, before);
                let fresh = all.restricted(&ResourceType::Secret, keep, None);
                prop_assert!(secrets(&made).same_as(secrets(&fresh)));
                prop_assert!(secrets(&made).iter().all(|secret| keep(secret.name.as_str())));
                previous = Some((all, made));
            }
        }
    }
}
