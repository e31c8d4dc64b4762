//! What a session has to say, before it is put into bytes.

use std::sync::Arc;

use super::Delivery;
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
    /// Delta: names that are gone, or were asked for and do not exist (R-3, D-8). Sorted, disjoint from the resources.
    pub removed: Vec<ResourceName>,
    /// Delta VHDS: names that no virtual host answers to, returned without a resource (D-12).
    pub unresolved: Vec<ResourceName>,
}

/// The resources of a response, in a form that tells the transport what streams can share.
#[derive(Clone, Debug)]
pub enum Contents {
    /// Everything of the type.
    All(Arc<TypeResources>),
    /// Everything that changed in one step.
    Changed(Arc<Diff>),
    /// Chosen for this subscription; sorted by name.
    Chosen(Vec<Arc<Resource>>),
}

// === impl Contents ===

impl Contents {
    /// The resources, sorted by name.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<Resource>] {
        match self {
            Self::All(all) => all.as_slice(),
            Self::Changed(diff) => &diff.changed,
            Self::Chosen(chosen) => chosen,
        }
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
