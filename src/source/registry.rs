//! The endpoint registry: endpoints that come and go by themselves, each registration published to every node.
//!
//! One task owns what is registered. It drains the commands that wait, publishes what they make of the shared group `*` as
//! one revision, and answers them once that is admitted and durable. What is registered is kept in the published endpoints
//! themselves, so that a restart finds it again.

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

/// The cluster of a registration that names none, as in every tutorial.
pub const DEFAULT_CLUSTER: &str = "myservice";
/// A handle on the registry. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Registry {
    commands: mpsc::Sender<Command>,
    endpoints: watch::Receiver<Arc<Endpoints>>,
    metrics: RegistryMetrics,
}

/// Whether the registry puts a resource back when somebody takes it away, or let it be taken: that it goes is no removal.
#[must_use]
pub fn is_registered(group: &NodeGroup, resource_type: &ResourceType, resource: &Resource) -> bool {
    group.is_shared() && *resource_type == ResourceType::Endpoint && task::registered(resource).is_some()
}

// === impl Registry ===

impl Registry {
    /// A registry over what is published already, and the task that must run for it to answer. Leases that were running begin
    /// anew: whoever renews them could not reach us.
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

    /// Registers an endpoint, and waits until it is published. One that is there is changed by who gives its id.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; it is not registered then.
    pub async fn register(
        &self,
        registration: Registration,
        id: Option<EndpointId>,
    ) -> Result<Registered, RegistryError> {
        self.ask(Action::Register(registration, id)).await
    }

    /// Renews the lease of an endpoint, and changes what of it may change.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; its lease runs on then.
    pub async fn renew(&self, id: EndpointId, change: Change) -> Result<(), RegistryError> {
        self.ask(Action::Renew(id, change)).await.map(drop)
    }

    /// Takes an endpoint out, and waits until that is published.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; it is still registered then.
    pub async fn deregister(&self, id: EndpointId) -> Result<(), RegistryError> {
        self.ask(Action::Deregister(id)).await.map(drop)
    }

    /// What is counted of it.
    #[must_use]
    pub const fn metrics(&self) -> &RegistryMetrics {
        &self.metrics
    }

    /// What is registered now.
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
