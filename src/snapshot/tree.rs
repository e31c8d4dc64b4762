//! A sorted set that is never edited in place: what changes is built anew, the rest is shared with the set before.
//!
//! Items lie in pages, pages in chapters. Where a page or a chapter ends is said by the names in it, so equal sets are cut
//! alike whatever their history, and a change moves the bounds of few others. Resources, aliases and demands are kept so.

use std::{cmp::Ordering, iter, sync::Arc};

use crate::resource::{ContentHash, Resource, ResourceName};

/// A page ends behind a name whose hash says so, on average every 32 names; a chapter likewise, every 32 pages. A change
/// makes one of each anew.
const MASK: u8 = 31;
/// Pages and chapters end here at the latest, so that no choice of names makes one large.
const LIMIT: usize = 512;

/// What a tree holds, sorted by key.
pub(super) trait Item: Clone {
    /// No two items of a tree have the same.
    fn key(&self) -> &ResourceName;

    /// Whether an item's version may say more than its content.
    const VERSIONED: bool = false;

    /// Everything that tells two items apart, as parts of a hash.
    fn parts(&self) -> impl Iterator<Item = &[u8]>;

    /// The same without its version.
    fn content_parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts()
    }

    /// What the item adds to [`Tree::bytes`].
    fn bytes(&self) -> usize;
}

/// The set.
#[derive(Clone, Debug)]
pub(super) struct Tree<T> {
    chapters: Arc<[Arc<Chapter<T>>]>,
    sum: Sum,
}

/// Some neighbouring pages; never none.
#[derive(Debug)]
pub(crate) struct Chapter<T> {
    pages: Box<[Arc<Page<T>>]>,
    last: ResourceName,
    sum: Sum,
}

/// Some neighbouring items; never none.
#[derive(Debug)]
pub(crate) struct Page<T> {
    items: Box<[T]>,
    last: ResourceName,
    /// Whether a chapter ends with it.
    ends_chapter: bool,
    sum: Sum,
}

/// What is known of a part without walking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    hash: ContentHash,
    /// Of the contents alone: content that returns has the same, whatever its versions are then.
    contents: ContentHash,
    len: usize,
    bytes: usize,
}

/// A key and what is to be under it.
pub(super) type Edit<T> = (ResourceName, Option<T>);

/// An item of the older set, of the newer set, or of both.
pub(super) type Difference<'a, T> = (Option<&'a T>, Option<&'a T>);

/// Cuts a sequence of items into pages and chapters, taking over whole ones where the cuts fall alike.
struct Builder<T> {
    items: Vec<T>,
    pages: Vec<Arc<Page<T>>>,
    chapters: Vec<Arc<Chapter<T>>>,
}

/// A chapter or a page: what holds sorted names.
trait Part {
    fn last(&self) -> &ResourceName;
    fn sum(&self) -> Sum;
}

// === impl Tree ===

impl<T: Item> Tree<T> {
    /// Of items sorted by key, all different.
    pub(super) fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut builder = Builder::new();
        items.into_iter().for_each(|item| builder.item(item));
        builder.finish()
    }

    /// This set with other items under some keys, or none. `edits` are sorted by key, all different.
    pub(super) fn edited(&self, edits: &[Edit<T>]) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        debug_assert!(edits.is_sorted_by(|a, b| a.0 < b.0), "sorted, all different");
        let mut builder = Builder::new();
        let mut edits = edits;
        for (index, chapter) in self.chapters.iter().enumerate() {
            let is_last = index + 1 == self.chapters.len();
            let mut mine = take_up_to(&mut edits, &chapter.last, is_last);
            if mine.is_empty() {
                builder.chapter(chapter);
                continue;
            }
            for (index, page) in chapter.pages.iter().enumerate() {
                let is_last = index + 1 == chapter.pages.len();
                let mine = take_up_to(&mut mine, &page.last, is_last);
                if mine.is_empty() {
                    builder.page(page);
                } else {
                    builder.edited(&page.items, mine);
                }
            }
        }
        builder.edited(&[], edits);
        builder.finish()
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        let chapter = holder(&self.chapters, key)?;
        let page = holder(&chapter.pages, key)?;
        let found = page.items.binary_search_by(|item| item.key().as_str().cmp(key));
        found.ok().and_then(|index| page.items.get(index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let pages = self.chapters.iter().flat_map(|chapter| chapter.pages.iter());
        pages.flat_map(|page| page.items.iter())
    }

    /// The items that the two sets do not share, by key. Items in both that are not known to be the same come as pairs.
    pub(super) fn differences<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = Difference<'a, T>> {
        let (old, new) = unshared(older.chapters.iter(), self.chapters.iter());
        let old = old.into_iter().flat_map(|chapter| chapter.pages.iter());
        let new = new.into_iter().flat_map(|chapter| chapter.pages.iter());
        let (old, new) = unshared(old, new);
        let items = |pages: Vec<&'a Arc<Page<T>>>| pages.into_iter().flat_map(|page| page.items.iter());
        merged(items(old), items(new))
    }
}

impl<T> Tree<T> {
    pub(super) const fn chapters(&self) -> &Arc<[Arc<Chapter<T>>]> {
        &self.chapters
    }

    /// Equal for equal sets, and different for different ones.
    pub(super) const fn hash(&self) -> ContentHash {
        self.sum.hash
    }

    /// Equal for sets of equal contents, whatever their versions.
    pub(super) const fn contents(&self) -> ContentHash {
        self.sum.contents
    }

    pub(super) const fn len(&self) -> usize {
        self.sum.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sum.len == 0
    }

    pub(super) const fn bytes(&self) -> usize {
        self.sum.bytes
    }
}

impl<T: Item> Default for Tree<T> {
    fn default() -> Self {
        Builder::new().finish()
    }
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
    fn of_items<T: Item>(items: &[T]) -> Self {
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

    fn of_parts(level: &'static [u8], parts: &[Arc<impl Part>]) -> Self {
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

// === impl Builder ===

impl<T: Item> Builder<T> {
    const fn new() -> Self {
        Self {
            items: Vec::new(),
            pages: Vec::new(),
            chapters: Vec::new(),
        }
    }

    fn item(&mut self, item: T) {
        let ends = ends_here(item.key(), 0);
        self.item_that(ends, item);
    }

    fn item_that(&mut self, ends: bool, item: T) {
        self.items.push(item);
        if ends || self.items.len() == LIMIT {
            self.end_page();
        }
    }

    /// As it is, where a page begins here too.
    fn page(&mut self, page: &Arc<Page<T>>) {
        if self.items.is_empty() {
            self.whole_page(Arc::clone(page));
        } else {
            self.edited(&page.items, &[]);
        }
    }

    /// As it is, where a chapter begins here too.
    fn chapter(&mut self, chapter: &Arc<Chapter<T>>) {
        if self.items.is_empty() && self.pages.is_empty() {
            self.chapters.push(Arc::clone(chapter));
        } else {
            chapter.pages.iter().for_each(|page| self.page(page));
        }
    }

    /// The items of a page with edits among them.
    fn edited(&mut self, page: &[T], edits: &[Edit<T>]) {
        let (mut items, mut edits) = (page.iter().peekable(), edits.iter().peekable());
        loop {
            match (items.peek(), edits.peek()) {
                (None, None) => return,
                (Some(item), Some((key, _))) if item.key() == key => drop(items.next()),
                (Some(item), Some((key, _))) if item.key() > key => self.edit(edits.next()),
                (None, Some(_)) => self.edit(edits.next()),
                (Some(_), Some(_) | None) => {
                    let item = items.next().cloned();
                    // Only the last item of a page can be one that ends it.
                    let may_end = items.peek().is_none();
                    if let Some(item) = item {
                        self.item_that(may_end && ends_here(item.key(), 0), item);
                    }
                }
            }
        }
    }

    fn edit(&mut self, edit: Option<&Edit<T>>) {
        if let Some((_, Some(item))) = edit {
            self.item(item.clone());
        }
    }

    fn whole_page(&mut self, page: Arc<Page<T>>) {
        let ends = page.ends_chapter;
        self.pages.push(page);
        if ends || self.pages.len() == LIMIT {
            self.end_chapter();
        }
    }

    fn end_page(&mut self) {
        let items = std::mem::take(&mut self.items).into_boxed_slice();
        if let Some(last) = items.last().map(|item| item.key().clone()) {
            let page = Page {
                ends_chapter: ends_here(&last, 1),
                sum: Sum::of_items(&items),
                last,
                items,
            };
            self.whole_page(Arc::new(page));
        }
    }

    fn end_chapter(&mut self) {
        let pages = std::mem::take(&mut self.pages).into_boxed_slice();
        if let Some(last) = pages.last().map(|page| page.last.clone()) {
            let sum = Sum::of_parts(b"chapter", &pages);
            self.chapters.push(Arc::new(Chapter { pages, last, sum }));
        }
    }

    fn finish(mut self) -> Tree<T> {
        self.end_page();
        self.end_chapter();
        let sum = Sum::of_parts(b"set", &self.chapters);
        let chapters = self.chapters.into();
        Tree { chapters, sum }
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

/// Whether a part of a level ends behind this name: each level asks another byte of the name's hash.
fn ends_here(name: &ResourceName, level: usize) -> bool {
    let hash = ContentHash::of_texts([name.as_str()]);
    hash.as_bytes()[level] & MASK == 0
}

/// Splits off the edits of a part that ends with `last`; all of them where no part follows.
fn take_up_to<'a, T>(edits: &mut &'a [Edit<T>], last: &ResourceName, is_last: bool) -> &'a [Edit<T>] {
    let count = if is_last {
        edits.len()
    } else {
        edits.partition_point(|(key, _)| key <= last)
    };
    let (mine, rest) = edits.split_at(count);
    *edits = rest;
    mine
}

/// The one part that may hold a key.
fn holder<'a, P: Part>(parts: &'a [Arc<P>], key: &str) -> Option<&'a Arc<P>> {
    parts.get(parts.partition_point(|part| part.last().as_str() < key))
}

/// The parts that only one of two sequences has. A part of both ends with the same name in both.
fn unshared<'a, P: Part>(
    old: impl Iterator<Item = &'a Arc<P>>,
    new: impl Iterator<Item = &'a Arc<P>>,
) -> (Vec<&'a Arc<P>>, Vec<&'a Arc<P>>) {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    let (mut only_old, mut only_new) = (Vec::new(), Vec::new());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return (only_old, only_new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.last().cmp(b.last()),
        };
        match order {
            Ordering::Less => only_old.extend(old.next()),
            Ordering::Greater => only_new.extend(new.next()),
            Ordering::Equal => {
                if let (Some(a), Some(b)) = (old.next(), new.next())
                    && !Arc::ptr_eq(a, b)
                    && a.sum() != b.sum()
                {
                    only_old.push(a);
                    only_new.push(b);
                }
            }
        }
    }
}

/// Two sorted sequences side by side.
fn merged<'a, T: Item + 'a>(
    old: impl Iterator<Item = &'a T>,
    new: impl Iterator<Item = &'a T>,
) -> impl Iterator<Item = Difference<'a, T>> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.key().cmp(b.key()),
        };
        Some(match order {
            Ordering::Less => (old.next(), None),
            Ordering::Greater => (None, new.next()),
            Ordering::Equal => (old.next(), new.next()),
        })
    })
}

#[cfg(test)]
mod tests;
