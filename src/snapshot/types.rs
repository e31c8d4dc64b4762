//! The resources of a group by type, and the differences between two such maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::type_resources::{EMPTY, TypeResources};
use crate::resource::{Resource, ResourceType};

/// A group's own resources by type. A type that was emptied stays, with the version of the empty set.
pub type Types = BTreeMap<ResourceType, Arc<TypeResources>>;

/// The resources of one type; an empty set if the map has none.
#[must_use]
pub fn of_type<'a>(types: &'a Types, resource_type: &ResourceType) -> &'a Arc<TypeResources> {
    types.get(resource_type).unwrap_or(&EMPTY)
}

/// Pairs of resources that may differ between two states, by type and name; the earlier one first.
pub fn differences<'a>(
    from: &'a Types,
    to: &'a Types,
) -> impl Iterator<Item = (&'a ResourceType, Option<&'a Arc<Resource>>, Option<&'a Arc<Resource>>)> {
    let all: BTreeSet<&ResourceType> = from.keys().chain(to.keys()).collect();
    all.into_iter().flat_map(|resource_type| {
        let differences = of_type(to, resource_type).differences(of_type(from, resource_type));
        differences.map(move |(old, new)| (resource_type, old, new))
    })
}
