//! Names asked for one by one, as lists that streams share.
//!
//! A fleet asks for few different lists, each of up to thousands of names. So a list is immutable, equal lists are one, and
//! what a list stands for in a set of resources is found out once for all streams that ask for it.

use std::{
    collections::HashMap,
    fmt,
    hash::BuildHasher as _,
    slice,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use foldhash::quality::FixedState;

use crate::{
    protocol::sorted::{sort_by_text, walk_to},
    resource::{Resource, ResourceName},
    snapshot::{HeldPrint, TypeResources},
};

/// Selections kept per list: streams are at few different sets of resources, and go few different ways between them.
const KEPT: usize = 4;

/// Lists that a pool holds before it looks for those that nobody uses any more.
const SWEEP_FROM: usize = 256;

/// A list of names: sorted, each once, immutable. A clone is the same list.
#[derive(Clone, Default)]
pub struct Names(Option<Arc<List>>);

/// Makes equal lists one. Holds none of them: a list that no stream asks for is gone.
#[derive(Debug, Default)]
pub struct NamePool {
    lists: Mutex<Pooled>,
}

/// What of a set of resources a list of names stands for.
#[derive(Debug, Default)]
pub struct Selection {
    /// The resources, sorted by name, each once.
    pub resources: Vec<Arc<Resource>>,
    /// Names that no resource answers to.
    pub missing: Vec<ResourceName>,
    /// Of the resources, where these are what the names say, name by name.
    print: OnceLock<Option<HeldPrint>>,
}

#[derive(Debug)]
struct List {
    names: Box<[ResourceName]>,
    selections: Mutex<Vec<Kept>>,
}

/// A selection made before: of everything in a set, or of what changed on the way to it.
#[derive(Debug)]
struct Kept {
    from: Option<u64>,
    to: u64,
    selection: Arc<Selection>,
}

#[derive(Debug)]
struct Pooled {
    /// By hash: the lists are compared all the same.
    lists: HashMap<u64, Vec<Weak<List>>, FixedState>,
    sweep_at: usize,
}

// === impl Names ===

impl Names {
    /// The list of these names, in any order and with repetitions, out of the pool where it is known there.
    pub(super) fn pooled<'a>(names: impl Iterator<Item = &'a str>, pool: &NamePool) -> Self {
        let mut names: Vec<&str> = names.collect();
        sort_by_text(&mut names, |name| name);
        names.dedup();
        if names.is_empty() {
            return Self::default();
        }
        Self(Some(pool.list(&names)))
    }

    /// The names, sorted.
    #[must_use]
    pub fn as_slice(&self) -> &[ResourceName] {
        self.0.as_ref().map_or(&[], |list| &list.names)
    }

    /// The names, sorted.
    pub fn iter(&self) -> slice::Iter<'_, ResourceName> {
        self.as_slice().iter()
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the name is in the list.
    #[must_use]
    pub fn contains(&self, name: &ResourceName) -> bool {
        self.has(name.as_str())
    }

    /// The same for a name that is text.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let found = self.as_slice().binary_search_by(|listed| listed.as_str().cmp(name));
        found.is_ok()
    }

    /// Whether these names, in any order, are the list. Allocates nothing: an ACK repeats the whole list.
    pub(super) fn are<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> bool {
        let in_order = names.clone().eq(self.iter().map(ResourceName::as_str));
        // A repeated name could stand for one that is missing; such a list takes the longer way.
        in_order || (names.clone().count() == self.len() && self.is_covered_by(names))
    }

    fn is_covered_by<'a>(&self, mut names: impl Iterator<Item = &'a str> + Clone) -> bool {
        names.all(|name| self.has(name))
    }

    /// The names that `other` does not have.
    pub(super) fn minus(&self, other: &Self) -> Vec<ResourceName> {
        let mut others = other.as_slice();
        let more = self
            .iter()
            .filter(|name| walk_to(&mut others, name.as_str(), ResourceName::as_str).is_none());
        more.cloned().collect()
    }

    /// What the names stand for in a set of resources.
    pub(in crate::protocol) fn select(&self, of: &TypeResources) -> Arc<Selection> {
        self.selection(None, of.id(), |names| {
            let mut selection = Selection::default();
            let find = of.finder(names.len());
            for name in names {
                match find(name.as_str()) {
                    Some(resource) => selection.resources.push(Arc::clone(resource)),
                    None => selection.missing.push(name.clone()),
                }
            }
            selection
        })
    }

    /// The print of who holds of a set of resources all that is named, and every name of it is that of a resource.
    pub(in crate::protocol) fn print(&self, of: &TypeResources) -> Option<HeldPrint> {
        let selection = self.select(of);
        *selection.print.get_or_init(|| {
            let resources = || selection.resources.iter();
            let is_plain = self.iter().eq(resources().map(|resource| &resource.name));
            is_plain.then(|| resources().map(|resource| resource.held()).collect())
        })
    }

    /// What they stand for of that which changed from one set to another.
    pub(in crate::protocol) fn select_changed(&self, from: &TypeResources, to: &TypeResources) -> Arc<Selection> {
        self.selection(Some(from.id()), to.id(), |names| {
            let diff = to.diff_from(from);
            let resources = if names.len() < diff.changed.len() {
                let (find, find_before) = (to.finder(names.len()), from.finder(names.len()));
                let now = names.iter().filter_map(|name| find(name.as_str()));
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

    fn selection(&self, from: Option<u64>, to: u64, make: impl FnOnce(&[ResourceName]) -> Selection) -> Arc<Selection> {
        let Some(list) = &self.0 else {
            return Arc::default();
        };
        // Made under the lock: all streams with this list want the same one at the same moment.
        let mut kept = list.selections();
        if let Some(kept) = kept.iter().find(|kept| kept.from == from && kept.to == to) {
            return Arc::clone(&kept.selection);
        }
        let mut selection = make(&list.names);
        // Two names may be one resource, by its aliases.
        selection.resources.sort_by(|a, b| a.name.cmp(&b.name));
        selection.resources.dedup_by(|a, b| a.name == b.name);
        selection.resources.shrink_to_fit();
        let selection = Arc::new(selection);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Kept {
            from,
            to,
            selection: Arc::clone(&selection),
        });
        selection
    }
}

impl From<Vec<ResourceName>> for Names {
    /// A list of its own, which nobody else shares.
    fn from(mut names: Vec<ResourceName>) -> Self {
        names.sort_unstable();
        names.dedup();
        let list = (!names.is_empty()).then(|| Arc::new(List::new(names.into())));
        Self(list)
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a ResourceName;
    type IntoIter = slice::Iter<'a, ResourceName>;

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
        self.as_slice() == other
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

// === impl List ===

impl List {
    const fn new(names: Box<[ResourceName]>) -> Self {
        Self {
            names,
            selections: Mutex::new(Vec::new()),
        }
    }

    fn selections(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.selections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self, names: &[&str]) -> bool {
        self.names.iter().map(ResourceName::as_str).eq(names.iter().copied())
    }
}

// === impl NamePool ===

impl NamePool {
    /// The list of these names, which are sorted.
    fn list(&self, names: &[&str]) -> Arc<List> {
        let hash = FixedState::with_seed(0).hash_one(names);
        let alike: Vec<Arc<List>> = self.lock().alike(hash).collect();
        // Compared without the lock: all streams that begin want it.
        if let Some(known) = alike.into_iter().find(|list| list.holds(names)) {
            return known;
        }
        let list = Arc::new(List::new(names.iter().copied().map(ResourceName::from).collect()));
        let mut pooled = self.lock();
        // Another stream may have made it meanwhile.
        if let Some(known) = pooled.alike(hash).find(|list| list.holds(names)) {
            return known;
        }
        pooled.sweep();
        let alike = pooled.lists.entry(hash).or_default();
        alike.retain(|list| list.strong_count() > 0);
        alike.push(Arc::downgrade(&list));
        list
    }

    fn lock(&self) -> MutexGuard<'_, Pooled> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many different lists are asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        let pooled = self.lock();
        let used = pooled.lists.values().flatten().filter(|list| list.strong_count() > 0);
        used.count()
    }

    /// Whether no list is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Pooled ===

impl Pooled {
    /// The lists of this hash that somebody uses.
    fn alike(&self, hash: u64) -> impl Iterator<Item = Arc<List>> {
        self.lists.get(&hash).into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// Forgets lists that nobody uses, each time that the number of lists has doubled.
    fn sweep(&mut self) {
        if self.lists.len() < self.sweep_at {
            return;
        }
        self.lists
            .retain(|_, alike| alike.iter().any(|list| list.strong_count() > 0));
        self.lists.shrink_to_fit();
        self.sweep_at = SWEEP_FROM.max(2 * self.lists.len());
    }
}

impl Default for Pooled {
    fn default() -> Self {
        Self {
            lists: HashMap::default(),
            sweep_at: SWEEP_FROM,
        }
    }
}

#[cfg(test)]
mod tests;
