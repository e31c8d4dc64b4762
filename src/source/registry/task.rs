//! The one task that changes the registrations and publishes them.

use std::{collections::BTreeSet, future::pending, sync::Arc, time::Duration};

use prost::Message as _;
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc, watch,
    },
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    assignment,
    command::{Action, COMMANDS, Command, Registered, RegistryError},
    endpoint::Endpoint,
    endpoints::Endpoints,
};
use crate::{
    admission::{self, Candidate, RawResource, Secrets},
    metrics::{Change, RegistryMetrics},
    node::NodeGroup,
    publisher::{NotFound, PatchRequest, PublishError, PublishOptions, Publisher, SnapshotEvent},
    resource::{Resource, ResourceType},
    revision::Origin,
    snapshot::Snapshot,
};

/// The author of the registry's revisions, for people: no decision depends on it.
pub(super) const AUTHOR: &str = "registry";

/// Time until the retry of a failed publish of expired endpoints.
const RETRY: Duration = Duration::from_secs(1);

/// Runs the registry: see [`RegistryTask::run`].
#[derive(Debug)]
pub struct RegistryTask {
    publisher: Arc<Publisher>,
    /// Owns the publishes, which block.
    tracker: TaskTracker,
    shutdown: CancellationToken,
    inbox: mpsc::Receiver<Command>,
    endpoints: watch::Sender<Arc<Endpoints>>,
    metrics: RegistryMetrics,
    events: broadcast::Receiver<SnapshotEvent>,
    /// The time of the next retry of a failed publish.
    retry: Option<Instant>,
    /// Restores endpoints that others remove.
    restores: bool,
}

/// The next work of the task.
enum Work {
    /// Commands that wait.
    Commands(Vec<Command>),
    /// Leases ran out, or publishing that failed before.
    Expire,
    /// The shared group changed, or may have.
    Restore,
}

/// Reads the registrations from the published endpoints.
pub(super) fn recover(publisher: &Publisher) -> Result<Endpoints, PublishError> {
    let mut endpoints = Endpoints::default();
    let now = Instant::now();
    let Some(snapshot) = shared(publisher)? else {
        return Ok(endpoints);
    };
    let resources = snapshot.get(&ResourceType::Endpoint);
    for resource in resources.into_iter().flat_map(|all| all.iter()) {
        for endpoint in registered(resource).unwrap_or_default() {
            endpoints.recover(endpoint, now);
        }
    }
    Ok(endpoints)
}

/// The shared group's own resources, if it has a snapshot.
fn shared(publisher: &Publisher) -> Result<Option<Snapshot>, PublishError> {
    match publisher.get(&NodeGroup::from(NodeGroup::SHARED), None) {
        Ok((_, snapshot)) => Ok(Some(snapshot)),
        Err(PublishError::NotFound(NotFound::Group(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The registered endpoints of a resource; `None` where another publisher made the resource.
pub(super) fn registered(resource: &Resource) -> Option<Vec<Endpoint>> {
    let any = prost_types::Any::decode(resource.body.clone()).ok()?;
    assignment::decode(&admission::to_json(&any, Secrets::Show))
}

// === impl RegistryTask ===

impl RegistryTask {
    pub(super) fn new(
        publisher: Arc<Publisher>,
        tracker: TaskTracker,
        shutdown: CancellationToken,
        inbox: mpsc::Receiver<Command>,
        endpoints: watch::Sender<Arc<Endpoints>>,
        metrics: RegistryMetrics,
    ) -> Self {
        let events = publisher.subscribe();
        Self {
            publisher,
            tracker,
            shutdown,
            inbox,
            endpoints,
            metrics,
            events,
            retry: None,
            restores: true,
        }
    }

    /// Lets others remove and replace endpoints: without a registration API nobody else could remove them.
    #[must_use]
    pub fn without_restoring(mut self) -> Self {
        self.restores = false;
        self
    }

    /// Serves commands until shutdown. Commands that wait then get no answer.
    pub async fn run(mut self) {
        let registered = self.endpoints.borrow().len();
        if registered > 0 {
            info!(endpoints = registered, "endpoint registrations restored");
        }
        while let Some(work) = self.next_work().await {
            match work {
                Work::Commands(commands) => self.execute(commands).await,
                Work::Expire => self.expire().await,
                Work::Restore => self.restore().await,
            }
        }
    }

    /// `None` at shutdown.
    async fn next_work(&mut self) -> Option<Work> {
        let expiry = self.endpoints.borrow().next_expiry();
        let wake = expiry.map(|expiry| self.retry.map_or(expiry, |retry| retry.max(expiry)));
        let asleep = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => pending().await,
            }
        };
        tokio::pin!(asleep);
        let mut commands = Vec::new();
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = &mut asleep => return Some(Work::Expire),
                received = self.inbox.recv_many(&mut commands, COMMANDS) => {
                    return (received > 0).then_some(Work::Commands(commands));
                }
                event = self.events.recv() => match event {
                    Ok(event) if self.restores && is_foreign(&event) => return Some(Work::Restore),
                    Err(RecvError::Lagged(_)) if self.restores => return Some(Work::Restore),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    /// Publishes the result of the commands as one revision. If that is refused, each command is tried alone, so that only the
    /// bad ones are refused.
    async fn execute(&mut self, commands: Vec<Command>) {
        let actions = commands.iter().map(|command| command.action.clone()).collect();
        let results = match self.attempt(actions).await {
            Ok(results) => results,
            Err(error) if commands.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut results = Vec::with_capacity(commands.len());
                for command in &commands {
                    let alone = self.attempt(vec![command.action.clone()]).await;
                    results
                        .push(alone.map_or_else(Err, |mut results| results.pop().expect("one action has one result")));
                }
                results
            }
        };
        for (command, result) in commands.into_iter().zip(results) {
            self.metrics.changed(change(&command.action, result.as_ref().ok()), 1);
            // The caller may have hung up.
            command.reply.send(result).ok();
        }
    }

    /// Applies all actions, or none if the publish fails. Returns the result of each action.
    async fn attempt(&mut self, actions: Vec<Action>) -> Result<Vec<Result<Registered, RegistryError>>, RegistryError> {
        let now = Instant::now();
        let mut draft = Endpoints::clone(&self.endpoints.borrow());
        let mut touched = BTreeSet::new();
        let results = actions.into_iter().map(|action| {
            self.check_taken(&draft, &action)?;
            let (registered, cluster) = draft.apply(action, now)?;
            touched.extend(cluster);
            Ok(registered)
        });
        let results = results.collect();
        self.publish(&touched, &draft).await?;
        self.endpoints.send_replace(Arc::new(draft));
        Ok(results)
    }

    /// Refuses a registration in a cluster whose endpoints somebody else published, which the registration would replace.
    fn check_taken(&self, draft: &Endpoints, action: &Action) -> Result<(), RegistryError> {
        let Action::Register(registration, _) = action else {
            return Ok(());
        };
        let cluster = &registration.cluster_name;
        if draft.of_cluster(cluster).next().is_some() {
            return Ok(());
        }
        let shared = shared(&self.publisher).map_err(|error| RegistryError::Publish(Arc::new(error)))?;
        let there = shared
            .as_ref()
            .and_then(|shared| shared.resource(&ResourceType::Endpoint, cluster));
        match there.map(|resource| registered(resource)) {
            Some(None) => Err(RegistryError::Taken(cluster.clone())),
            Some(Some(_)) | None => Ok(()),
        }
    }

    /// Removes expired endpoints; retries later if the publish fails.
    async fn expire(&mut self) {
        let mut draft = Endpoints::clone(&self.endpoints.borrow());
        let touched: BTreeSet<String> = draft.expire(Instant::now()).into_iter().collect();
        match self.publish(&touched, &draft).await {
            Ok(()) => {
                info!(clusters = ?touched, "endpoint leases ran out");
                self.metrics
                    .changed(Change::Expired, self.endpoints.borrow().len() - draft.len());
                self.endpoints.send_replace(Arc::new(draft));
                self.retry = None;
            }
            Err(error) => {
                warn!(%error, "endpoints whose lease ran out are still served");
                self.retry = Some(Instant::now() + RETRY);
            }
        }
    }

    /// Publishes all registrations again; without a difference this makes no revision.
    async fn restore(&mut self) {
        let endpoints = Arc::clone(&self.endpoints.borrow());
        let clusters = endpoints.clusters().into_iter().collect();
        if let Err(error) = self.publish(&clusters, &endpoints).await {
            warn!(%error, "registered endpoints may be missing from the served snapshots");
        }
    }

    /// Publishes the endpoints of these clusters.
    async fn publish(&self, clusters: &BTreeSet<String>, endpoints: &Endpoints) -> Result<(), RegistryError> {
        if clusters.is_empty() {
            return Ok(());
        }
        let resources = clusters.iter().map(|cluster| RawResource {
            name: None,
            aliases: Vec::new(),
            ttl: None,
            any: assignment::encode(cluster, endpoints.of_cluster(cluster)),
        });
        let request = patch(resources.collect());
        let publisher = Arc::clone(&self.publisher);
        let task = self.tracker.spawn_blocking(move || publisher.patch(request));
        // The publish panicked, or the runtime ends.
        let outcome = task.await.map_err(|_| RegistryError::Closed)?;
        let published = outcome.map_err(|error| RegistryError::Publish(Arc::new(error)))?;
        debug!(revision = %published.revision, changed = published.changed, "endpoints published");
        Ok(())
    }
}

fn patch(resources: Vec<RawResource>) -> PatchRequest {
    PatchRequest {
        group: NodeGroup::from(NodeGroup::SHARED),
        candidate: Candidate {
            documents: Vec::new(),
            resources,
        },
        deletions: Vec::new(),
        options: PublishOptions {
            author: AUTHOR.to_owned(),
            origin: Origin::Registry,
            // A service that registers cannot do anything about warnings.
            allow_warnings: true,
            allow_removals: true,
            ..PublishOptions::default()
        },
    }
}

/// The change to count; an action without a result is a refusal.
const fn change(action: &Action, registered: Option<&Registered>) -> Change {
    match (action, registered) {
        (_, None) => Change::Refused,
        (Action::Register(..), Some(Registered { created: true, .. })) => Change::Registered,
        (Action::Register(..) | Action::Renew(..), Some(_)) => Change::Renewed,
        (Action::Deregister(_), Some(_)) => Change::Deregistered,
    }
}

/// Returns true if something other than the registry changed the shared group.
fn is_foreign(event: &SnapshotEvent) -> bool {
    match event {
        SnapshotEvent::Published(info) => info.group.is_shared() && info.origin != Origin::Registry,
        SnapshotEvent::Deleted { group, .. } => group.is_shared(),
    }
}
