//! The endpoint registry: services register endpoints by themselves, and each registration is published to every node.
//!
//! One task owns the registrations. It takes all waiting commands, publishes the result to the shared group `*` as one
//! revision, and answers the commands once the revision is durable. The registrations are stored in the published endpoints,
//! so that a restart finds them again.

mod assignment;
mod command;
mod endpoint;
mod endpoints;
mod task;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::command::{Action, COMMANDS, Command};
pub use self::{
    command::{Registered, RegistryError},
    endpoint::{
        Change, Endpoint, EndpointDigest, EndpointId, Health, Lease, Locality, MAX_WEIGHT, MalformedDigest,
        Registration, UnknownHealth,
    },
    endpoints::Endpoints,
    task::RegistryTask,
};
use crate::{
    metrics::RegistryMetrics,
    node::NodeGroup,
    publisher::{PublishError, Publisher},
    resource::{Resource, ResourceType},
};

/// The cluster of a registration without one, as in every tutorial.
pub const DEFAULT_CLUSTER: &str = "myservice";
/// A handle on the registry. All clones share one registry.
#[derive(Clone, Debug)]
pub struct Registry {
    commands: mpsc::Sender<Command>,
    endpoints: watch::Receiver<Arc<Endpoints>>,
    metrics: RegistryMetrics,
}

/// Returns true if the registry owns the resource: the registry restores or withdraws it, so its absence is no removal.
#[must_use]
pub fn is_registered(group: &NodeGroup, resource_type: &ResourceType, resource: &Resource) -> bool {
    group.is_shared() && *resource_type == ResourceType::Endpoint && task::registered(resource).is_some()
}

// === impl Registry ===

impl Registry {
    /// Returns a registry with the endpoints that are published already, and the task that answers its calls. Running leases
    /// start again, since nobody could renew them while the server was down.
    ///
    /// # Errors
    ///
    /// [`PublishError`] where the shared group cannot be read.
    pub fn new(
        publisher: Arc<Publisher>,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<(Self, RegistryTask), PublishError> {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let recovered = Arc::new(task::recover(&publisher)?);
        let (published, endpoints) = watch::channel(recovered);
        let metrics = RegistryMetrics::default();
        let task = RegistryTask::new(publisher, tracker, shutdown, inbox, published, metrics.clone());
        let registry = Self {
            commands,
            endpoints,
            metrics,
        };
        Ok((registry, task))
    }

    /// Registers an endpoint and waits until it is published. A registered endpoint is changed by its id.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; then the endpoint is not registered.
    pub async fn register(
        &self,
        registration: Registration,
        id: Option<EndpointId>,
    ) -> Result<Registered, RegistryError> {
        self.ask(Action::Register(registration, id)).await
    }

    /// Renews the lease of an endpoint and applies the change.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; then the lease is not renewed.
    pub async fn renew(&self, id: EndpointId, change: Change) -> Result<(), RegistryError> {
        self.ask(Action::Renew(id, change)).await.map(drop)
    }

    /// Removes an endpoint and waits until that is published.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; then the endpoint stays registered.
    pub async fn deregister(&self, id: EndpointId) -> Result<(), RegistryError> {
        self.ask(Action::Deregister(id)).await.map(drop)
    }

    /// The counters of the registry.
    #[must_use]
    pub const fn metrics(&self) -> &RegistryMetrics {
        &self.metrics
    }

    /// The endpoints that are registered now.
    #[must_use]
    pub fn endpoints(&self) -> Arc<Endpoints> {
        Arc::clone(&self.endpoints.borrow())
    }

    async fn ask(&self, action: Action) -> Result<Registered, RegistryError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command { action, reply }).await;
        sent.map_err(|_| RegistryError::Closed)?;
        answer.await.map_err(|_| RegistryError::Closed)?
    }
}

#[cfg(test)]
mod tests;
