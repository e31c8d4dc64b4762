//! Where the order of a change stands on a stream: which resource waits for which, and what is held for whom.

use crate::resource::{ResourceName, ResourceType};

/// Where the order of a change stands (O-3, O-12, O-15).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Some of the resources whose change waits, at most 16, in send order.
    pub waits: Vec<Wait>,
    /// How many resources wait in all.
    pub waiting: usize,
    /// Some of what is gone and still left with the client, at most 16.
    pub holds: Vec<Hold>,
    /// How many resources are held in all.
    pub held: usize,
}

// === impl Standing ===

impl Standing {
    /// Whether nothing waits and nothing is held.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.waiting == 0 && self.held == 0
    }
}

/// A resource whose change waits for others that it newly refers to (O-15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: ResourceName,
    /// What it waits for; never empty.
    pub on: Vec<Awaited>,
}

/// A resource that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: ResourceName,
    /// Why the client does not have it yet.
    pub reason: Awaiting,
}

/// Why a resource is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaiting {
    /// It was not sent yet.
    Unsent,
    /// It was sent, and the response was not answered yet: an Envoy answers once the cluster is warm (O-5).
    Unanswered,
    /// The client refused it.
    Refused,
}

/// A resource that is gone and left with the client for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: ResourceName,
    /// A resource that the client holds, or may hold, and that still names it.
    pub needed_by: Option<(ResourceType, ResourceName)>,
}
