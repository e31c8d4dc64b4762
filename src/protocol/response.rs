//! What a session has to say, before it is put into bytes.

use std::sync::Arc;

use super::{Delivery, sorted::sort_once, subscription::Selection};
use crate::{
    resource::{Resource, ResourceName},
    snapshot::{Diff, TypeResources},
};

/// One response. The transport encodes it; the resources' bodies are shared, never copied.
#[derive(Clone, Debug)]
pub struct Response {
    /// Type, version, nonce and revision.
    pub delivery: Delivery,
    /// The resources it carries.
    pub resources: Contents,
    /// Names that stand first, in this order; the others follow by name. They give up places that others take (O-17).
    pub lead: Vec<ResourceName>,
    /// Delta: names that are gone, or were asked for and do not exist (R-3, D-8). Sorted, disjoint from the resources.
    pub removed: Vec<ResourceName>,
    /// Delta VHDS: names that no virtual host answers to, returned without a resource (D-12).
    pub unresolved: Vec<ResourceName>,
    /// What the client asks for and cannot be given (E-1); disjoint from the resources (E-2).
    pub errors: Vec<ResourceError>,
    /// What is renewed (T-3): in delta without its body. Nothing else is in such a response.
    pub heartbeats: Vec<Arc<Resource>>,
    /// Whether the client takes TTLs: resources that have one carry it then (T-1).
    pub ttl: bool,
}

/// Why a client is not given a resource that it asked for by name. Told once (E-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceError {
    /// The name, as asked for; of an empty glob the glob itself (E-5).
    pub name: ResourceName,
    /// A code of gRPC. `NOT_FOUND` makes clients that fail on data errors drop what they hold, so it is given only where
    /// the snapshot is known to lack the resource (E-3).
    pub code: i32,
}

/// The resources of a response, in a form that tells the transport what streams can share.
#[derive(Clone, Debug)]
pub enum Contents {
    /// Everything of the type.
    All(Arc<TypeResources>),
    /// Everything that changed in one step.
    Changed(Arc<Diff>),
    /// What a list of names stands for, or what of that changed in one step.
    Selected(Arc<Selection>),
    /// Chosen for this stream; sorted by name.
    Chosen(Vec<Arc<Resource>>),
}

// === impl Response ===

impl Response {
    /// A response that carries nothing.
    #[must_use]
    pub fn empty(delivery: Delivery) -> Self {
        Self {
            delivery,
            resources: Contents::default(),
            lead: Vec::new(),
            removed: Vec::new(),
            unresolved: Vec::new(),
            errors: Vec::new(),
            heartbeats: Vec::new(),
            ttl: false,
        }
    }
}

impl Response {
    /// The resources in the order in which they stand on the wire, where that is not by name.
    #[must_use]
    pub fn reordered(&self) -> Option<Vec<Arc<Resource>>> {
        if self.lead.is_empty() {
            return None;
        }
        let lead = self.lead.iter().filter_map(|name| self.resources.get(name));
        let rest = self
            .resources
            .iter()
            .filter(|resource| !self.lead.contains(&resource.name));
        Some(lead.chain(rest).cloned().collect())
    }
}

// === impl ResourceError ===

impl ResourceError {
    /// `google.rpc.Code.NOT_FOUND`.
    const NOT_FOUND: i32 = 5;

    /// The snapshot lacks it.
    pub(super) const fn not_found(name: ResourceName) -> Self {
        Self {
            name,
            code: Self::NOT_FOUND,
        }
    }
}

// === impl Contents ===

impl Default for Contents {
    fn default() -> Self {
        Self::Chosen(Vec::new())
    }
}

impl Contents {
    /// The resources, sorted by name.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<Resource>] {
        match self {
            Self::All(all) => all.as_slice(),
            Self::Changed(diff) => &diff.changed,
            Self::Selected(selection) => &selection.resources,
            Self::Chosen(chosen) => chosen,
        }
    }

    /// The resources, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.as_slice().iter()
    }

    /// The resource of this name.
    #[must_use]
    pub fn get(&self, name: &ResourceName) -> Option<&Arc<Resource>> {
        let resources = self.as_slice();
        let at = resources.binary_search_by(|resource| resource.name.cmp(name));
        at.ok().and_then(|at| resources.get(at))
    }

    /// Whether both are the same full state.
    pub(super) fn is_same_state(&self, other: &Self) -> bool {
        let (a, b) = (self.as_slice(), other.as_slice());
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.version == b.version)
    }

    /// These and more; what is in both, once. Shared as before where there is nothing more.
    pub(super) fn with(&self, more: Vec<Arc<Resource>>) -> Self {
        if more.is_empty() {
            return self.clone();
        }
        let mut all: Vec<_> = self.iter().cloned().chain(more).collect();
        sort_once(&mut all);
        Self::Chosen(all)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}
