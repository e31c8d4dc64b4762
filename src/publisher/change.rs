//! From one state of a group to the next: what is kept, what gets a new version, what changed.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::{
    lineage::Lineage,
    request::{NotFound, TypeChange},
};
use crate::{
    admission::{Finding, Limits, Rejection, Severity, codes},
    resource::{ContentHash, Resource, ResourceName, ResourceType, Version},
    revision::Types,
    snapshot::{DuplicateName, NodeGroup, Revision, TypeResources},
};

/// Resources by type, as admission gives them; versions mean nothing yet.
pub(super) type Wanted = BTreeMap<ResourceType, Vec<Arc<Resource>>>;

/// What of a group's head a patch leaves, and what it adds.
pub(super) fn patched(
    group: &NodeGroup,
    head: Option<&Types>,
    deletions: &[(ResourceType, ResourceName)],
    upserts: &Wanted,
) -> Result<Wanted, NotFound> {
    let mut merged: BTreeMap<ResourceType, BTreeMap<ResourceName, Arc<Resource>>> = BTreeMap::new();
    for (resource_type, resources) in head.into_iter().flatten() {
        merged.insert(resource_type.clone(), by_name(resources.iter()).collect());
    }
    for (resource_type, name) in deletions {
        let there = merged.get_mut(resource_type).and_then(|names| names.remove(name));
        there.ok_or_else(|| NotFound::Resource {
            group: group.clone(),
            resource_type: resource_type.clone(),
            name: name.clone(),
        })?;
    }
    for (resource_type, resources) in upserts {
        let names = merged.entry(resource_type.clone()).or_default();
        names.extend(by_name(resources.iter()));
    }
    let sorted = merged
        .into_iter()
        .map(|(kind, names)| (kind, names.into_values().collect()));
    Ok(sorted.collect())
}

fn by_name<'a>(
    resources: impl Iterator<Item = &'a Arc<Resource>>,
) -> impl Iterator<Item = (ResourceName, Arc<Resource>)> {
    resources.map(|resource| (resource.name.clone(), Arc::clone(resource)))
}

/// The resources of a stored state.
pub(super) fn wanted_of(types: &Types) -> Wanted {
    types
        .iter()
        .map(|(resource_type, resources)| (resource_type.clone(), resources.as_slice().to_vec()))
        .collect()
}

/// What a patched snapshot as a whole may not exceed, where the candidate alone did not.
pub(super) fn check_limits(wanted: &Wanted, limits: &Limits) -> Result<(), Rejection> {
    let count: usize = wanted.values().map(Vec::len).sum();
    let bytes: usize = wanted.values().flatten().map(|resource| resource.body.len()).sum();
    let message = if count > limits.resources {
        format!("{count} resources in all, at most {} are allowed", limits.resources)
    } else if bytes > limits.total_bytes {
        format!("{bytes} bytes in all, at most {} are allowed", limits.total_bytes)
    } else {
        return Ok(());
    };
    Err(rejection(error(codes::LIMIT, message)))
}

/// The next state: types and resources that did not change are those of the head, the rest gets its versions.
pub(super) fn next_types(
    head: Option<&Types>,
    mut wanted: Wanted,
    lineage: &Lineage,
    revision: Revision,
    named: Option<&Version>,
) -> Result<Types, Rejection> {
    // A type that is emptied stays as an empty one: emptiness, too, has a version that differs from what was before.
    for resource_type in head.into_iter().flat_map(Types::keys) {
        wanted.entry(resource_type.clone()).or_default();
    }
    let mut types = Types::new();
    for (resource_type, mut resources) in wanted {
        let before = head.and_then(|head| head.get(&resource_type));
        if resources.is_empty() && before.is_none() {
            continue;
        }
        resources.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(before) = before.filter(|before| same_content(before.as_slice(), &resources)) {
            types.insert(resource_type, Arc::clone(before));
            continue;
        }
        for resource in &mut resources {
            let kept = before.and_then(|before| exact(before, resource));
            *resource = kept.map_or_else(|| lineage.versioned(resource, revision), Arc::clone);
        }
        let resources = TypeResources::new(resources).map_err(|taken| rejection(duplicate(&resource_type, &taken)))?;
        let resources = lineage.versioned_type(&resource_type, resources, named, revision);
        types.insert(resource_type, Arc::new(resources));
    }
    Ok(types)
}

/// The same resource as it already is.
fn exact<'a>(before: &'a TypeResources, resource: &Resource) -> Option<&'a Arc<Resource>> {
    before
        .get(resource.name.as_str())
        .filter(|known| known.content == resource.content)
}

fn same_content(before: &[Arc<Resource>], after: &[Arc<Resource>]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(a, b)| a.content == b.content)
}

/// Contents of the head that the next state does not have.
pub(super) fn replaced(head: Option<&Types>, next: Option<&Types>) -> Vec<ContentHash> {
    let mut replaced = Vec::new();
    for (resource_type, before) in head.into_iter().flatten() {
        let after = next.and_then(|next| next.get(resource_type));
        if after.is_some_and(|after| Arc::ptr_eq(before, after)) {
            continue;
        }
        let gone = before
            .iter()
            .filter(|resource| after.is_none_or(|after| exact(after, resource).is_none()));
        replaced.extend(gone.map(|resource| resource.content));
    }
    replaced
}

/// How two states of a group differ, by content: a version that only got a suffix is no change.
pub(super) fn type_changes(from: Option<&Types>, to: &Types) -> Vec<TypeChange> {
    let empty = Arc::<TypeResources>::default();
    let from_types = from.into_iter().flat_map(Types::keys);
    let all: std::collections::BTreeSet<&ResourceType> = from_types.chain(to.keys()).collect();
    let change = |resource_type: &ResourceType| {
        let before = from.and_then(|from| from.get(resource_type)).unwrap_or(&empty);
        let after = to.get(resource_type).unwrap_or(&empty);
        (!Arc::ptr_eq(before, after))
            .then(|| type_change(resource_type, before, after))
            .flatten()
    };
    all.into_iter().filter_map(change).collect()
}

/// Walks both sorted lists once.
fn type_change(resource_type: &ResourceType, before: &TypeResources, after: &TypeResources) -> Option<TypeChange> {
    let mut change = TypeChange {
        resource_type: resource_type.clone(),
        added: Vec::new(),
        changed: Vec::new(),
        removed: Vec::new(),
        version: after.version().clone(),
    };
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        match order {
            Ordering::Less => change.removed.extend(old.next().map(|resource| resource.name.clone())),
            Ordering::Greater => change.added.extend(new.next().map(|resource| resource.name.clone())),
            Ordering::Equal => {
                if let (Some(a), Some(b)) = (old.next(), new.next())
                    && a.content != b.content
                {
                    change.changed.push(b.name.clone());
                }
            }
        }
    }
    let differs = !(change.added.is_empty() && change.changed.is_empty() && change.removed.is_empty());
    differs.then_some(change)
}

/// A patch can bring two names together that admission never saw side by side.
fn duplicate(resource_type: &ResourceType, taken: &DuplicateName) -> Finding {
    Finding {
        type_url: Some(resource_type.type_url().to_owned()),
        resource: Some(taken.0.to_string()),
        ..error(
            codes::DUPLICATE,
            "two resources of the snapshot answer to this name".to_owned(),
        )
    }
}

fn rejection(finding: Finding) -> Rejection {
    Rejection {
        findings: vec![finding],
    }
}

const fn error(code: &'static str, message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        code,
        message,
        place: None,
        type_url: None,
        resource: None,
        field: None,
    }
}
