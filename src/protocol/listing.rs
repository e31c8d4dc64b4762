//! Lists of a request: their items are decoded only when they are used, and a hash identifies a list without decoding.
//!
//! This module does not interpret the bytes. The caller that scanned them passes the function that reads the next item.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _},
};

use foldhash::quality::FixedState;

/// A hash of the bytes of a list of names. A client that makes two lists collide harms only itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListFingerprint(u64);

/// Items of one field of a request.
#[derive(Clone)]
pub struct Listing<'a, T> {
    items: Items<'a, T>,
    len: usize,
}

/// Names of one field of a request.
#[derive(Clone, Debug)]
pub struct NameList<'a> {
    names: Listing<'a, &'a str>,
    /// The encoded bytes of the names, where they are known.
    written: Option<&'a [u8]>,
}

/// Reads the next item and removes it from the bytes.
pub type ReadNext<'a, T> = fn(&mut &'a [u8]) -> Option<T>;

#[derive(Clone)]
enum Items<'a, T> {
    Read(Vec<T>),
    Encoded { bytes: &'a [u8], next: ReadNext<'a, T> },
}

// === impl ListFingerprint ===

impl ListFingerprint {
    #[must_use]
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        for part in parts {
            // The length of each part is hashed too, so that two lists with other boundaries differ.
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        Self(hasher.finish())
    }
}

impl Default for ListFingerprint {
    fn default() -> Self {
        Self::of([])
    }
}

// === impl Listing ===

impl<'a, T> Listing<'a, T> {
    /// Makes a listing of `len` encoded items, which `next` reads one by one.
    #[must_use]
    pub const fn encoded(bytes: &'a [u8], next: ReadNext<'a, T>, len: usize) -> Self {
        Self {
            items: Items::Encoded { bytes, next },
            len,
        }
    }

    /// The number of items, repetitions included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns true if there are no items.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The length of the encoded items in bytes; 0 where they are decoded already.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match &self.items {
            Items::Encoded { bytes, .. } => bytes.len(),
            Items::Read(_) => 0,
        }
    }
}

impl<'a, T: Copy> Listing<'a, T> {
    /// The items, in the order of the request.
    #[must_use]
    pub fn to_vec(&self) -> Vec<T> {
        match &self.items {
            Items::Read(items) => items.clone(),
            Items::Encoded { bytes, next } => {
                let mut items = Vec::with_capacity(self.len);
                let mut rest = *bytes;
                while items.len() < self.len
                    && let Some(item) = next(&mut rest)
                {
                    items.push(item);
                }
                items
            }
        }
    }
}

impl<T> From<Vec<T>> for Listing<'_, T> {
    fn from(items: Vec<T>) -> Self {
        Self {
            len: items.len(),
            items: Items::Read(items),
        }
    }
}

impl<T> Default for Listing<'_, T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for Listing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.to_vec()).finish()
    }
}

impl<T: Copy + PartialEq> PartialEq for Listing<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_vec() == other.to_vec()
    }
}

// === impl NameList ===

impl<'a> NameList<'a> {
    /// Takes names and their encoded bytes.
    #[must_use]
    pub const fn new(names: Listing<'a, &'a str>, written: &'a [u8]) -> Self {
        Self {
            names,
            written: Some(written),
        }
    }

    /// The number of names, repetitions included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns true if there are no names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, in the order of the request.
    #[must_use]
    pub fn to_vec(&self) -> Vec<&'a str> {
        self.names.to_vec()
    }

    pub(super) fn fingerprint(&self) -> ListFingerprint {
        match self.written {
            Some(written) => ListFingerprint::of([written]),
            None => ListFingerprint::of(self.to_vec().iter().map(|name| name.as_bytes())),
        }
    }
}

impl<'a> From<Vec<&'a str>> for NameList<'a> {
    fn from(names: Vec<&'a str>) -> Self {
        Self {
            names: names.into(),
            written: None,
        }
    }
}

impl Default for NameList<'_> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl PartialEq for NameList<'_> {
    /// Compares names and their order, not their encoding.
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}
