//! The parts of a set: items in pages, pages in chapters, and what is known of a part without walking it.

use std::{iter, sync::Arc};

use crate::resource::{ContentHash, Resource, ResourceName};

/// A page ends behind a name whose hash says so, on average every 32 names; a chapter likewise, every 32 pages. A change
/// makes one of each anew.
const MASK: u8 = 31;
/// Pages and chapters end here at the latest, so that no choice of names makes one large.
pub(super) const LIMIT: usize = 512;

/// An item of a tree, sorted by key.
pub(in crate::snapshot) trait Item: Clone {
    /// No two items of a tree have the same.
    fn key(&self) -> &ResourceName;

    /// An item's version may say more than its content.
    const VERSIONED: bool = false;

    /// Everything that tells two items apart, as parts of a hash.
    fn parts(&self) -> impl Iterator<Item = &[u8]>;

    /// The same without its version.
    fn content_parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts()
    }

    /// Bytes that the item adds to its set.
    fn bytes(&self) -> usize;
}

/// Some neighbouring pages; never none.
#[derive(Debug)]
pub(crate) struct Chapter<T> {
    pub(super) pages: Box<[Arc<Page<T>>]>,
    pub(super) last: ResourceName,
    pub(super) sum: Sum,
}

/// Some neighbouring items; never none.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(super) items: Box<[T]>,
    pub(super) last: ResourceName,
    /// A chapter ends with it.
    pub(super) ends_chapter: bool,
    pub(super) sum: Sum,
}

/// Sums over a part, known without walking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) hash: ContentHash,
    /// Of the contents alone: content that returns has the same, whatever its versions are then.
    pub(super) contents: ContentHash,
    pub(super) len: usize,
    pub(super) bytes: usize,
}

/// A key and what is to be under it.
pub(in crate::snapshot) type Edit<T> = (ResourceName, Option<T>);

/// A chapter or a page: what holds sorted names.
pub(super) trait Part {
    fn last(&self) -> &ResourceName;
    fn sum(&self) -> Sum;
}

// === impl Chapter ===

impl<T> Chapter<T> {
    /// Names what it holds.
    pub(crate) const fn hash(&self) -> ContentHash {
        self.sum.hash
    }

    pub(crate) fn pages(&self) -> &[Arc<Page<T>>] {
        &self.pages
    }
}

impl<T> Part for Chapter<T> {
    fn last(&self) -> &ResourceName {
        &self.last
    }

    fn sum(&self) -> Sum {
        self.sum
    }
}

// === impl Page ===

impl<T> Page<T> {
    /// Names what it holds.
    pub(crate) const fn hash(&self) -> ContentHash {
        self.sum.hash
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }
}

impl<T> Part for Page<T> {
    fn last(&self) -> &ResourceName {
        &self.last
    }

    fn sum(&self) -> Sum {
        self.sum
    }
}

// === impl Sum ===

impl Sum {
    pub(super) fn of_items<T: Item>(items: &[T]) -> Self {
        let level = || iter::once(&b"page"[..]);
        let hash = ContentHash::of_parts(level().chain(items.iter().flat_map(Item::parts)));
        let contents = || ContentHash::of_parts(level().chain(items.iter().flat_map(Item::content_parts)));
        Self {
            hash,
            contents: if T::VERSIONED { contents() } else { hash },
            len: items.len(),
            bytes: items.iter().map(Item::bytes).sum(),
        }
    }

    pub(super) fn of_parts(level: &'static [u8], parts: &[Arc<impl Part>]) -> Self {
        let over = |hash: fn(Self) -> ContentHash| {
            let hashes: Vec<_> = parts.iter().map(|part| hash(part.sum()).to_bytes()).collect();
            ContentHash::of_parts(iter::once(level).chain(hashes.iter().map(|hash| &hash[..])))
        };
        let hash = over(|sum| sum.hash);
        let is_plain = parts.iter().all(|part| part.sum().contents == part.sum().hash);
        Self {
            hash,
            contents: if is_plain { hash } else { over(|sum| sum.contents) },
            len: parts.iter().map(|part| part.sum().len).sum(),
            bytes: parts.iter().map(|part| part.sum().bytes).sum(),
        }
    }
}

// === impl Item ===

impl Item for Arc<Resource> {
    const VERSIONED: bool = true;

    fn key(&self) -> &ResourceName {
        &self.name
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let texts = [self.name.as_str(), self.version.as_str()].map(str::as_bytes);
        texts.into_iter().chain(iter::once(&self.content.as_bytes()[..]))
    }

    fn content_parts(&self) -> impl Iterator<Item = &[u8]> {
        [self.name.as_str().as_bytes(), &self.content.as_bytes()[..]].into_iter()
    }

    fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// Says that a part of a level ends behind this name: each level asks another byte of the name's hash.
pub(super) fn ends_here(name: &ResourceName, level: usize) -> bool {
    let hash = ContentHash::of_texts([name.as_str()]);
    hash.as_bytes()[level] & MASK == 0
}
