//! The progress of a change on a stream: the resources that wait or are held, each with the reason.

use crate::resource::{ResourceName, ResourceType};

/// The progress of a change on a stream (O-3, O-12, O-15).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Some of the resources whose change waits, at most 16, in send order.
    pub waits: Vec<Wait>,
    /// The number of all resources that wait.
    pub waiting: usize,
    /// Some of the removed resources that the client still has, at most 16.
    pub holds: Vec<Hold>,
    /// The number of all resources that are held.
    pub held: usize,
}

// === impl Standing ===

impl Standing {
    /// Returns true if no resource waits and none is held.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.waiting == 0 && self.held == 0
    }
}

/// A resource whose change waits for others that it newly refers to (O-15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The type of the resource.
    pub resource_type: ResourceType,
    /// The name of the resource.
    pub name: ResourceName,
    /// The resources that it waits for; never empty.
    pub on: Vec<Awaited>,
}

/// A resource that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The type of the awaited resource.
    pub resource_type: ResourceType,
    /// The name of the awaited resource.
    pub name: ResourceName,
    /// The reason why the client does not have it yet.
    pub reason: Awaiting,
}

/// The reason why a resource is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaiting {
    /// The resource was not sent yet.
    Unsent,
    /// The resource was sent, and its response is not answered yet: an Envoy answers once the cluster is warm (O-5).
    Unanswered,
    /// The client refused the resource.
    Refused,
}

/// A removed resource that the client still has for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The type of the held resource.
    pub resource_type: ResourceType,
    /// The name of the held resource.
    pub name: ResourceName,
    /// A resource that the client holds, or may hold, and that still refers to the held one.
    pub needed_by: Option<(ResourceType, ResourceName)>,
}
