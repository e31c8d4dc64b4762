//! The client of a response: what it holds of one type, and subscribes to.

use std::sync::Arc;

use crate::{
    protocol::{
        Subscription, Variant,
        sorted::sort_once,
        type_state::{ClientView, Refused},
    },
    resource::{Resource, ResourceType},
    snapshot::TypeResources,
};

/// The state of a client that its next response of one type depends on.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Client<'a> {
    pub(in crate::protocol) kind: &'a ResourceType,
    pub(in crate::protocol) variant: Variant,
    pub(in crate::protocol) subscription: &'a Subscription,
    pub(in crate::protocol) view: &'a ClientView,
    pub(in crate::protocol) refused: &'a Refused,
    /// Nothing was sent on this stream yet.
    pub(in crate::protocol) fresh: bool,
    /// No response awaits its answer.
    pub(in crate::protocol) idle: bool,
}

/// A resource that the client holds and the goal lacks.
#[derive(Debug)]
pub(in crate::protocol) struct Gone {
    pub(super) resource: Arc<Resource>,
    /// The content of the resource is known.
    pub(super) known: bool,
}

/// The resources of the subscribed names, sorted, each once.
pub(in crate::protocol) fn named(subscription: &Subscription, resources: &TypeResources) -> Vec<Arc<Resource>> {
    let names = subscription.names();
    let find = resources.finder(names.len());
    let mut named: Vec<_> = names.iter().filter_map(|name| find(name.as_str()).cloned()).collect();
    sort_once(&mut named);
    named
}
