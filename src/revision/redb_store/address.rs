//! Addresses of objects: the kind, then the hash, which is keyed in a sealed store.

use super::records::Hash;

/// The kind of the object, then 16 bytes that are unique within the kind.
pub(super) type Address = [u8; 17];

/// The kind of an object. The parts of a list are those of the tree in `src/snapshot/tree.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    List,
    Inner,
    Leaf,
    Resource,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 4] = [Self::List, Self::Inner, Self::Leaf, Self::Resource];

    pub(super) fn address(self, name: Hash) -> Address {
        let mut address = [0; 17];
        address[0] = self.letter();
        address[1..].copy_from_slice(&name);
        address
    }

    /// The kind of the object at an address; `None` for an unknown kind.
    pub(super) fn of(address: &Address) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == address[0])
    }

    /// The letter on disk; `c` and `p` are from older names of the parts.
    const fn letter(self) -> u8 {
        match self {
            Self::List => b'l',
            Self::Inner => b'c',
            Self::Leaf => b'p',
            Self::Resource => b'r',
        }
    }
}
