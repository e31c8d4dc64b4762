//! The answer to a poll, from a snapshot: its resources and its version. Pure.

use std::sync::Arc;

use crate::{
    resource::{ContentHash, Resource, ResourceName, ResourceType, Version},
    snapshot::{Revision, Snapshot, TypeResources},
};

/// The resources of one answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) resource_type: ResourceType,
    /// The version that the next poll presents if nothing changed.
    pub(super) version: Version,
    /// The revision of the snapshot.
    pub(super) revision: Revision,
    /// All resources of the type.
    all: Arc<TypeResources>,
    /// The resources that were asked for by name; `None` for all.
    chosen: Option<Vec<Arc<Resource>>>,
}

/// The reason why there is no answer. Over a stream the node would be met with silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The group was not published, or the type is unknown (S-9).
    NoSnapshot,
    /// No requested name exists. A node would take an empty answer for a broken one (SDS, RTDS, ECDS), for the end of
    /// its wait (RDS), or for full state (CDS, LDS).
    NoSuchName,
}

/// The key of an answer in the cache of renderings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    set: u64,
    whole: bool,
    version: Version,
}

// === impl Answer ===

impl Answer {
    /// Chooses the resources of these names, or all if `names` is `None`.
    pub(super) fn choose(
        snapshot: &Snapshot,
        kind: &ResourceType,
        names: Option<&[ResourceName]>,
    ) -> Result<Self, Silence> {
        // Without its own group, a node may hold more than the shared group has (S-20).
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
        // H-3: the version is that of the chosen resources alone, so that a later poll for more names is answered.
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

/// Returns true if a node takes the absence of a resource for its removal (S-18).
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
