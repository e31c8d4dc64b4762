//! The nodes of a set, items in leaves and leaves in inner nodes, with sums over each node.

use std::{iter, sync::Arc};

use crate::resource::{ContentHash, Resource, ResourceName};

/// A leaf ends at a name whose hash has zeros under this mask, on average every 32 names. An inner node ends likewise,
/// every 32 leaves. An edit rebuilds one leaf and one inner node.
const MASK: u8 = 31;
/// The maximum length of a leaf and of an inner node, so that no choice of names makes a large one.
pub(super) const LIMIT: usize = 512;

/// An item of a set, sorted by key.
pub(in crate::snapshot) trait Item: Clone {
    /// The key of the item, unique within a set.
    fn key(&self) -> &ResourceName;

    /// True if an item's version can differ while its content is equal.
    const VERSIONED: bool = false;

    /// The item's fields, versions included, as input of a hash.
    fn parts(&self) -> impl Iterator<Item = &[u8]>;

    /// [`Item::parts`] without the version.
    fn content_parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts()
    }

    /// Bytes that the item adds to [`Sum::bytes`].
    fn bytes(&self) -> usize;
}

/// A run of neighbouring leaves, never empty.
#[derive(Debug)]
pub(crate) struct InnerNode<T> {
    pub(super) leaves: Box<[Arc<Leaf<T>>]>,
    pub(super) last: ResourceName,
    pub(super) sum: Sum,
}

/// A run of neighbouring items, never empty.
#[derive(Debug)]
pub(crate) struct Leaf<T> {
    pub(super) items: Box<[T]>,
    pub(super) last: ResourceName,
    pub(super) ends_inner_node: bool,
    pub(super) sum: Sum,
}

/// Sums over a node, so that nobody has to walk it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) hash: ContentHash,
    /// The hash without versions: content that returns has the same one.
    pub(super) contents: ContentHash,
    pub(super) len: usize,
    pub(super) bytes: usize,
}

/// A key and its new item; `None` removes the item.
pub(in crate::snapshot) type Edit<T> = (ResourceName, Option<T>);

/// A leaf or an inner node.
pub(super) trait TreeNode {
    fn last(&self) -> &ResourceName;
    fn sum(&self) -> Sum;
}

// === impl Chapter ===

impl<T> InnerNode<T> {
    /// The hash over the node's leaves, its address in the store.
    pub(crate) const fn hash(&self) -> ContentHash {
        self.sum.hash
    }

    pub(crate) fn leaves(&self) -> &[Arc<Leaf<T>>] {
        &self.leaves
    }
}

impl<T> TreeNode for InnerNode<T> {
    fn last(&self) -> &ResourceName {
        &self.last
    }

    fn sum(&self) -> Sum {
        self.sum
    }
}

// === impl Page ===

impl<T> Leaf<T> {
    /// The hash over the leaf's items, its address in the store.
    pub(crate) const fn hash(&self) -> ContentHash {
        self.sum.hash
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }
}

impl<T> TreeNode for Leaf<T> {
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

    pub(super) fn of_nodes(level: &'static [u8], nodes: &[Arc<impl TreeNode>]) -> Self {
        let over = |hash: fn(Self) -> ContentHash| {
            let hashes: Vec<_> = nodes.iter().map(|node| hash(node.sum()).to_bytes()).collect();
            ContentHash::of_parts(iter::once(level).chain(hashes.iter().map(|hash| &hash[..])))
        };
        let hash = over(|sum| sum.hash);
        let is_plain = nodes.iter().all(|node| node.sum().contents == node.sum().hash);
        Self {
            hash,
            contents: if is_plain { hash } else { over(|sum| sum.contents) },
            len: nodes.iter().map(|node| node.sum().len).sum(),
            bytes: nodes.iter().map(|node| node.sum().bytes).sum(),
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

/// Returns true if a node of this level ends at the name. Each level reads its own byte of the name's hash.
pub(super) fn ends_here(name: &ResourceName, level: usize) -> bool {
    let hash = ContentHash::of_texts([name.as_str()]);
    hash.as_bytes()[level] & MASK == 0
}
