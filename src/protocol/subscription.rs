//! The subscription of one type on one stream: names, globs and the two forms of the wildcard (W).

mod lists;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use self::{
    lists::{Lists, Unshared},
    names::{Iter as NamesIter, Names, NamesFingerprint, Selection, WeakNames},
};
use super::listing::ListFingerprint;
use crate::{
    node::Pattern,
    resource::{Resource, ResourceName},
};

const WILDCARD: &str = "*";

/// The subscription of one type on one stream.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    wildcard: Wildcard,
    names: Names,
    /// The canonical texts of the globs, see [`Glob::text`].
    globs: Names,
    /// The client has sent at least one name, "*" included. From then on an empty list means "nothing" (W-2).
    ever_named: bool,
    /// Names that the wildcard leaves out (W-9).
    on_demand: Option<Arc<[Pattern]>>,
    /// Names on demand that the wildcard covers all the same, because another stream of the node asks for them. A full
    /// state without them would remove them from the client (S-20).
    covered: Names,
    /// SotW: the fingerprint of the last list, as it was written. An ACK repeats that list.
    written: Option<ListFingerprint>,
}

/// The form in which all resources are subscribed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wildcard {
    /// Not all resources are subscribed.
    #[default]
    None,
    /// Subscribed by an empty list, before any name was sent (W-1).
    Legacy,
    /// Subscribed by the name "*" (W-2).
    Explicit,
}

/// A subscription to all members of one directory: a path that ends in `/*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Glob {
    directory: String,
    /// Context parameters. Those of a member must be equal.
    context: String,
}

/// The change that a request makes to a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Names, without globs, that must be answered: new names, and in delta names that were requested again (D-4, W-6).
    pub asked: Names,
    /// Names that were unsubscribed.
    pub dropped: Vec<ResourceName>,
    /// New globs, as the client wrote them.
    pub globs: Vec<ResourceName>,
    /// All resources are subscribed now, and were not before.
    pub wildcard_added: bool,
    /// The subscription differs from the one before.
    pub changed: bool,
}

// === impl Subscription ===

impl Subscription {
    /// Makes an empty subscription. Its wildcard leaves out names that match these patterns.
    #[must_use]
    pub fn leaving_out(on_demand: Option<Arc<[Pattern]>>) -> Self {
        Self {
            on_demand,
            ..Self::default()
        }
    }

    /// Returns true if the wildcard leaves something out, so that it is less than everything.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.on_demand.is_some()
    }

    /// Returns true if the wildcard covers this name, whether such a resource exists or not.
    fn covers(&self, name: &ResourceName) -> bool {
        self.is_wildcard() && (!self.leaves_out(name) || self.covered.contains(name))
    }

    /// Returns true if the name is on demand.
    fn leaves_out(&self, name: &ResourceName) -> bool {
        let mut left_out = self.on_demand.iter().flat_map(|patterns| patterns.iter());
        left_out.any(|pattern| pattern.matches(name.as_str()))
    }

    /// Takes the names on demand that streams of the node ask for, which the wildcard covers from now on (S-20).
    pub fn cover(&mut self, names: Names) -> Edit {
        if !self.is_partial() || self.covered == names {
            return Edit::default();
        }
        let before = std::mem::replace(&mut self.covered, names);
        if !self.is_wildcard() {
            return Edit::default();
        }
        let on_demand = |names: Vec<ResourceName>| -> Vec<ResourceName> {
            let own = |name: &ResourceName| self.names.contains(name) || self.selects_by_glob(name.as_str());
            names
                .into_iter()
                .filter(|name| self.leaves_out(name) && !own(name))
                .collect()
        };
        let (asked, dropped) = (
            on_demand(self.covered.minus(&before)),
            on_demand(before.minus(&self.covered)),
        );
        Edit {
            changed: !asked.is_empty() || !dropped.is_empty(),
            asked: asked.into(),
            dropped,
            ..Edit::default()
        }
    }

    /// Returns true if the list is written exactly like the last one.
    pub(super) fn repeats(&self, list: ListFingerprint) -> bool {
        self.written == Some(list)
    }

    /// Records the fingerprint of the list that was just taken.
    pub(super) const fn note_written(&mut self, list: ListFingerprint) {
        self.written = Some(list);
    }

    /// Returns true if all resources are subscribed.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wildcard != Wildcard::None
    }

    /// Returns true if all resources are subscribed, and nothing besides.
    #[must_use]
    pub fn is_pure_wildcard(&self) -> bool {
        self.is_wildcard() && self.names.is_empty() && self.globs.is_empty()
    }

    /// Returns true if nothing is subscribed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_wildcard() && self.names.is_empty() && self.globs.is_empty()
    }

    /// The names that are subscribed one by one.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Returns true if any glob is subscribed.
    #[must_use]
    pub fn has_globs(&self) -> bool {
        !self.globs.is_empty()
    }

    /// Returns true if the resource is subscribed: by wildcard, by name or alias (D-12), or as a member of a glob
    ///
    #[must_use]
    pub fn selects(&self, resource: &Resource) -> bool {
        self.covers(&resource.name)
            || self.names.contains(&resource.name)
            || resource.aliases.iter().any(|alias| self.names.contains(alias))
            || self.selects_by_glob(resource.name.as_str())
    }

    /// Returns true if the name itself is subscribed, whether such a resource exists or not.
    #[must_use]
    pub fn selects_name(&self, name: &ResourceName) -> bool {
        self.covers(name) || self.names.contains(name) || self.selects_by_glob(name.as_str())
    }

    fn selects_by_glob(&self, name: &str) -> bool {
        !self.globs.is_empty() && self.globs.has(&Glob::around(name).text())
    }

    /// The number of subscribed names and globs.
    pub(super) fn len(&self) -> usize {
        self.names.len() + self.globs.len()
    }

    /// The bytes of all names and globs together.
    pub(super) fn bytes(&self) -> usize {
        self.names.bytes() + self.globs.bytes()
    }

    /// Takes the complete list of a SotW request. With `legacy`, an empty first list means "all" (W-4).
    pub fn replace(&mut self, names: &[&str], legacy: bool, lists: &dyn Lists) -> Edit {
        self.written = None;
        if names.is_empty() {
            return self.replace_with_nothing(legacy);
        }
        let wildcard = names.contains(&WILDCARD);
        let was_wildcard = self.is_wildcard();
        self.ever_named = true;
        let mode = if wildcard { Wildcard::Explicit } else { Wildcard::None };
        let mut changed = std::mem::replace(&mut self.wildcard, mode) != mode;
        let listed = names.iter().copied().filter(|name| *name != WILDCARD);
        let mut edit = Edit {
            wildcard_added: wildcard && !was_wildcard,
            ..Edit::default()
        };
        let listed = lists::listed(listed, lists);
        if listed != self.names {
            edit.dropped = self.names.minus(&listed);
            edit.asked = if self.names.is_empty() {
                listed.clone()
            } else {
                listed.minus(&self.names).into()
            };
            changed = true;
            self.names = listed;
        }
        edit.changed = changed;
        edit
    }

    fn replace_with_nothing(&mut self, legacy: bool) -> Edit {
        if !self.ever_named {
            let wildcard_added = legacy && !self.is_wildcard();
            if wildcard_added {
                self.wildcard = Wildcard::Legacy;
            }
            return Edit {
                wildcard_added,
                changed: wildcard_added,
                ..Edit::default()
            };
        }
        let dropped: Vec<_> = std::mem::take(&mut self.names).iter().cloned().collect();
        let was_wildcard = std::mem::take(&mut self.wildcard) != Wildcard::None;
        Edit {
            changed: was_wildcard || !dropped.is_empty(),
            dropped,
            ..Edit::default()
        }
    }

    /// Takes the edits of a delta request: first subscribe, then unsubscribe (D-1). With `legacy`, an empty first
    /// request of this type means "all". `lists` makes equal lists one.
    pub fn edit<'a>(
        &mut self,
        subscribe: impl ExactSizeIterator<Item = &'a str>,
        unsubscribe: impl ExactSizeIterator<Item = &'a str>,
        legacy: bool,
        lists: &dyn Lists,
    ) -> Edit {
        self.written = None;
        let mut edit = Edit::default();
        if subscribe.len() == 0 && unsubscribe.len() == 0 {
            if !self.ever_named && legacy && !self.is_wildcard() {
                self.wildcard = Wildcard::Legacy;
                edit.wildcard_added = true;
                edit.changed = true;
            }
            return edit;
        }
        let was_wildcard = self.is_wildcard();
        let (added, removed) = (self.add(subscribe, &mut edit), self.remove(unsubscribe, &mut edit));
        self.edit_names(&added, &removed, &mut edit, lists);
        edit.wildcard_added = self.is_wildcard() && !was_wildcard;
        edit.changed |= self.is_wildcard() != was_wildcard;
        edit
    }

    /// Adds wildcards and globs, and returns the plain names.
    fn add<'a>(&mut self, subscribe: impl Iterator<Item = &'a str>, edit: &mut Edit) -> Vec<&'a str> {
        let (mut added, mut globs) = (Vec::new(), BTreeSet::new());
        for name in subscribe {
            self.ever_named = true;
            if name == WILDCARD {
                self.wildcard = Wildcard::Explicit;
            } else if let Some(glob) = Glob::parse(name) {
                globs.insert(glob.text());
                edit.globs.push(name.into());
            } else {
                added.push(name);
            }
        }
        globs.retain(|glob| !self.globs.has(glob));
        self.edit_globs(&globs, &BTreeSet::new(), edit);
        added
    }

    /// Removes wildcards and globs, and returns the plain names.
    fn remove<'a>(&mut self, unsubscribe: impl Iterator<Item = &'a str>, edit: &mut Edit) -> BTreeSet<&'a str> {
        let (mut removed, mut globs, mut written) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for name in unsubscribe {
            if name == WILDCARD {
                self.wildcard = Wildcard::None;
            } else if let Some(glob) = Glob::parse(name) {
                globs.insert(glob.text());
                written.insert(name);
            } else {
                removed.insert(name);
            }
        }
        edit.globs.retain(|added| !written.contains(added.as_str()));
        globs.retain(|glob| self.globs.has(glob));
        self.edit_globs(&BTreeSet::new(), &globs, edit);
        removed
    }

    /// Adds new globs and removes present ones. The cost is that of the globs in the edit.
    fn edit_globs(&mut self, add: &BTreeSet<String>, remove: &BTreeSet<String>, edit: &mut Edit) {
        if add.is_empty() && remove.is_empty() {
            return;
        }
        let add: Vec<&str> = add.iter().map(String::as_str).collect();
        let remove: Vec<&str> = remove.iter().map(String::as_str).collect();
        self.globs = self.globs.edited(&add, &remove);
        edit.changed = true;
    }

    fn edit_names(&mut self, added: &[&str], removed: &BTreeSet<&str>, edit: &mut Edit, lists: &dyn Lists) {
        let before = self.names.clone();
        let asked = || added.iter().copied().filter(|name| !removed.contains(name));
        // D-1: a name in both lists was subscribed for a moment and is unsubscribed now.
        let passing = added.iter().copied().filter(|name| removed.contains(name));
        let mut dropped: BTreeSet<&str> = passing.collect();
        dropped.extend(removed.iter().copied().filter(|name| before.has(name)));
        let new: Vec<&str> = asked().filter(|name| !before.has(name)).collect();
        if !new.is_empty() || !dropped.is_empty() {
            let gone: Vec<&str> = dropped.iter().copied().collect();
            self.names = lists::edited(&before, &new, &gone, lists);
            edit.changed = true;
        }
        edit.asked = if before.is_empty() {
            self.names.clone()
        } else {
            asked().map(ResourceName::from).collect::<Vec<_>>().into()
        };
        edit.dropped = dropped.into_iter().map(ResourceName::from).collect();
    }
}

impl PartialEq for Subscription {
    /// Compares the subscriptions, and not the texts of the lists that led to them.
    fn eq(&self, other: &Self) -> bool {
        let Self {
            wildcard,
            names,
            globs,
            ever_named,
            on_demand,
            covered,
            written: _,
        } = self;
        *wildcard == other.wildcard
            && *names == other.names
            && *globs == other.globs
            && *ever_named == other.ever_named
            && *on_demand == other.on_demand
            && *covered == other.covered
    }
}

impl Eq for Subscription {}

/// Globs as the client wrote them, found by the names of their members.
#[derive(Debug, Default)]
pub(super) struct Globs<'a>(BTreeMap<Glob, Vec<&'a ResourceName>>);

// === impl Globs ===

impl<'a> Globs<'a> {
    pub(super) fn of(written: impl Iterator<Item = &'a ResourceName>) -> Self {
        let mut globs = Self::default();
        for name in written {
            if let Some(glob) = Glob::parse(name.as_str()) {
                globs.0.entry(glob).or_default().push(name);
            }
        }
        globs
    }

    /// The globs, as written, of which this name is a member.
    pub(super) fn around(&self, name: &ResourceName) -> &[&'a ResourceName] {
        if self.0.is_empty() {
            return &[];
        }
        self.0.get(&Glob::around(name.as_str())).map_or(&[], Vec::as_slice)
    }
}

// === impl Glob ===

impl Glob {
    /// `a/*` or `xdstp://authority/type/a/*?k=v`; `None` for a plain name.
    fn parse(name: &str) -> Option<Self> {
        let (path, context) = name.split_once('?').unwrap_or((name, ""));
        let directory = path.strip_suffix("/*")?;
        Some(Self {
            directory: directory.to_owned(),
            context: context.to_owned(),
        })
    }

    /// One text for all ways to write the glob.
    fn text(&self) -> String {
        let Self { directory, context } = self;
        format!("{directory}/*?{context}")
    }

    /// The glob of which the name is a member.
    fn around(name: &str) -> Self {
        let (path, context) = name.split_once('?').unwrap_or((name, ""));
        Self {
            directory: path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned(),
            context: context.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
