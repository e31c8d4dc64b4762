//! Commands to the registry, and their answers.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::oneshot;

use super::endpoint::{Change, EndpointDigest, EndpointId, Registration};
use crate::publisher::PublishError;

/// Endpoints registered at once: each registration encodes its cluster again, and a cluster's weights must fit 32 bits.
pub(super) const MAX_ENDPOINTS: usize = 20_000;
/// Commands that may wait for the task, which takes all of them at once.
pub(super) const COMMANDS: usize = 1024;

/// The answer to a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The id that renews and removes the endpoint; `None` for a caller that did not prove that it knows the id.
    pub id: Option<EndpointId>,
    /// The digest that identifies the endpoint.
    pub digest: EndpointDigest,
    /// `true` for a new endpoint; `false` where this cluster, address and port was registered already.
    pub created: bool,
}

// === impl Registered ===

impl Registered {
    pub(super) fn known(id: EndpointId) -> Self {
        Self {
            id: Some(id),
            digest: id.digest(),
            created: false,
        }
    }
}

/// The reason why the registry refused a command. Nothing changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// The id was never registered, or was removed, or its lease ran out.
    #[error("no endpoint of this id is registered (digest {})", .0.digest())]
    NotFound(EndpointId),
    /// Another publisher published the cluster's endpoints in the shared group.
    #[error("the endpoints of \"{0}\" in group \"*\" were published by someone else: delete them there first")]
    Taken(String),
    /// The address is registered in the cluster already, in another form.
    #[error(
        "{0} is registered in \"{1}\" already: it is changed with the id that its registration was answered, as \"id\""
    )]
    Occupied(SocketAddr, String),
    /// The registry is full.
    #[error("{MAX_ENDPOINTS} endpoints are registered, more are not taken")]
    Full,
    /// The publisher refused the endpoints.
    #[error(transparent)]
    Publish(Arc<PublishError>),
    /// The server is shutting down.
    #[error("the registry is shutting down")]
    Closed,
}

/// A command to the task, and the channel of its answer.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) action: Action,
    pub(super) reply: oneshot::Sender<Result<Registered, RegistryError>>,
}

/// The action of a command.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// The id of the existing endpoint, where the caller gives one.
    Register(Registration, Option<EndpointId>),
    Renew(EndpointId, Change),
    Deregister(EndpointId),
}
