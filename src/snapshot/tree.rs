//! A sorted set that is never edited in place: what changes is built anew, the rest is shared with the set before.
//!
//! Items lie in pages, pages in chapters. Where a page or a chapter ends is said by the names in it, so equal sets are cut
//! alike whatever their history, and a change moves the bounds of few others. Resources, aliases and demands are kept so.

mod builder;
mod part;

use std::{cmp::Ordering, iter, sync::Arc};

use self::{
    builder::Builder,
    part::{Part, Sum},
};
use crate::resource::{ContentHash, ResourceName};

pub(crate) use self::part::{Chapter, Page};
pub(super) use self::part::{Edit, Item};

/// The set.
#[derive(Clone, Debug)]
pub(super) struct Tree<T> {
    chapters: Arc<[Arc<Chapter<T>>]>,
    sum: Sum,
}

/// An item of the older set, of the newer set, or of both.
pub(super) type Difference<'a, T> = (Option<&'a T>, Option<&'a T>);

// === impl Tree ===

impl<T: Item> Tree<T> {
    /// Of items sorted by key, all different.
    pub(super) fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut builder = Builder::new();
        items.into_iter().for_each(|item| builder.item(item));
        Self::built(builder)
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
        Self::built(builder)
    }

    fn built(builder: Builder<T>) -> Self {
        let (chapters, sum) = builder.finish();
        Self { chapters, sum }
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
        Self::built(Builder::new())
    }
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
