//! Where lists of names are shared between streams: said here, done by whoever runs the streams. Nothing here is shared.

use std::fmt;

use super::Names;

/// A print of names, the same in any order. Different lists may have the same one: whoever finds a list by it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamesPrint {
    pub(super) sum: u64,
    pub(super) len: usize,
}

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

// === impl Unshared ===

impl Lists for Unshared {
    fn find(&self, _: NamesPrint) -> Option<Names> {
        None
    }

    fn share(&self, names: Names) -> Names {
        names
    }
}
