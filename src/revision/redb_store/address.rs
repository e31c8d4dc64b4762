//! Where objects are: their kind, then their hash or what stands for it.

use super::records::Hash;

/// The kind of the object, then 16 bytes that no other of its kind has.
pub(super) type Address = [u8; 17];

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    List,
    Chapter,
    Page,
    Resource,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 4] = [Self::List, Self::Chapter, Self::Page, Self::Resource];

    pub(super) fn address(self, name: Hash) -> Address {
        let mut address = [0; 17];
        address[0] = self.letter();
        address[1..].copy_from_slice(&name);
        address
    }

    /// The kind of what is there; `None` for no kind.
    pub(super) fn of(address: &Address) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == address[0])
    }

    const fn letter(self) -> u8 {
        match self {
            Self::List => b'l',
            Self::Chapter => b'c',
            Self::Page => b'p',
            Self::Resource => b'r',
        }
    }
}
