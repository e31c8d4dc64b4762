//! Names that are subscribed one by one, as lists that streams share.
//!
//! A fleet asks for few different lists, each of up to thousands of names. So a list is immutable, equal lists are one,
//! and its selections are made once for all streams. An edited list shares nearly all of its nodes with the list
//! before.

mod selection;
mod tree;

use std::{
    fmt,
    sync::{Arc, Weak},
};

pub use self::{selection::Selection, tree::Iter};
use self::{selection::Selections, tree::Tree};
use crate::{
    resource::{Resource, ResourceName},
    snapshot::{HeldFingerprint, TypeResources},
};

/// A list of names: sorted, each once, immutable. A clone is the same list.
#[derive(Clone, Default)]
pub struct Names(Option<Arc<List>>);

/// A fingerprint of a list of names, independent of their order. Different lists may have the same fingerprint: a
/// caller that finds a list by it must compare the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamesFingerprint {
    sum: u64,
    len: usize,
}

/// A reference to a list of names that is freed once no stream asks for it.
#[derive(Clone, Debug, Default)]
pub struct WeakNames(Weak<List>);

/// A cursor over a list, for lookups in sorted order.
#[derive(Debug)]
pub(in crate::protocol) struct Walk<'a>(std::iter::Peekable<Iter<'a>>);

#[derive(Debug)]
struct List {
    names: Tree,
    selections: Selections,
}

// === impl Names ===

impl Names {
    /// The list with some names added and some removed. A name in both is in the list afterwards. The cost is that of
    /// the names in the edit, not of those in the list.
    pub(super) fn edited(&self, add: &[&str], remove: &[&str]) -> Self {
        match &self.0 {
            Some(list) => Self::of(list.names.edited(add, remove)),
            None => add
                .iter()
                .map(|name| ResourceName::from(*name))
                .collect::<Vec<_>>()
                .into(),
        }
    }

    fn of(names: Tree) -> Self {
        let list = List {
            names,
            selections: Selections::default(),
        };
        Self((list.names.len() > 0).then(|| Arc::new(list)))
    }

    /// The fingerprint of the list; `None` for the empty list, which is always shared.
    #[must_use]
    pub fn fingerprint(&self) -> Option<NamesFingerprint> {
        self.0.as_ref().map(|list| NamesFingerprint {
            sum: list.names.sum(),
            len: list.names.len(),
        })
    }

    /// A reference that does not keep the list.
    #[must_use]
    pub fn downgrade(&self) -> WeakNames {
        WeakNames(self.0.as_ref().map_or_else(Weak::new, Arc::downgrade))
    }

    /// Returns true if both are one list in memory, and not only equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The names, sorted.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        self.0.as_ref().map_or_else(Iter::empty, |list| list.names.iter())
    }

    /// The number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.names.len())
    }

    /// The bytes of all names together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.names.bytes())
    }

    /// Returns true if there are no names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns true if the list contains the name.
    #[must_use]
    pub fn contains(&self, name: &ResourceName) -> bool {
        self.has(name.as_str())
    }

    /// Returns true if the list contains the name, given as text.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|list| list.names.has(name))
    }

    /// A cursor for lookups in sorted order.
    pub(in crate::protocol) fn walk(&self) -> Walk<'_> {
        Walk(self.iter().peekable())
    }

    /// The names that `other` does not have.
    pub(super) fn minus(&self, other: &Self) -> Vec<ResourceName> {
        let mut others = other.walk();
        let more = self.iter().filter(|name| !others.holds(name.as_str()));
        more.cloned().collect()
    }

    /// The resources of a set that the names select.
    pub(in crate::protocol) fn select(&self, of: &TypeResources) -> Arc<Selection> {
        self.selection(None, of.id(), || {
            let mut selection = Selection::default();
            let find = of.finder(self.len());
            for name in self {
                match find(name.as_str()) {
                    Some(resource) => selection.resources.push(Arc::clone(resource)),
                    None => selection.missing.push(name.clone()),
                }
            }
            selection
        })
    }

    /// The fingerprint of a client that holds every name in the set's version; `None` if a name is not that of a
    /// resource.
    pub(in crate::protocol) fn held_fingerprint(&self, of: &TypeResources) -> Option<HeldFingerprint> {
        let selection = self.select(of);
        *selection.fingerprint.get_or_init(|| {
            let resources = || selection.resources.iter();
            let is_plain = self.iter().eq(resources().map(|resource| &resource.name));
            is_plain.then(|| resources().map(|resource| resource.held()).collect())
        })
    }

    /// The resources that the names select, out of those that changed from one set to another.
    pub(in crate::protocol) fn select_changed(&self, from: &TypeResources, to: &TypeResources) -> Arc<Selection> {
        self.selection(Some(from.id()), to.id(), || {
            let diff = to.diff_from(from);
            let resources = if self.len() < diff.changed.len() {
                let (find, find_before) = (to.finder(self.len()), from.finder(self.len()));
                let now = self.iter().filter_map(|name| find(name.as_str()));
                let is_new = |now: &&Arc<Resource>| {
                    let before = find_before(now.name.as_str());
                    before.is_none_or(|before| before.version != now.version)
                };
                now.filter(is_new).cloned().collect()
            } else {
                let selected = |resource: &&Arc<Resource>| {
                    self.contains(&resource.name) || resource.aliases.iter().any(|alias| self.contains(alias))
                };
                diff.changed.iter().filter(selected).cloned().collect()
            };
            Selection {
                resources,
                ..Selection::default()
            }
        })
    }

    fn selection(&self, from: Option<u64>, to: u64, make: impl FnOnce() -> Selection) -> Arc<Selection> {
        match &self.0 {
            Some(list) => list.selections.get(from, to, make),
            None => Arc::default(),
        }
    }
}

impl From<Vec<ResourceName>> for Names {
    /// Makes a list that is not shared.
    fn from(mut names: Vec<ResourceName>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self::of(Tree::new(&names))
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a ResourceName;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.names == b.names,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for Names {}

impl<const N: usize> PartialEq<[ResourceName; N]> for Names {
    fn eq(&self, other: &[ResourceName; N]) -> bool {
        self.iter().eq(other)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

// === impl NamesFingerprint ===

impl NamesFingerprint {
    /// The fingerprint of these names, each of which must be given once.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        Self {
            sum: tree::sum_of(names.iter().copied()),
            len: names.len(),
        }
    }
}

// === impl WeakNames ===

impl WeakNames {
    /// The list, as long as a stream asks for it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Names> {
        self.0.upgrade().map(|list| Names(Some(list)))
    }

    /// Returns true if no stream asks for the list.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

// === impl Walk ===

impl Walk<'_> {
    /// Returns true if the list contains the name. Names must be looked up in sorted order.
    pub(in crate::protocol) fn holds(&mut self, name: &str) -> bool {
        while self.0.next_if(|listed| listed.as_str() < name).is_some() {}
        self.0.peek().is_some_and(|listed| listed.as_str() == name)
    }
}

#[cfg(test)]
mod tests;
