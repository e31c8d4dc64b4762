//! Steps from one state of a group to the next: unchanged resources, new versions, and the list of changes.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{error::NotFound, lineage::Lineage};
use crate::{
    admission::{Finding, Limits, Rejection, Severity, codes},
    node::NodeGroup,
    resource::{ContentHash, Resource, ResourceName, ResourceType, Version},
    snapshot::{DuplicateName, Edits, Revision, TypeResources, Types, differences, of_type},
};

/// Resources by type, each list sorted by name; their versions are not final.
pub(super) type Wanted = BTreeMap<ResourceType, Vec<Arc<Resource>>>;

/// Edits against the head, by type and name: only of resources that changed or were removed.
pub(super) type GroupEdits = BTreeMap<ResourceType, Edits>;

/// The state that follows the head.
pub(super) struct Next {
    pub(super) types: Types,
    /// The list of changes, as users see it.
    pub(super) changes: Vec<TypeChange>,
    /// Contents of the head that are missing in this state.
    pub(super) replaced: Vec<ContentHash>,
}

/// The difference of one type between two states of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeChange {
    /// The type.
    pub resource_type: ResourceType,
    /// Names of new resources.
    pub added: Vec<ResourceName>,
    /// Names of resources with another content.
    pub changed: Vec<ResourceName>,
    /// Names of removed resources.
    pub removed: Vec<ResourceName>,
    /// The type's version in the later state.
    pub version: Version,
}

/// Edits that make the head exactly the wanted resources.
pub(super) fn replacement(head: &Types, wanted: &Wanted) -> GroupEdits {
    let all: BTreeSet<&ResourceType> = head.keys().chain(wanted.keys()).collect();
    let edits = all.into_iter().map(|resource_type| {
        let wanted = wanted.get(resource_type).map(Vec::as_slice).unwrap_or_default();
        (
            resource_type.clone(),
            type_replacement(of_type(head, resource_type), wanted),
        )
    });
    edits.filter(|(_, edits)| !edits.is_empty()).collect()
}

/// Walks both sorted lists once.
fn type_replacement(head: &TypeResources, wanted: &[Arc<Resource>]) -> Edits {
    let mut edits = Edits::new();
    let (mut old, mut new) = (head.iter().peekable(), wanted.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return edits,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let pair = match order {
            Ordering::Less => (old.next(), None),
            Ordering::Greater => (None, new.next()),
            Ordering::Equal => (old.next(), new.next()),
        };
        edits.extend(edit(pair.0, pair.1));
    }
}

/// Edits that turn the head into a stored state.
pub(super) fn restoration(head: &Types, target: &Types) -> GroupEdits {
    let mut edits = GroupEdits::new();
    for (resource_type, old, new) in differences(head, target) {
        if let Some((name, edit)) = edit(old, new) {
            edits.entry(resource_type.clone()).or_default().insert(name, edit);
        }
    }
    edits
}

/// Edits that apply a patch to the head.
pub(super) fn patch(
    group: &NodeGroup,
    head: &Types,
    deletions: &[(ResourceType, ResourceName)],
    upserts: &Wanted,
) -> Result<GroupEdits, NotFound> {
    let mut edits = GroupEdits::new();
    for (resource_type, name) in deletions {
        if of_type(head, resource_type).named(name.as_str()).is_none() {
            return Err(NotFound::Resource {
                group: group.clone(),
                resource_type: resource_type.clone(),
                name: name.clone(),
            });
        }
        edits
            .entry(resource_type.clone())
            .or_default()
            .insert(name.clone(), None);
    }
    for (resource_type, resource) in upserts
        .iter()
        .flat_map(|(kind, all)| all.iter().map(move |one| (kind, one)))
    {
        let old = of_type(head, resource_type).named(resource.name.as_str());
        let edits = edits.entry(resource_type.clone()).or_default();
        // A resource that is both deleted and given is replaced.
        edits.remove(&resource.name);
        edits.extend(edit(old, Some(resource)));
    }
    edits.retain(|_, edits| !edits.is_empty());
    Ok(edits)
}

/// The edit from one resource to another of the same name; `None` where both are equal.
fn edit(old: Option<&Arc<Resource>>, new: Option<&Arc<Resource>>) -> Option<(ResourceName, Option<Arc<Resource>>)> {
    match (old, new) {
        (Some(old), Some(new)) if old.content == new.content => None,
        (Some(_) | None, Some(new)) => Some((new.name.clone(), Some(Arc::clone(new)))),
        (Some(old), None) => Some((old.name.clone(), None)),
        (None, None) => None,
    }
}

/// Refuses a patched snapshot that exceeds a limit, although its candidate alone does not.
pub(super) fn check_limits(head: &Types, edits: &GroupEdits, limits: &Limits) -> Result<(), Rejection> {
    let mut count: usize = head.values().map(|resources| resources.len()).sum();
    let mut bytes: usize = head.values().map(|resources| resources.bytes()).sum();
    for (resource_type, edits) in edits {
        for (name, edit) in edits {
            let old = of_type(head, resource_type).named(name.as_str());
            count = count + usize::from(edit.is_some()) - usize::from(old.is_some());
            bytes = bytes + edit.as_ref().map_or(0, |new| new.body.len()) - old.map_or(0, |old| old.body.len());
        }
    }
    let message = if count > limits.resources {
        format!("{count} resources in all, at most {} are allowed", limits.resources)
    } else if bytes > limits.total_bytes {
        format!("{bytes} bytes in all, at most {} are allowed", limits.total_bytes)
    } else {
        return Ok(());
    };
    Err(rejection(error(codes::LIMIT, message)))
}

/// Makes the next state: unchanged types and resources are shared with the head, the rest gets new versions. An emptied type
/// stays as an empty one, in a version that differs from the one before.
pub(super) fn next(
    head: &Types,
    edits: GroupEdits,
    lineage: &Lineage,
    revision: Revision,
    named: Option<&Version>,
) -> Result<Next, Rejection> {
    let mut next = Next {
        types: head.clone(),
        changes: Vec::new(),
        replaced: Vec::new(),
    };
    for (resource_type, mut edits) in edits {
        let before = of_type(head, &resource_type);
        for resource in edits.values_mut().flatten() {
            *resource = lineage.versioned(resource, revision);
        }
        let after = before.edited(&edits);
        let after = after.map_err(|taken| rejection(duplicate(&resource_type, &taken)))?;
        let after = lineage.versioned_type(&resource_type, after, named, revision);
        let mut change = TypeChange::none(&resource_type, &after);
        for (name, edit) in &edits {
            let old = before.named(name.as_str());
            next.replaced.extend(old.map(|old| old.content));
            change.add(old, edit.as_ref());
        }
        next.changes.push(change);
        next.types.insert(resource_type, Arc::new(after));
    }
    Ok(next)
}

/// The difference of two states of a group, by content: a version that differs only in its suffix is no change.
pub(super) fn type_changes(from: &Types, to: &Types) -> Vec<TypeChange> {
    let mut changes: BTreeMap<&ResourceType, TypeChange> = BTreeMap::new();
    for (resource_type, old, new) in differences(from, to) {
        if edit(old, new).is_some() {
            let change = changes
                .entry(resource_type)
                .or_insert_with(|| TypeChange::none(resource_type, of_type(to, resource_type)));
            change.add(old, new);
        }
    }
    changes.into_values().collect()
}

// === impl TypeChange ===

impl TypeChange {
    fn none(resource_type: &ResourceType, after: &TypeResources) -> Self {
        Self {
            resource_type: resource_type.clone(),
            added: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            version: after.version().clone(),
        }
    }

    fn add(&mut self, old: Option<&Arc<Resource>>, new: Option<&Arc<Resource>>) {
        match (old, new) {
            (Some(_), Some(new)) => self.changed.push(new.name.clone()),
            (None, Some(new)) => self.added.push(new.name.clone()),
            (Some(old), None) => self.removed.push(old.name.clone()),
            (None, None) => {}
        }
    }
}

/// A patch can join two names that admission never saw in one candidate.
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

pub(super) const fn error(code: &'static str, message: String) -> Finding {
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
