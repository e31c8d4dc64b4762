//! The resources of one type at one moment: sorted by name, with one version over all of them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::diff::Diff;
use crate::resource::{ContentHash, Resource, ResourceName, Version};

/// Diffs kept per set of resources: streams lag behind by few, different steps.
const KEPT_DIFFS: usize = 4;

/// All resources of one type in a snapshot.
pub struct TypeResources {
    /// Tells two sets apart without comparing them; what caches of frames are keyed by.
    id: u64,
    version: Version,
    /// The version is not just the hash of the content: the publisher named it, or marked content that returned.
    marked: bool,
    /// Sorted by name (S-19).
    resources: Vec<Arc<Resource>>,
    /// Alias → index (D-12).
    aliases: BTreeMap<ResourceName, usize>,
    /// Differences from other sets to this one, computed once and shared by all streams that make the same step.
    diffs: Mutex<Vec<(u64, Arc<Diff>)>>,
}

/// Two resources of one type answer to the same name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("duplicate name \"{0}\"")]
pub struct DuplicateName(pub ResourceName);

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
        let version = Version::from(hash_of(&resources));
        let mut set = Self::sorted(resources, version);
        for (index, resource) in set.resources.iter().enumerate() {
            for alias in &resource.aliases {
                let taken = set.position(alias.as_str()).is_some_and(|other| other != index);
                if taken || set.aliases.get(alias).is_some_and(|other| *other != index) {
                    return Err(DuplicateName(alias.clone()));
                }
                set.aliases.insert(alias.clone(), index);
            }
        }
        Ok(set)
    }

    fn sorted(resources: Vec<Arc<Resource>>, version: Version) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            version,
            marked: false,
            resources,
            aliases: BTreeMap::new(),
            diffs: Mutex::default(),
        }
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

    /// These resources, and those of `below` whose names are free here.
    #[must_use]
    pub fn or_else(&self, below: &Self) -> Self {
        let free = |resource: &&Arc<Resource>| {
            self.get(resource.name.as_str()).is_none()
                && resource.aliases.iter().all(|alias| self.get(alias.as_str()).is_none())
        };
        self.with(below.iter().filter(free).cloned())
    }

    /// These resources and more, whose names are free here. A version that says more than the content's hash is kept, with
    /// the hash of what is added.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let more: Vec<Arc<Resource>> = more.into_iter().collect();
        let added = hash_of(&more);
        let nothing = more.is_empty();
        let all = self.iter().cloned().chain(more).collect();
        let all = Self::new(all).expect("only resources with free names are added");
        match (self.marked, nothing) {
            (false, _) => all,
            (true, true) => all.with_version(self.version.clone()),
            (true, false) => all.with_version(Version::from(format!("{}+{added}", self.version))),
        }
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

    /// How many resources there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// All resources, sorted by name.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// All resources, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// The resource that answers to `name`, be it its name or an alias.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        let index = self.position(name).or_else(|| self.aliases.get(name).copied())?;
        self.resources.get(index)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.resources
            .binary_search_by(|resource| resource.name.as_str().cmp(name))
            .ok()
    }

    /// Whether both hold the same resources in the same versions, under the same version.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.id == other.id || (self.version == other.version && self.same_content(other))
    }

    fn same_content(&self, other: &Self) -> bool {
        self.resources.len() == other.resources.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| a.name == b.name && a.version == b.version)
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
        let diff = Arc::new(Diff::between(from.as_slice(), self.as_slice()));
        if kept.len() == KEPT_DIFFS {
            kept.remove(0);
        }
        kept.push((from.id, Arc::clone(&diff)));
        diff
    }
}

/// The hash of names and versions.
fn hash_of(resources: &[Arc<Resource>]) -> ContentHash {
    let texts = resources
        .iter()
        .flat_map(|resource| [resource.name.as_str(), resource.version.as_str()]);
    ContentHash::of_texts(texts)
}

impl Default for TypeResources {
    fn default() -> Self {
        Self::new(Vec::new()).expect("no resources have no duplicates")
    }
}

impl fmt::Debug for TypeResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeResources")
            .field("version", &self.version)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}
