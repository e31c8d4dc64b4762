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
    tree::{Chapter, Tree},
};
use crate::resource::{ContentHash, Resource, ResourceName, Version};

/// Diffs kept per set of resources: streams lag behind by few, different steps.
const KEPT_DIFFS: usize = 4;

/// Names looked up at once that are worth an index: so many at least, and one for so many resources. Making it then takes
/// about what looking them up without it takes.
const INDEXED_FROM: usize = 16;
const RESOURCES_PER_NAME: usize = 16;

/// Names, and what is to be under them: a resource of this name, or none.
pub type Edits = BTreeMap<ResourceName, Option<Arc<Resource>>>;

/// No resources.
pub(super) static EMPTY: LazyLock<Arc<TypeResources>> = LazyLock::new(|| Arc::new(TypeResources::default()));

/// All resources of one type in a snapshot.
///
/// What changes makes a new one, which shares with the old what they have in common: [`TypeResources::edited`] and
/// [`TypeResources::diff_from`] cost what changed.
pub struct TypeResources {
    /// Tells two sets apart without comparing them; what caches of frames are keyed by.
    id: u64,
    version: Version,
    /// The version is not just the hash of the content: the publisher named it, or marked content that returned.
    marked: bool,
    /// Sorted by name (S-19).
    resources: Tree<Arc<Resource>>,
    /// Who answers to an alias (D-12).
    aliases: Tree<Alias>,
    /// All of it as one list, where somebody asked for it so.
    list: OnceLock<Box<[Arc<Resource>]>>,
    /// Places in that list, where somebody looked up many names at once.
    index: OnceLock<Index>,
    /// Of all names and versions, where somebody asked for it.
    held_fingerprint: OnceLock<HeldFingerprint>,
    /// Differences from other sets to this one, computed once and shared by all streams that make the same step.
    diffs: Mutex<Vec<(u64, Arc<Diff>)>>,
}

// === impl TypeResources ===

impl TypeResources {
    /// Sorts the resources and hashes their names and versions into the type's version.
    ///
    /// # Errors
    ///
    /// [`DuplicateName`] where two answer to the same name or alias.
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

    /// These resources but for `edits`, under the version of the content. Costs what is edited.
    ///
    /// # Errors
    ///
    /// [`DuplicateName`] where two would answer to the same name or alias.
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

    /// The same resources, which are those of `base` and more. A version of `base` that says more than its content's hash is
    /// kept, with the hash of the content behind it.
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

    /// `version_info` of a response that holds all of it.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The hash of all names, versions and contents, whatever the type's version says.
    #[must_use]
    pub const fn content_hash(&self) -> ContentHash {
        self.resources.hash()
    }

    /// The hash of all names and contents: that of content that returns is what it was, though its versions are not.
    #[must_use]
    pub const fn contents_hash(&self) -> ContentHash {
        self.resources.contents()
    }

    /// How many resources there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Encoded bytes of all resources together.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.resources.bytes()
    }

    /// All resources, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// All resources, sorted by name, as one list: made when first asked for, so only for who needs all of it anyway.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<Resource>] {
        self.list.get_or_init(|| self.iter().cloned().collect())
    }

    /// The resource that answers to `name`, be it its name or an alias.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.named(name).or_else(|| self.aliased(name))
    }

    fn aliased(&self, alias: &str) -> Option<&Arc<Resource>> {
        let alias = self.aliases.get(alias)?;
        self.named(alias.owner().as_str())
    }

    /// [`TypeResources::get`] for who is about to look up so many names.
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

    /// The print of who holds all of it. Costs all resources when first asked for.
    pub fn held_fingerprint(&self) -> HeldFingerprint {
        *self
            .held_fingerprint
            .get_or_init(|| self.iter().map(|resource| resource.held()).collect())
    }

    /// The resource of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(name)
    }

    /// The parts that the set is stored in: equal parts of two sets have equal hashes.
    pub(crate) fn chapters(&self) -> &[Arc<Chapter<Arc<Resource>>>] {
        self.resources.chapters()
    }

    /// Whether both hold the same resources in the same versions, under the same version.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.id == other.id || (self.version == other.version && self.content_hash() == other.content_hash())
    }

    /// What a client that holds `from` lacks to hold this. Computed once per pair.
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

    /// Where two sets may differ, sorted by name: the resource there was, and the one there is. Costs what the two do not
    /// share; pairs of equal resources may be among it.
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
