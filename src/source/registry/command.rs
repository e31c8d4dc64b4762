//! Commands to the registry, and their answers.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::oneshot;

use super::endpoint::{Change, EndpointDigest, EndpointId, Registration};
use crate::publisher::PublishError;

/// Endpoints registered at once: each registration encodes its cluster anew, and a cluster's weights must fit 32 bits.
pub(super) const MAX_ENDPOINTS: usize = 20_000;
/// Commands that may wait for the task: it takes all of them at once.
pub(super) const COMMANDS: usize = 1024;

/// The answer to a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The id that it is renewed and removed by; `None` for who has not shown that he knows it.
    pub id: Option<EndpointId>,
    /// The digest that it is known by.
    pub digest: EndpointDigest,
    /// It is new; else one of this cluster, address and port was registered, and is now as given.
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

/// The reason why the registry did not do what it was asked to. Nothing changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// Never registered, removed, or its lease ran out.
    #[error("no endpoint of this id is registered (digest {})", .0.digest())]
    NotFound(EndpointId),
    /// The cluster's endpoints in the shared group were published by someone else.
    #[error("the endpoints of \"{0}\" in group \"*\" were published by someone else: delete them there first")]
    Taken(String),
    /// Somebody registered the address in the cluster, and otherwise than it is given now.
    #[error(
        "{0} is registered in \"{1}\" already: it is changed with the id that its registration was answered, as \"id\""
    )]
    Occupied(SocketAddr, String),
    /// As many are registered as may be.
    #[error("{MAX_ENDPOINTS} endpoints are registered, more are not taken")]
    Full,
    /// The publisher refused what came of it.
    #[error(transparent)]
    Publish(Arc<PublishError>),
    /// The server is shutting down.
    #[error("the registry is shutting down")]
    Closed,
}

/// One request to the task, and where its answer goes.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) action: Action,
    pub(super) reply: oneshot::Sender<Result<Registered, RegistryError>>,
}

/// The action of a command.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// The id of what is there already, where it is known.
    Register(Registration, Option<EndpointId>),
    Renew(EndpointId, Change),
    Deregister(EndpointId),
}
