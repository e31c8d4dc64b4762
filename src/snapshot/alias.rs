//! Aliases of resources, and the check that a name means one resource only.

use std::{collections::BTreeMap, sync::Arc};

use super::tree::{Edit, Item, Tree};
use crate::resource::{Resource, ResourceName};

/// An alias with the name of its resource (D-12).
#[derive(Clone, Debug)]
pub(super) struct Alias {
    alias: ResourceName,
    owner: ResourceName,
}

/// Two resources of one type have the same name or alias.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("duplicate name \"{0}\"")]
pub struct DuplicateName(pub ResourceName);

// === impl Alias ===

impl Alias {
    /// The name of the resource with this alias.
    pub(super) const fn owner(&self) -> &ResourceName {
        &self.owner
    }

    /// The aliases of `resources`, made from the aliases `before`, without those of `gone` and with those of `new`.
    pub(super) fn edited<'a>(
        before: &Tree<Self>,
        resources: &Tree<Arc<Resource>>,
        gone: impl IntoIterator<Item = &'a Arc<Resource>>,
        new: impl IntoIterator<Item = &'a Arc<Resource>> + Clone,
    ) -> Result<Tree<Self>, DuplicateName> {
        let free = |alias: &ResourceName| (alias.clone(), None);
        let gone = gone.into_iter().flat_map(|resource| resource.aliases.iter().map(free));
        let mut edits: BTreeMap<ResourceName, Option<Self>> = gone.collect();
        for resource in new.clone() {
            for alias in &resource.aliases {
                let edit = edits.get(alias).map(Option::as_ref);
                let taken = edit.unwrap_or_else(|| before.get(alias.as_str()));
                if taken.is_some_and(|taken| taken.owner != resource.name) || is_other(resources, alias, resource) {
                    return Err(DuplicateName(alias.clone()));
                }
                let (alias, owner) = (alias.clone(), resource.name.clone());
                edits.insert(alias.clone(), Some(Self { alias, owner }));
            }
        }
        let aliases = before.edited(&edits.into_iter().collect::<Vec<Edit<Self>>>());
        let taken = |resource: &&Arc<Resource>| {
            let alias = aliases.get(resource.name.as_str());
            alias.is_some_and(|alias| alias.owner != resource.name)
        };
        // Most types have no aliases.
        let mut named = new.into_iter().take_while(|_| !aliases.is_empty());
        match named.find(taken) {
            Some(resource) => Err(DuplicateName(resource.name.clone())),
            None => Ok(aliases),
        }
    }
}

/// Returns true if the alias is the name of another resource.
fn is_other(resources: &Tree<Arc<Resource>>, alias: &ResourceName, resource: &Resource) -> bool {
    *alias != resource.name && resources.get(alias.as_str()).is_some()
}

impl Item for Alias {
    fn key(&self) -> &ResourceName {
        &self.alias
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        [&self.alias, &self.owner]
            .into_iter()
            .map(|name| name.as_str().as_bytes())
    }

    fn bytes(&self) -> usize {
        0
    }
}
