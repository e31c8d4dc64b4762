//! A sorted set that is never edited in place: an edit builds what changed and shares the rest with the set before.
//!
//! The set is a prolly tree (<https://docs.dolthub.com/architecture/storage-engine/prolly-tree>) of two levels: items
//! in leaves, leaves in inner nodes. The hash of a name decides whether a node ends there, so equal sets are split
//! alike whatever their history, and an edit moves few boundaries. Resources, aliases and demands are kept in such
//! sets.

mod builder;
mod node;

use std::{cmp::Ordering, iter, sync::Arc};

use self::{
    builder::Builder,
    node::{Sum, TreeNode},
};
use crate::resource::{ContentHash, ResourceName};

pub(super) use self::node::{Edit, Item};
pub(crate) use self::node::{InnerNode, Leaf};

/// The set: inner nodes in order, and the sums over all of them.
#[derive(Clone, Debug)]
pub(super) struct Tree<T> {
    inner_nodes: Arc<[Arc<InnerNode<T>>]>,
    sum: Sum,
}

/// An item of the older set, of the newer set, or of both.
pub(super) type Difference<'a, T> = (Option<&'a T>, Option<&'a T>);

// === impl Tree ===

impl<T: Item> Tree<T> {
    /// A set of items that are sorted by key, without duplicates.
    pub(super) fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut builder = Builder::new();
        items.into_iter().for_each(|item| builder.item(item));
        Self::built(builder)
    }

    /// This set with some items replaced, added or removed. `edits` are sorted by key, without duplicates.
    pub(super) fn edited(&self, edits: &[Edit<T>]) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        debug_assert!(edits.is_sorted_by(|a, b| a.0 < b.0), "sorted, all different");
        let mut builder = Builder::new();
        let mut edits = edits;
        for (index, inner) in self.inner_nodes.iter().enumerate() {
            let is_last = index + 1 == self.inner_nodes.len();
            let mut mine = take_up_to(&mut edits, &inner.last, is_last);
            if mine.is_empty() {
                builder.inner_node(inner);
                continue;
            }
            for (index, leaf) in inner.leaves.iter().enumerate() {
                let is_last = index + 1 == inner.leaves.len();
                let mine = take_up_to(&mut mine, &leaf.last, is_last);
                if mine.is_empty() {
                    builder.leaf(leaf);
                } else {
                    builder.edited(&leaf.items, mine);
                }
            }
        }
        builder.edited(&[], edits);
        Self::built(builder)
    }

    fn built(builder: Builder<T>) -> Self {
        let (inner_nodes, sum) = builder.finish();
        Self { inner_nodes, sum }
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        let inner = holder(&self.inner_nodes, key)?;
        let leaf = holder(&inner.leaves, key)?;
        let found = leaf.items.binary_search_by(|item| item.key().as_str().cmp(key));
        found.ok().and_then(|index| leaf.items.get(index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let leaves = self.inner_nodes.iter().flat_map(|inner| inner.leaves.iter());
        leaves.flat_map(|leaf| leaf.items.iter())
    }

    /// The items that the two sets do not share, by key. Pairs of equal items may be among them.
    pub(super) fn differences<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = Difference<'a, T>> {
        let (old, new) = unshared(older.inner_nodes.iter(), self.inner_nodes.iter());
        let old = old.into_iter().flat_map(|inner| inner.leaves.iter());
        let new = new.into_iter().flat_map(|inner| inner.leaves.iter());
        let (old, new) = unshared(old, new);
        let items = |leaves: Vec<&'a Arc<Leaf<T>>>| leaves.into_iter().flat_map(|leaf| leaf.items.iter());
        merged(items(old), items(new))
    }
}

impl<T> Tree<T> {
    pub(super) const fn inner_nodes(&self) -> &Arc<[Arc<InnerNode<T>>]> {
        &self.inner_nodes
    }

    /// Equal for equal sets, different for different ones.
    pub(super) const fn hash(&self) -> ContentHash {
        self.sum.hash
    }

    /// Equal for sets of equal contents, even if their versions differ.
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

/// Splits off the edits of a node that ends with `last`; all edits if it is the last node.
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

/// The one node that may hold a key.
fn holder<'a, N: TreeNode>(nodes: &'a [Arc<N>], key: &str) -> Option<&'a Arc<N>> {
    nodes.get(nodes.partition_point(|node| node.last().as_str() < key))
}

/// The nodes that only one of two sequences has. A node that both have ends with the same name in both.
fn unshared<'a, N: TreeNode>(
    old: impl Iterator<Item = &'a Arc<N>>,
    new: impl Iterator<Item = &'a Arc<N>>,
) -> (Vec<&'a Arc<N>>, Vec<&'a Arc<N>>) {
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

/// Pairs the items of two sorted sequences by key.
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
