//! The composition root: the only place that wires concrete types and spawns long-lived tasks.
//!
//! `chancery serve` runs it, and tests run it in-process with port 0: [`App::start`], then [`Running::shutdown`].

mod access;
mod gauges;
mod listener;
pub mod offline;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use prometheus_client::metrics::counter::Counter;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::Routes, transport::Server};
use tracing::{Instrument as _, error, info, info_span, warn};

use self::{gauges::Standing, listener::Listener};
use crate::{
    admin::Admin,
    cache::SnapshotCache,
    fleet::Fleet,
    http::{Peer, Port, Rest, RestSettings, Services},
    metrics::{Label as _, Metrics, PortLabel, ServingMetrics, Table},
    protocol::Policies,
    publisher::{Publisher, PublisherSettings, RemovalGuard},
    readiness::Readiness,
    revision::{MemoryStore, RedbStore, RevisionStore},
    settings::{Settings, StoreSettings},
    source::{Files, Registry, is_registered},
    transport::Xds,
};

/// How often nodes that are gone are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// Starts the control plane.
#[derive(Debug)]
pub struct App;

/// Where the control plane listens; what port 0 became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// xDS over gRPC.
    pub xds: SocketAddr,
    /// The admin API.
    pub admin: SocketAddr,
    /// Probes, xDS over REST and the endpoint registry.
    pub http: SocketAddr,
}

/// A control plane that serves. Dropping it without [`Running::shutdown`] leaves it running.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    readiness: Readiness,
    xds: Xds,
    admin: Admin,
    tracker: TaskTracker,
    /// Ends the streams and the gRPC servers.
    serving: CancellationToken,
    /// Ends the rest: the HTTP port answers until nothing else does.
    rest: CancellationToken,
    servers: Vec<JoinHandle<()>>,
    grace: Duration,
}

/// The three ports.
struct Ports {
    xds: Listener,
    admin: Listener,
    http: Listener,
}

// === impl App ===

impl App {
    /// Binds every port, loads what was published, then serves. `/readyz` answers from the start and is 200 when this
    /// returns.
    ///
    /// # Errors
    ///
    /// Where a port cannot be bound or the store cannot be opened or read whole; nothing runs then.
    pub async fn start(settings: Settings) -> anyhow::Result<Running> {
        let readiness = Readiness::default();
        let loading = readiness.awaits("snapshots");
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), SystemTime::now()));
        let ports = Ports::bind(&settings, &metrics)?;
        let addresses = ports.addresses()?;
        let (tracker, serving, rest) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        // Until all is wired, whatever fails takes what already runs with it.
        let (undo_serving, undo_rest) = (serving.clone().drop_guard(), rest.clone().drop_guard());

        let grace = settings.shutdown_grace;
        let port = Port::new(readiness.clone(), Arc::clone(&metrics), tracker.clone());
        spawn_http(&tracker, ports.http, &port, rest.clone());
        let served = Arc::new(ServingMetrics::default());
        let fleet = Fleet::new(settings.fleet, Arc::clone(&served));
        let cache = Arc::new(SnapshotCache::with_sufficed(settings.sufficed.clone()));
        let xds_settings = settings.xds.clone();
        let policies = Policies::new(settings.xds.policy.clone(), settings.xds.unordered.clone());
        let source = access::Source::new(&settings);
        let authority = source.open(settings.audit.clone(), &tracker).await?;
        metrics.register(|exposed| authority.metrics().register(exposed));
        let polling = Rest::new(
            SnapshotCache::clone(&cache),
            Arc::clone(&fleet),
            Arc::clone(&served),
            authority.clone(),
            rest_settings(&settings),
            tracker.clone(),
        );
        spawn_expiry(&tracker, Arc::clone(&fleet), polling.clone(), rest.clone());
        let following = settings.files.clone().map(|root| (root, settings.admission.clone()));
        let publisher = open(&tracker, settings, Arc::clone(&cache)).await?;
        let (registry, registering) = Registry::new(Arc::clone(&publisher), tracker.clone(), serving.clone())
            .context("cannot read what is registered")?;
        tracker.spawn(registering.run().instrument(info_span!("registry")));
        port.open(Services {
            rest: polling,
            registry: registry.clone(),
            authority: authority.clone(),
        });
        // Before the first files are read.
        let auditing = access::audit_files(&publisher, authority.clone(), rest.clone());
        tracker.spawn(auditing.instrument(info_span!("audit")));
        let files = match following {
            Some((root, limits)) => {
                let (files, mut task) =
                    Files::open(root, &limits, Arc::clone(&publisher), tracker.clone(), serving.clone())?;
                task.begin().await;
                tracker.spawn(task.run().instrument(info_span!("files")));
                Some(files)
            }
            None => None,
        };
        let standing = Standing {
            fleet: Arc::clone(&fleet),
            served: Arc::clone(&served),
            publisher: Arc::clone(&publisher),
            registry,
            files: files.clone(),
        };
        metrics.register(|exposed| standing.register(exposed));
        loading.ready();

        let xds = Xds::new(
            SnapshotCache::clone(&cache),
            Arc::clone(&fleet),
            served,
            authority.clone(),
            xds_settings,
            serving.clone(),
        );
        let following = source.follow(authority.clone(), xds.clone(), tracker.clone(), rest.clone());
        tracker.spawn(following.instrument(info_span!("access")));
        let admin = Admin::new(
            publisher,
            fleet,
            files,
            policies,
            authority,
            tracker.clone(),
            serving.clone(),
        );
        admin.set_serving(true).await;
        let admin_routes = admin.routes()?;
        let spawn = |server, routes, listener, name| {
            spawn_grpc(
                &tracker,
                server,
                routes,
                listener,
                name,
                serving.clone(),
                readiness.clone(),
            )
        };
        let servers = vec![
            spawn(xds.server(), xds.routes(), ports.xds, "xds"),
            spawn(admin.server(), admin_routes, ports.admin, "admin"),
        ];
        let (serving, rest) = (undo_serving.disarm(), undo_rest.disarm());
        let Addresses {
            xds: xds_addr,
            admin: admin_addr,
            http,
        } = addresses;
        info!(xds = %xds_addr, admin = %admin_addr, %http, "listening");
        Ok(Running {
            addresses,
            readiness,
            xds,
            admin,
            tracker,
            serving,
            rest,
            servers,
            grace,
        })
    }
}

/// Groups and limits of polls are those of streams.
fn rest_settings(settings: &Settings) -> RestSettings {
    RestSettings {
        grouping: settings.xds.grouping.clone(),
        limits: settings.xds.policy.limits,
        polls: settings.xds.limits.streams,
        poll_timeout: settings.poll_timeout,
    }
}

/// Opens the store and loads what was published, on a thread that may block.
async fn open(tracker: &TaskTracker, settings: Settings, cache: Arc<SnapshotCache>) -> anyhow::Result<Arc<Publisher>> {
    let load = move || {
        let retention = settings.keep_revisions;
        let store: Arc<dyn RevisionStore> = match &settings.store {
            StoreSettings::Ephemeral => {
                warn!("snapshots are kept in memory only: a restart forgets them; --data-dir DIR keeps them");
                Arc::new(MemoryStore::new(retention))
            }
            StoreSettings::DataDir(dir) => {
                let opened = RedbStore::open(dir, retention);
                Arc::new(opened.with_context(|| format!("cannot open the data directory {}", dir.display()))?)
            }
        };
        let settings = PublisherSettings {
            limits: settings.admission,
            deny_warnings: settings.deny_warnings,
            removals: RemovalGuard {
                returns: Some(is_registered),
                ..settings.removals
            },
        };
        let publisher = Publisher::open(store, cache, settings).context("cannot load what was published")?;
        info!(groups = publisher.list().len(), "loaded");
        Ok(Arc::new(publisher))
    };
    tracker
        .spawn_blocking(load)
        .await
        .context("loading did not come to its end")?
}

// === impl Ports ===

impl Ports {
    fn bind(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Self> {
        let failures = Table::<(PortLabel,), Counter>::default();
        let exposed = failures.clone();
        metrics.register(|registry| {
            registry.register(
                "xds_accept_errors",
                "Times that no connection could be accepted, for want of descriptors most of the time",
                exposed,
            );
        });
        let bind = |port, addr| bind(port, addr, failures.at((port,)).clone());
        Ok(Self {
            xds: bind(PortLabel::Xds, settings.xds_addr)?,
            admin: bind(PortLabel::Admin, settings.admin_addr)?,
            http: bind(PortLabel::Http, settings.http_addr)?,
        })
    }

    fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            xds: self.xds.local_addr()?,
            admin: self.admin.local_addr()?,
            http: self.http.local_addr()?,
        })
    }
}

fn bind(port: PortLabel, addr: SocketAddr, failures: Counter) -> anyhow::Result<Listener> {
    let name = port.text();
    let bound = Listener::bind(name, addr, failures);
    bound.with_context(|| format!("cannot listen on {addr} for {name}: set another address with --{name}-addr"))
}

// === tasks ===

fn spawn_grpc(
    tracker: &TaskTracker,
    mut server: Server,
    routes: Routes,
    listener: Listener,
    name: &'static str,
    stop: CancellationToken,
    readiness: Readiness,
) -> JoinHandle<()> {
    let serve = async move {
        let stopped = stop.clone().cancelled_owned();
        let served = server
            .add_routes(routes)
            .serve_with_incoming_shutdown(listener, stopped);
        let ended = served.await;
        if !stop.is_cancelled() {
            error!(?ended, "the server ended by itself");
            readiness.lost(name);
        }
    };
    tracker.spawn(serve.instrument(info_span!("server", name)))
}

fn spawn_http(tracker: &TaskTracker, listener: Listener, port: &Port, stop: CancellationToken) {
    let routes = port.routes().into_make_service_with_connect_info::<Peer>();
    tracker.spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            error!(%error, "the HTTP server ended by itself");
        }
    });
}

fn spawn_expiry(tracker: &TaskTracker, fleet: Arc<Fleet>, polling: Rest, stop: CancellationToken) {
    tracker.spawn(stop.run_until_cancelled_owned(async move {
        let mut ticks = tokio::time::interval(EXPIRE_EVERY);
        loop {
            ticks.tick().await;
            polling.expire();
            fleet.expire(SystemTime::now());
        }
    }));
}

// === impl Running ===

impl Running {
    /// xDS streams that are open now.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.xds.open_streams()
    }

    /// Readiness goes first, then streams end, then servers, then the HTTP port. `false` where the grace period was over
    /// before all of that: what is left then ends with the runtime.
    pub async fn shutdown(self) -> bool {
        let deadline = Instant::now() + self.grace;
        self.readiness.stop();
        self.admin.set_serving(false).await;
        self.serving.cancel();
        self.xds.end_streams();
        self.tracker.close();
        let in_order = async {
            for server in self.servers {
                // A server that panicked has ended as well.
                server.await.ok();
            }
            self.rest.cancel();
            self.tracker.wait().await;
        };
        let complete = tokio::time::timeout_at(deadline, in_order).await.is_ok();
        self.rest.cancel();
        complete
    }
}
