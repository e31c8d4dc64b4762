//! The interface to lists of names that streams share. The owner of the streams implements it; nothing is shared here.

use std::fmt;

use super::names::{Names, NamesFingerprint};
use crate::{protocol::sorted::sort_by_text, resource::ResourceName};

/// The lists that streams have in common.
pub trait Lists: fmt::Debug + Send + Sync {
    /// The list with this fingerprint, if a stream asks for one.
    fn find(&self, fingerprint: NamesFingerprint) -> Option<Names>;

    /// Adds a list, unless a list with its fingerprint is present. Returns the list that is present afterwards.
    fn share(&self, names: Names) -> Names;
}

/// Each stream has its own lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unshared;

/// The list of these names, which may be in any order and repeated. Returns the shared list where there is one.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>, lists: &dyn Lists) -> Names {
    let mut names: Vec<&str> = names.collect();
    sort_by_text(&mut names, |name| name);
    names.dedup();
    if names.is_empty() {
        return Names::default();
    }
    if let Some(known) = lists.find(NamesFingerprint::of(&names))
        && known.iter().map(ResourceName::as_str).eq(names.iter().copied())
    {
        return known;
    }
    let names: Vec<ResourceName> = names.into_iter().map(ResourceName::from).collect();
    share(names.into(), lists)
}

/// A list with some names added and some removed. A name in both is in the list afterwards. The cost is that of the
/// names in the edit, not of those in the list.
pub(super) fn edited(names: &Names, add: &[&str], remove: &[&str], lists: &dyn Lists) -> Names {
    if names.is_empty() {
        return listed(add.iter().copied(), lists);
    }
    share(names.edited(add, remove), lists)
}

/// The shared list that equals this one.
fn share(names: Names, lists: &dyn Lists) -> Names {
    if names.is_empty() {
        return names;
    }
    let known = lists.share(names.clone());
    // Another list may have the same fingerprint.
    if known == names { known } else { names }
}

// === impl Unshared ===

impl Lists for Unshared {
    fn find(&self, _: NamesFingerprint) -> Option<Names> {
        None
    }

    fn share(&self, names: Names) -> Names {
        names
    }
}
