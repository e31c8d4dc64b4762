//! What a poll is answered from a snapshot: which resources, and under which version. Pure.

use std::sync::Arc;

use crate::{
    resource::{ContentHash, Resource, ResourceName, ResourceType, Version},
    snapshot::{Revision, Snapshot, TypeResources},
};

/// The resources of one answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) resource_type: ResourceType,
    /// What the next poll presents where nothing changed.
    pub(super) version: Version,
    /// The publish it is made from.
    pub(super) revision: Revision,
    /// All resources of the type.
    all: Arc<TypeResources>,
    /// Those that were asked for by name; `None` for all.
    chosen: Option<Vec<Arc<Resource>>>,
}

/// Why there is no answer. Over a stream the node would be met with silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody published the group, or nothing is known of the type (S-9).
    NoSnapshot,
    /// Nothing that was asked for exists. An empty answer would be taken for a broken one (SDS, RTDS, ECDS), would end the wait
    /// for what is about to be published (RDS), or would be taken for all there is (CDS, LDS).
    NoSuchName,
}

/// Names an answer: what a cache of its encoded form is keyed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    set: u64,
    whole: bool,
    version: Version,
}

// === impl Answer ===

impl Answer {
    /// Chooses what is asked for: these names, or all.
    pub(super) fn choose(
        snapshot: &Snapshot,
        kind: &ResourceType,
        names: Option<&[ResourceName]>,
    ) -> Result<Self, Silence> {
        // The shared group alone is less than the node may hold (S-20).
        let is_complete = snapshot.is_whole(kind) || !tells_absence(kind);
        let all = snapshot.get(kind).filter(|_| is_complete).ok_or(Silence::NoSnapshot)?;
        let chosen = names.map(|names| chosen(all, names));
        let nothing = match &chosen {
            Some(chosen) => chosen.is_empty(),
            None => all.is_empty() && !tells_absence(kind),
        };
        if nothing {
            return Err(Silence::NoSuchName);
        }
        // H-3: the version of some resources is not that of all, since the next poll may ask for more at the same version.
        let version = chosen.as_deref().map_or_else(|| all.version().clone(), version_of);
        Ok(Self {
            resource_type: kind.clone(),
            version,
            revision: snapshot.revision(),
            all: Arc::clone(all),
            chosen,
        })
    }

    /// The resources, sorted by name.
    pub(super) fn resources(&self) -> Vec<Arc<Resource>> {
        self.chosen
            .clone()
            .unwrap_or_else(|| self.all.iter().cloned().collect())
    }

    pub(super) fn key(&self) -> Key {
        Key {
            set: self.all.id(),
            whole: self.chosen.is_none(),
            version: self.version.clone(),
        }
    }
}

fn chosen(all: &TypeResources, names: &[ResourceName]) -> Vec<Arc<Resource>> {
    let found = names.iter().filter_map(|name| all.get(name.as_str()));
    found.cloned().collect()
}

fn version_of(resources: &[Arc<Resource>]) -> Version {
    let texts = resources
        .iter()
        .flat_map(|resource| [resource.name.as_str(), resource.version.as_str()]);
    Version::from(ContentHash::of_texts(texts))
}

/// Whether an answer without a resource says that it does not exist (S-18).
const fn tells_absence(kind: &ResourceType) -> bool {
    match kind {
        ResourceType::Cluster | ResourceType::Listener | ResourceType::ScopedRoute => true,
        ResourceType::Endpoint
        | ResourceType::LbEndpoint
        | ResourceType::Route
        | ResourceType::VirtualHost
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig
        | ResourceType::Other(_) => false,
    }
}
