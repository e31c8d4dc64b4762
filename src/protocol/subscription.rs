//! What a client asks for, of one type on one stream: names, globs and the two forms of the wildcard (W).

mod lists;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use self::{
    lists::{Lists, Unshared},
    names::{Iter as NamesIter, Names, NamesPrint, Selection, WeakNames},
};
use super::listing::ListPrint;
use crate::{
    node::Pattern,
    resource::{Resource, ResourceName},
};

const WILDCARD: &str = "*";

/// The subscription of one (stream, type).
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    wildcard: Wildcard,
    names: Names,
    /// Of one text for each glob, see [`Glob::text`].
    globs: Names,
    /// Whether any name, "*" included, was ever sent: from then on an empty list means "nothing" (W-2).
    ever_named: bool,
    /// Names that the wildcard leaves out (W-9).
    on_demand: Option<Arc<[Pattern]>>,
    /// Names on demand that the wildcard covers all the same, since another stream of the node asks for them: a full state
    /// without them would take them from the client (S-20).
    covered: Names,
    /// SotW: the list that was last taken in, as it was written. An ACK repeats it.
    written: Option<ListPrint>,
}

/// Whether, and how, all resources are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wildcard {
    /// They are not.
    #[default]
    None,
    /// By an empty list, before any name was sent (W-1).
    Legacy,
    /// By the name "*" (W-2).
    Explicit,
}

/// A subscription to all members of one directory: the last step of the path is `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Glob {
    directory: String,
    /// Context parameters, which must be equal.
    context: String,
}

/// How a request changed a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Names, globs left out, that must be answered: new ones, and in delta those asked for again (D-4, W-6).
    pub asked: Names,
    /// Names given up.
    pub dropped: Vec<ResourceName>,
    /// Globs newly asked for, as written.
    pub globs: Vec<ResourceName>,
    /// All resources are asked for that were not before.
    pub wildcard_added: bool,
    /// Whether anything differs from before.
    pub changed: bool,
}

// === impl Subscription ===

impl Subscription {
    /// To nothing yet; a wildcard will leave out names of these patterns.
    #[must_use]
    pub fn leaving_out(on_demand: Option<Arc<[Pattern]>>) -> Self {
        Self {
            on_demand,
            ..Self::default()
        }
    }

    /// Whether the wildcard leaves something out, so that it is not simply everything.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.on_demand.is_some()
    }

    /// Whether the wildcard means this name, be there such a resource or not.
    fn covers(&self, name: &ResourceName) -> bool {
        self.is_wildcard() && (!self.leaves_out(name) || self.covered.contains(name))
    }

    /// Whether the name is on demand.
    fn leaves_out(&self, name: &ResourceName) -> bool {
        let mut left_out = self.on_demand.iter().flat_map(|patterns| patterns.iter());
        left_out.any(|pattern| pattern.matches(name.as_str()))
    }

    /// Takes in the names on demand that streams of the node ask for: the wildcard covers them from now on, and no others
    /// (S-20). Gives what that changes.
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

    /// Whether a SotW list is, as it is written, the one that was taken in last.
    pub(super) fn repeats(&self, list: ListPrint) -> bool {
        self.written == Some(list)
    }

    /// Notes how the list is written that was just taken in.
    pub(super) const fn note_written(&mut self, list: ListPrint) {
        self.written = Some(list);
    }

    /// Whether all resources are asked for.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wildcard != Wildcard::None
    }

    /// Whether all resources are asked for, and nothing besides.
    #[must_use]
    pub fn is_pure_wildcard(&self) -> bool {
        self.is_wildcard() && self.names.is_empty() && self.globs.is_empty()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_wildcard() && self.names.is_empty() && self.globs.is_empty()
    }

    /// The names asked for one by one.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Whether any glob is asked for.
    #[must_use]
    pub fn has_globs(&self) -> bool {
        !self.globs.is_empty()
    }

    /// Whether the resource is asked for: by the wildcard, by name or alias (D-12), or as a member of a glob.
    #[must_use]
    pub fn selects(&self, resource: &Resource) -> bool {
        self.covers(&resource.name)
            || self.names.contains(&resource.name)
            || resource.aliases.iter().any(|alias| self.names.contains(alias))
            || self.selects_by_glob(resource.name.as_str())
    }

    /// Whether the name itself is asked for, be there such a resource or not.
    #[must_use]
    pub fn selects_name(&self, name: &ResourceName) -> bool {
        self.covers(name) || self.names.contains(name) || self.selects_by_glob(name.as_str())
    }

    fn selects_by_glob(&self, name: &str) -> bool {
        !self.globs.is_empty() && self.globs.has(&Glob::around(name).text())
    }

    /// How many names and globs are asked for.
    pub(super) fn len(&self) -> usize {
        self.names.len() + self.globs.len()
    }

    /// Bytes of all of them together.
    pub(super) fn bytes(&self) -> usize {
        self.names.bytes() + self.globs.bytes()
    }

    /// Takes a SotW request's complete list. `legacy` tells whether an empty first list of this type means "all" (W-4).
    /// Equal lists become one of `lists`.
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

    /// Takes a delta request's edits: first subscribe, then unsubscribe (D-1). `legacy` tells whether an empty first
    /// request of this type means "all". Equal lists become one of `lists`.
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
        self.rename(&added, &removed, &mut edit, lists);
        edit.wildcard_added = self.is_wildcard() && !was_wildcard;
        edit.changed |= self.is_wildcard() != was_wildcard;
        edit
    }

    /// Takes in wildcards and globs, and gives the plain names back.
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

    /// The same for what is given up.
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

    /// Takes in globs that are new, and gives up globs that are there. Costs the globs of the edit.
    fn edit_globs(&mut self, add: &BTreeSet<String>, remove: &BTreeSet<String>, edit: &mut Edit) {
        if add.is_empty() && remove.is_empty() {
            return;
        }
        let add: Vec<&str> = add.iter().map(String::as_str).collect();
        let remove: Vec<&str> = remove.iter().map(String::as_str).collect();
        self.globs = self.globs.edited(&add, &remove);
        edit.changed = true;
    }

    /// Edits the list of names.
    fn rename(&mut self, added: &[&str], removed: &BTreeSet<&str>, edit: &mut Edit, lists: &dyn Lists) {
        let before = self.names.clone();
        let asked = || added.iter().copied().filter(|name| !removed.contains(name));
        // A name in both lists was subscribed for a moment, and is given up (D-1).
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
    /// However the lists were written that led there.
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

/// Globs as they are written, to be looked up by their members.
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

    /// The globs that have this name among their members, as written; none where there are none.
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

    /// The same for every way to write it.
    fn text(&self) -> String {
        let Self { directory, context } = self;
        format!("{directory}/*?{context}")
    }

    /// The glob that a name is a member of.
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
