//! Responses of a session, before they are encoded.

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
    /// The resources that the response carries.
    pub resources: Contents,
    /// Names that stand first, in this order, because they give up places (O-17). The others follow by name.
    pub lead: Vec<ResourceName>,
    /// Delta: gone names, and requested names that do not exist (R-3, D-8). Sorted, disjoint from the resources.
    pub removed: Vec<ResourceName>,
    /// Delta VHDS: names without a virtual host, returned without a resource (D-12).
    pub unresolved: Vec<ResourceName>,
    /// Names that were requested and cannot be served (E-1); disjoint from the resources (E-2).
    pub errors: Vec<ResourceError>,
    /// Resources whose TTL is renewed (T-3), in delta without bodies. Such a response carries nothing else.
    pub heartbeats: Vec<Arc<Resource>>,
    /// The client takes TTLs: resources that have a TTL carry it (T-1).
    pub ttl: bool,
}

/// The error of a resource that was requested by name and cannot be served. Reported once (E-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceError {
    /// The name as the client wrote it; of an empty glob the glob itself (E-5).
    pub name: ResourceName,
    /// A gRPC code. `NOT_FOUND` makes clients that fail on data errors drop the resource that they hold. So it is given
    /// only where the snapshot is known to lack the resource (E-3).
    pub code: i32,
}

/// The resources of a response, in a form that shows the transport which bytes streams can share.
#[derive(Clone, Debug)]
pub enum Contents {
    /// All resources of the type.
    All(Arc<TypeResources>),
    /// All resources that changed from one snapshot to another.
    Changed(Arc<Diff>),
    /// The resources of a list of names, or those of them that changed from one snapshot to another.
    Selected(Arc<Selection>),
    /// Resources chosen for this stream alone, sorted by name.
    Chosen(Vec<Arc<Resource>>),
}

// === impl Response ===

impl Response {
    /// Makes a response that carries nothing.
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
    /// The resources in the order in which they stand on the wire; `None` where that is the order of their names.
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

    /// Makes the error of a name that the snapshot lacks.
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

    /// Returns true if both hold the same names in the same versions.
    pub(super) fn is_same_state(&self, other: &Self) -> bool {
        let (a, b) = (self.as_slice(), other.as_slice());
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.version == b.version)
    }

    /// These resources and `more`, each name once. With nothing more, the result is shared with `self`.
    pub(super) fn with(&self, more: Vec<Arc<Resource>>) -> Self {
        if more.is_empty() {
            return self.clone();
        }
        let mut all: Vec<_> = self.iter().cloned().chain(more).collect();
        sort_once(&mut all);
        Self::Chosen(all)
    }

    /// The number of resources.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Returns true if there are no resources.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}
