//! Builds the nodes of a set from a sequence of items, or from the nodes of another set and edits.

use std::sync::Arc;

use super::node::{Edit, InnerNode, Item, LIMIT, Leaf, Sum, ends_here};

/// Splits a sequence of items into leaves and inner nodes. Reuses an old node if one begins at the same item.
pub(super) struct Builder<T> {
    items: Vec<T>,
    leaves: Vec<Arc<Leaf<T>>>,
    inner_nodes: Vec<Arc<InnerNode<T>>>,
}

// === impl Builder ===

impl<T: Item> Builder<T> {
    pub(super) const fn new() -> Self {
        Self {
            items: Vec::new(),
            leaves: Vec::new(),
            inner_nodes: Vec::new(),
        }
    }

    pub(super) fn item(&mut self, item: T) {
        let ends = ends_here(item.key(), 0);
        self.item_that(ends, item);
    }

    fn item_that(&mut self, ends: bool, item: T) {
        self.items.push(item);
        if ends || self.items.len() == LIMIT {
            self.end_leaf();
        }
    }

    /// Reuses the leaf if a leaf begins here; otherwise adds its items one by one.
    pub(super) fn leaf(&mut self, leaf: &Arc<Leaf<T>>) {
        if self.items.is_empty() {
            self.whole_leaf(Arc::clone(leaf));
        } else {
            self.edited(&leaf.items, &[]);
        }
    }

    /// Reuses the inner node if one begins here; otherwise adds its leaves one by one.
    pub(super) fn inner_node(&mut self, inner: &Arc<InnerNode<T>>) {
        if self.items.is_empty() && self.leaves.is_empty() {
            self.inner_nodes.push(Arc::clone(inner));
        } else {
            inner.leaves.iter().for_each(|leaf| self.leaf(leaf));
        }
    }

    /// Adds the items of a leaf, with edits among them.
    pub(super) fn edited(&mut self, leaf: &[T], edits: &[Edit<T>]) {
        let (mut items, mut edits) = (leaf.iter().peekable(), edits.iter().peekable());
        loop {
            match (items.peek(), edits.peek()) {
                (None, None) => return,
                (Some(item), Some((key, _))) if item.key() == key => drop(items.next()),
                (Some(item), Some((key, _))) if item.key() > key => self.edit(edits.next()),
                (None, Some(_)) => self.edit(edits.next()),
                (Some(_), Some(_) | None) => {
                    let item = items.next().cloned();
                    // Of a leaf's items, only the last one can have a hash that ends it.
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

    fn whole_leaf(&mut self, leaf: Arc<Leaf<T>>) {
        let ends = leaf.ends_inner_node;
        self.leaves.push(leaf);
        if ends || self.leaves.len() == LIMIT {
            self.end_inner_node();
        }
    }

    fn end_leaf(&mut self) {
        let items = std::mem::take(&mut self.items).into_boxed_slice();
        if let Some(last) = items.last().map(|item| item.key().clone()) {
            let leaf = Leaf {
                ends_inner_node: ends_here(&last, 1),
                sum: Sum::of_items(&items),
                last,
                items,
            };
            self.whole_leaf(Arc::new(leaf));
        }
    }

    fn end_inner_node(&mut self) {
        let leaves = std::mem::take(&mut self.leaves).into_boxed_slice();
        if let Some(last) = leaves.last().map(|leaf| leaf.last.clone()) {
            let sum = Sum::of_nodes(b"chapter", &leaves);
            self.inner_nodes.push(Arc::new(InnerNode { leaves, last, sum }));
        }
    }

    /// The inner nodes and the sums over all of them.
    pub(super) fn finish(mut self) -> (Arc<[Arc<InnerNode<T>>]>, Sum) {
        self.end_leaf();
        self.end_inner_node();
        let sum = Sum::of_nodes(b"set", &self.inner_nodes);
        (self.inner_nodes.into(), sum)
    }
}
