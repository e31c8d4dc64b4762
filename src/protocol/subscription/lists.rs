//! Where lists of names are shared between streams: said here, done by whoever runs the streams. Nothing here is shared.

use std::fmt;

use super::names::{Names, NamesPrint};
use crate::{protocol::sorted::sort_by_text, resource::ResourceName};

/// The lists that streams have in common.
pub trait Lists: fmt::Debug + Send + Sync {
    /// The list of this print that some stream asks for, if there is one.
    fn find(&self, print: NamesPrint) -> Option<Names>;

    /// Makes a list known, unless one of its print is known already. Gives the known one.
    fn share(&self, names: Names) -> Names;
}

/// Every stream has its own lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unshared;

/// The list of these names, in any order and with repetitions: the one that streams have in common, if there is one.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>, lists: &dyn Lists) -> Names {
    let mut names: Vec<&str> = names.collect();
    sort_by_text(&mut names, |name| name);
    names.dedup();
    if names.is_empty() {
        return Names::default();
    }
    if let Some(known) = lists.find(NamesPrint::of(&names))
        && known.iter().map(ResourceName::as_str).eq(names.iter().copied())
    {
        return known;
    }
    let names: Vec<ResourceName> = names.into_iter().map(ResourceName::from).collect();
    share(names.into(), lists)
}

/// A list with some names more and some less. A name that is in both is in the list afterwards. Costs the names of the
/// edit, not those of the list.
pub(super) fn edited(names: &Names, add: &[&str], remove: &[&str], lists: &dyn Lists) -> Names {
    if names.is_empty() {
        return listed(add.iter().copied(), lists);
    }
    share(names.edited(add, remove), lists)
}

/// The same list, by way of the lists that streams have in common.
fn share(names: Names, lists: &dyn Lists) -> Names {
    if names.is_empty() {
        return names;
    }
    let known = lists.share(names.clone());
    // Another list may have the same print.
    if known == names { known } else { names }
}

// === impl Unshared ===

impl Lists for Unshared {
    fn find(&self, _: NamesPrint) -> Option<Names> {
        None
    }

    fn share(&self, names: Names) -> Names {
        names
    }
}
