//! The resources of one type at one moment: sorted by name, with one version over all of them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, LazyLock, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    alias::{Alias, DuplicateName},
    diff::Diff,
    held::HeldFingerprint,
    index::Index,
    tree::{InnerNode, Tree},
};
use crate::resource::{ContentHash, Resource, ResourceName, Version};

/// Diffs kept per set of resources. Streams lag behind by few versions.
const KEPT_DIFFS: usize = 4;

/// A look-up of many names uses an index if there are at least this many names, and one for every
/// [`RESOURCES_PER_NAME`] resources. Building the index then costs about as much as the look-ups without it.
const INDEXED_FROM: usize = 16;
const RESOURCES_PER_NAME: usize = 16;

/// Names with their new resource; `None` removes the resource.
pub type Edits = BTreeMap<ResourceName, Option<Arc<Resource>>>;

/// No resources.
pub(super) static EMPTY: LazyLock<Arc<TypeResources>> = LazyLock::new(|| Arc::new(TypeResources::default()));

/// All resources of one type in a snapshot.
///
/// An edit makes a new set that shares the unchanged rest with the old one: [`TypeResources::edited`] and
/// [`TypeResources::diff_from`] cost as much as what changed.
pub struct TypeResources {
    /// Identifies the set without a comparison. The key of frame caches.
    id: u64,
    version: Version,
    /// The version is not the plain hash of the content: the publisher named it or marked content that returned.
    marked: bool,
    /// Sorted by name (S-19).
    resources: Tree<Arc<Resource>>,
    /// The owners of aliases (D-12).
    aliases: Tree<Alias>,
    /// All resources as one list, made on first use.
    list: OnceLock<Box<[Arc<Resource>]>>,
    /// An index over that list, made on first use.
    index: OnceLock<Index>,
    /// The fingerprint of all names and versions, made on first use.
    held_fingerprint: OnceLock<HeldFingerprint>,
    /// Diffs from other sets to this one, computed once and shared by all streams.
    diffs: Mutex<Vec<(u64, Arc<Diff>)>>,
}

// === impl TypeResources ===

impl TypeResources {
    /// Sorts the resources and hashes their names and versions into the type's version.
    ///
    /// # Errors
    ///
    /// [`DuplicateName`] if two resources have the same name or alias.
    pub fn new(mut resources: Vec<Arc<Resource>>) -> Result<Self, DuplicateName> {
        resources.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = resources.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(DuplicateName(pair[0].name.clone()));
        }
        let tree = Tree::from_sorted(resources.iter().cloned());
        let aliases = Alias::edited(&Tree::default(), &tree, [], &resources)?;
        Ok(Self::of(tree, aliases))
    }

    fn of(resources: Tree<Arc<Resource>>, aliases: Tree<Alias>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            version: Version::from(resources.hash()),
            marked: false,
            resources,
            aliases,
            list: OnceLock::new(),
            index: OnceLock::new(),
            held_fingerprint: OnceLock::new(),
            diffs: Mutex::default(),
        }
    }

    /// These resources with `edits`, under the version of the content. Costs as much as the edits.
    ///
    /// # Errors
    ///
    /// [`DuplicateName`] if two resources would have the same name or alias.
    pub fn edited(&self, edits: &Edits) -> Result<Self, DuplicateName> {
        let listed: Vec<_> = edits.iter().map(|(name, edit)| (name.clone(), edit.clone())).collect();
        let tree = self.resources.edited(&listed);
        let gone = edits.keys().filter_map(|name| self.resources.get(name.as_str()));
        let aliases = Alias::edited(&self.aliases, &tree, gone, edits.values().flatten())?;
        Ok(Self::of(tree, aliases))
    }

    /// The same resources under a version that the publisher named.
    #[must_use]
    pub fn with_version(self, version: Version) -> Self {
        let marked = self.marked || version != self.version;
        Self {
            version,
            marked,
            ..self
        }
    }

    /// The same resources, a superset of `base`. If the version of `base` is not a plain hash, the new version is that
    /// version followed by the hash of the content.
    pub(super) fn grown_from(self, base: &Self) -> Self {
        if !base.marked {
            return self;
        }
        let version = format!("{}+{}", base.version, self.content_hash());
        self.with_version(Version::from(version))
    }

    /// Identifies this set within the process.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The `version_info` of a response that holds the whole set.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The hash of all names, versions and contents, independent of the type's version.
    #[must_use]
    pub const fn content_hash(&self) -> ContentHash {
        self.resources.hash()
    }

    /// The hash of all names and contents. Content that returns has the same hash, though its versions differ.
    #[must_use]
    pub const fn contents_hash(&self) -> ContentHash {
        self.resources.contents()
    }

    /// The number of resources.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.resources.len()
    }

    /// Returns true if there are no resources.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The size of all encoded resources in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.resources.bytes()
    }

    /// All resources, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// All resources, sorted by name, as one list. Made on first use, for callers that need every resource.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<Resource>] {
        self.list.get_or_init(|| self.iter().cloned().collect())
    }

    /// The resource with this name or alias.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.named(name).or_else(|| self.aliased(name))
    }

    fn aliased(&self, alias: &str) -> Option<&Arc<Resource>> {
        let alias = self.aliases.get(alias)?;
        self.named(alias.owner().as_str())
    }

    /// [`TypeResources::get`] for a look-up of so many names.
    pub fn finder<'a>(&'a self, names: usize) -> impl Fn(&str) -> Option<&'a Arc<Resource>> {
        let many = names >= INDEXED_FROM && names.saturating_mul(RESOURCES_PER_NAME) >= self.len();
        let index = if many { Some(self.index()) } else { self.index.get() };
        let indexed = index.map(|index| (index, self.as_slice()));
        move |name| match indexed {
            Some((index, list)) => index.find(list, name).or_else(|| self.aliased(name)),
            None => self.get(name),
        }
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::new(self.as_slice()))
    }

    /// The fingerprint of a client that holds the whole set. The first call walks all resources.
    pub fn held_fingerprint(&self) -> HeldFingerprint {
        *self
            .held_fingerprint
            .get_or_init(|| self.iter().map(|resource| resource.held()).collect())
    }

    /// The resource with this name; aliases do not count.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(name)
    }

    /// The inner nodes in which the store keeps the set. Equal nodes of two sets have equal hashes.
    pub(crate) fn inner_nodes(&self) -> &[Arc<InnerNode<Arc<Resource>>>] {
        self.resources.inner_nodes()
    }

    /// Returns true if both sets hold the same resources in the same versions, under the same version.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.id == other.id || (self.version == other.version && self.content_hash() == other.content_hash())
    }

    /// The changes that lead from `from` to this set. Computed once per pair.
    #[must_use]
    pub fn diff_from(&self, from: &Self) -> Arc<Diff> {
        if self.id == from.id {
            return Arc::default();
        }
        let mut kept = self.diffs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, diff)) = kept.iter().find(|(id, _)| *id == from.id) {
            return Arc::clone(diff);
        }
        let diff = Arc::new(Diff::of(self.differences(from)));
        if kept.len() == KEPT_DIFFS {
            kept.remove(0);
        }
        kept.push((from.id, Arc::clone(&diff)));
        diff
    }

    /// Pairs of the resource in `from` and the one in this set, sorted by name. Costs as much as what the two do not
    /// share; pairs of equal resources may be among them.
    pub fn differences<'a>(
        &'a self,
        from: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<Resource>>, Option<&'a Arc<Resource>>)> {
        self.resources.differences(&from.resources)
    }
}

impl Default for TypeResources {
    fn default() -> Self {
        Self::of(Tree::default(), Tree::default())
    }
}

impl fmt::Debug for TypeResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeResources")
            .field("version", &self.version)
            .field("resources", &self.iter().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
