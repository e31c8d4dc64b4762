//! A persistent sorted set of names: a B-tree, of which an edit copies one path and shares the rest with the set
//! before. An edit costs the depth of the tree; a clone costs nothing.
//!
//! Nodes are never merged: a set that shrinks keeps small nodes until it is rebuilt.

use std::{hash::BuildHasher as _, slice, sync::Arc};

use foldhash::quality::FixedState;

use crate::resource::ResourceName;

/// The most items of a node; a larger one is split in two.
const WIDTH: usize = 64;
/// The items of a node in a newly built tree, where there is room for a few more.
const FILL: usize = 48;
/// An edit of more than one in this many names rebuilds the set, which is then cheaper.
const NAMES_PER_EDIT: usize = 8;

/// A sorted set of names.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: Node,
    len: usize,
    /// The bytes of all names together.
    bytes: usize,
    /// The wrapping sum of the names' hashes: equal sets have equal sums, whatever edits made them.
    sum: u64,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Arc<[ResourceName]>),
    Branch(Arc<[Child]>),
}

#[derive(Clone, Debug)]
struct Child {
    /// The smallest name of the node, or a name before it.
    first: ResourceName,
    node: Node,
}

/// A node after a name was added: it may have been split.
enum Added {
    One(Node),
    Two(Node, Child),
}

/// An iterator over the names in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    /// Nodes still to come, the nearest last.
    branches: Vec<slice::Iter<'a, Child>>,
    leaf: slice::Iter<'a, ResourceName>,
    left: usize,
}

/// A cursor over a set that can skip whole nodes.
struct Cursor<'a> {
    branches: Vec<&'a [Child]>,
    leaf: &'a [ResourceName],
}

/// The wrapping sum of the names' hashes.
pub(super) fn sum_of<'a>(names: impl Iterator<Item = &'a str>) -> u64 {
    names.fold(0, |sum, name| sum.wrapping_add(hash(name)))
}

fn hash(name: &str) -> u64 {
    FixedState::with_seed(0).hash_one(name)
}

// === impl Tree ===

impl Tree {
    /// Builds the set of these names, which are sorted, each once.
    pub(super) fn new(names: &[ResourceName]) -> Self {
        Self {
            root: Node::build(names),
            len: names.len(),
            bytes: names.iter().map(|name| name.as_str().len()).sum(),
            sum: sum_of(names.iter().map(ResourceName::as_str)),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn sum(&self) -> u64 {
        self.sum
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(names) => return names.binary_search_by(|listed| listed.as_str().cmp(name)).is_ok(),
                Node::Branch(children) => node = &children[position(children, name)].node,
            }
        }
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter::new(&self.root, self.len)
    }

    /// The set with some names added and some removed. A name in both lists is in the set afterwards.
    pub(super) fn edited(&self, add: &[&str], remove: &[&str]) -> Self {
        if add.len() + remove.len() > self.len / NAMES_PER_EDIT {
            return self.rebuilt(add, remove);
        }
        let mut tree = self.clone();
        remove.iter().for_each(|name| tree.remove(name));
        add.iter().for_each(|name| tree.add(name));
        tree
    }

    fn rebuilt(&self, add: &[&str], remove: &[&str]) -> Self {
        let mut gone = remove.to_vec();
        gone.sort_unstable();
        let kept = self.iter().filter(|name| gone.binary_search(&name.as_str()).is_err());
        let mut names: Vec<ResourceName> = kept.cloned().collect();
        names.extend(add.iter().map(|name| ResourceName::from(*name)));
        names.sort_unstable();
        names.dedup();
        Self::new(&names)
    }

    fn add(&mut self, name: &str) {
        if self.has(name) {
            return;
        }
        self.root = match self.root.with(ResourceName::from(name)) {
            Added::One(node) => node,
            Added::Two(node, second) => {
                let first = node.first().clone();
                Node::Branch([Child { first, node }, second].into())
            }
        };
        self.len += 1;
        self.bytes += name.len();
        self.sum = self.sum.wrapping_add(hash(name));
    }

    fn remove(&mut self, name: &str) {
        if !self.has(name) {
            return;
        }
        self.root = self.root.without(name).unwrap_or_else(|| Node::Leaf([].into()));
        self.len -= 1;
        self.bytes -= name.len();
        self.sum = self.sum.wrapping_sub(hash(name));
    }
}

impl PartialEq for Tree {
    /// The cost is that of the nodes that the two do not share.
    fn eq(&self, other: &Self) -> bool {
        if (self.len, self.sum) != (other.len, other.sum) {
            return false;
        }
        let (mut a, mut b) = (Cursor::new(&self.root), Cursor::new(&other.root));
        loop {
            a.skip_shared(&mut b);
            match (a.names(), b.names()) {
                (Some(ours), Some(theirs)) => {
                    let common = ours.len().min(theirs.len());
                    if ours[..common] != theirs[..common] {
                        return false;
                    }
                    a.leaf = &ours[common..];
                    b.leaf = &theirs[common..];
                }
                (None, None) => return true,
                (Some(_), None) | (None, Some(_)) => return false,
            }
        }
    }
}

// === impl Node ===

impl Node {
    fn build(names: &[ResourceName]) -> Self {
        if names.len() <= FILL {
            return Self::Leaf(names.into());
        }
        let leaves = names.chunks(FILL).map(|names| Self::Leaf(names.into()));
        let mut level: Vec<Child> = leaves.map(Child::from).collect();
        while level.len() > FILL {
            let branches = level.chunks(FILL).map(|children| Self::Branch(children.into()));
            level = branches.map(Child::from).collect();
        }
        Self::Branch(level.into())
    }

    /// The first name, or a name before it. A node below a branch is never empty.
    fn first(&self) -> &ResourceName {
        match self {
            Self::Leaf(names) => &names[0],
            Self::Branch(children) => &children[0].first,
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(a), Self::Leaf(b)) => Arc::ptr_eq(a, b),
            (Self::Branch(a), Self::Branch(b)) => Arc::ptr_eq(a, b),
            (Self::Leaf(_), Self::Branch(_)) | (Self::Branch(_), Self::Leaf(_)) => false,
        }
    }

    /// The node with a name that it does not have yet.
    fn with(&self, name: ResourceName) -> Added {
        match self {
            Self::Leaf(names) => {
                let at = names.partition_point(|listed| *listed < name);
                let mut names = names.to_vec();
                names.insert(at, name);
                cut(&names, |names| Self::Leaf(names.into()))
            }
            Self::Branch(children) => {
                let at = position(children, name.as_str());
                let mut children = children.to_vec();
                let first = children[at].first.clone().min(name.clone());
                let (node, second) = match children[at].node.with(name) {
                    Added::One(node) => (node, None),
                    Added::Two(node, second) => (node, Some(second)),
                };
                children[at] = Child { first, node };
                if let Some(second) = second {
                    children.insert(at + 1, second);
                }
                cut(&children, |children| Self::Branch(children.into()))
            }
        }
    }

    /// The node without a name that it has; `None` if nothing is left.
    fn without(&self, name: &str) -> Option<Self> {
        match self {
            Self::Leaf(names) => {
                let left: Arc<[_]> = names.iter().filter(|listed| listed.as_str() != name).cloned().collect();
                (!left.is_empty()).then_some(Self::Leaf(left))
            }
            Self::Branch(children) => {
                let at = position(children, name);
                let mut children = children.to_vec();
                match children[at].node.without(name) {
                    Some(node) => children[at].node = node,
                    None => drop(children.remove(at)),
                }
                match &children[..] {
                    [] => None,
                    [only] => Some(only.node.clone()),
                    _ => Some(Self::Branch(children.into())),
                }
            }
        }
    }
}

impl From<Node> for Child {
    fn from(node: Node) -> Self {
        Self {
            first: node.first().clone(),
            node,
        }
    }
}

/// The index of the child that would hold the name.
fn position(children: &[Child], name: &str) -> usize {
    let behind = children.partition_point(|child| child.first.as_str() <= name);
    behind.saturating_sub(1)
}

/// Makes one node of the items, or two if they are too many.
fn cut<T>(items: &[T], node: impl Fn(&[T]) -> Node) -> Added {
    if items.len() <= WIDTH {
        return Added::One(node(items));
    }
    let (first, second) = items.split_at(items.len() / 2);
    Added::Two(node(first), Child::from(node(second)))
}

// === impl Iter ===

impl<'a> Iter<'a> {
    pub(super) fn empty() -> Self {
        Self {
            branches: Vec::new(),
            leaf: [].iter(),
            left: 0,
        }
    }

    fn new(root: &'a Node, len: usize) -> Self {
        let mut iter = Self::empty();
        iter.left = len;
        iter.open(root);
        iter
    }

    fn open(&mut self, node: &'a Node) {
        match node {
            Node::Leaf(names) => self.leaf = names.iter(),
            Node::Branch(children) => self.branches.push(children.iter()),
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a ResourceName;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(name) = self.leaf.next() {
                self.left -= 1;
                return Some(name);
            }
            match self.branches.last_mut()?.next() {
                Some(child) => self.open(&child.node),
                None => drop(self.branches.pop()),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    fn new(root: &'a Node) -> Self {
        let mut cursor = Self {
            branches: Vec::new(),
            leaf: &[],
        };
        cursor.open(root);
        cursor
    }

    fn open(&mut self, node: &'a Node) {
        match node {
            Node::Leaf(names) => self.leaf = names,
            Node::Branch(children) => self.branches.push(children),
        }
    }

    /// The next node, if no leaf is open.
    fn node(&mut self) -> Option<&'a Node> {
        if !self.leaf.is_empty() {
            return None;
        }
        while self.branches.last()?.is_empty() {
            self.branches.pop();
        }
        Some(&self.branches.last()?.first()?.node)
    }

    /// Skips the next node and returns it.
    fn take_node(&mut self) -> Option<&'a Node> {
        self.node()?;
        let (first, rest) = self.branches.last()?.split_first()?;
        *self.branches.last_mut()? = rest;
        Some(&first.node)
    }

    /// Skips the next node, or opens it.
    fn pass(&mut self, over: bool) {
        if let Some(node) = self.take_node()
            && !over
        {
            self.open(node);
        }
    }

    /// Skips the nodes that both sets share.
    fn skip_shared(&mut self, other: &mut Self) {
        while let (Some(ours), Some(theirs)) = (self.node(), other.node()) {
            let (is_same, ours_is_leaf, theirs_is_leaf) = (
                ours.is(theirs),
                matches!(ours, Node::Leaf(_)),
                matches!(theirs, Node::Leaf(_)),
            );
            // A leaf waits until the other side has reached its leaves.
            if is_same || !ours_is_leaf || theirs_is_leaf {
                self.pass(is_same);
            }
            if is_same || !theirs_is_leaf || ours_is_leaf {
                other.pass(is_same);
            }
        }
    }

    /// The rest of the open leaf, or the next leaf.
    fn names(&mut self) -> Option<&'a [ResourceName]> {
        while self.leaf.is_empty() {
            let node = self.take_node()?;
            self.open(node);
        }
        Some(self.leaf)
    }
}

#[cfg(test)]
mod tests;
