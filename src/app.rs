//! The composition root: the only place that wires concrete types and spawns long-lived tasks.
//!
//! `chancery serve` runs it, and tests run it in-process with port 0: [`App::start`], then [`Running::shutdown`].

mod access;
mod descriptors;
mod gauges;
mod grpc_server;
mod http_server;
mod listener;
mod memory_watch;
pub mod offline;
mod renewal;
mod tasks;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use axum::Router;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, info, info_span, warn};

use self::{
    gauges::{Load, Standing},
    listener::{Bound, Crowd, Followed, Patience, Terms},
    renewal::Renewing,
    tasks::Vital,
};
use crate::{
    admin::{Admin, Process},
    cache::SnapshotCache,
    connection::Http2Limits,
    fleet::Fleet,
    http::{Guard, Port, Rest, RestSettings, Services},
    memory::MemoryBudget,
    metrics::{ConnectionMetrics, Label as _, Metrics, PortLabel, ServingMetrics},
    protocol::Policies,
    publisher::{Publisher, PublisherSettings, RemovalGuard},
    readiness::Readiness,
    revision::{MemoryStore, RedbStore, RevisionStore, StoreKeys},
    settings::{Settings, StoreSettings},
    source::{Files, Registry, is_registered},
    tls::{Tls, TlsSettings},
    transport::Xds,
};

/// How often nodes that are gone are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether the store is in its place, and whether one that failed works again.
const PROBE_STORE_EVERY: Duration = Duration::from_secs(5);

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
    /// xDS over REST and the endpoint registry.
    pub http: SocketAddr,
    /// Probes and metrics, where they have a port of their own.
    pub probe: Option<SocketAddr>,
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
    /// Told once the process cannot go on.
    failed: CancellationToken,
    servers: Vec<JoinHandle<()>>,
    grace: Duration,
}

/// The ports, bound and not accepting yet.
struct Ports {
    xds: Bound,
    admin: Bound,
    http: Bound,
    probe: Option<Bound>,
    /// Of those that have TLS.
    tls: Vec<Renewing>,
    metrics: ConnectionMetrics,
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
        // Boxed: there are many settings, and whoever waits for this would hold them several times over.
        Box::pin(Self::begin(Box::new(settings))).await
    }

    async fn begin(settings: Box<Settings>) -> anyhow::Result<Running> {
        let readiness = Readiness::default();
        let loading = readiness.awaits("snapshots");
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), SystemTime::now()));
        for (port, addr) in &settings.open {
            let port = port.text();
            warn!("{port} is open to other machines at {addr} without TLS: set {port}.tls_cert and {port}.tls_key");
        }
        let ports = Ports::bind(&settings, &metrics)?;
        let addresses = ports.addresses()?;
        let (tracker, serving, rest) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        // Until all is wired, whatever fails takes what already runs with it.
        let (undo_serving, undo_rest) = (serving.clone().drop_guard(), rest.clone().drop_guard());

        let grace = settings.values.shutdown_grace().0;
        let guard = Guard::new(addresses.http, &settings.values.http.allowed_hosts());
        let served = Arc::new(ServingMetrics::default());
        let vital = Vital {
            tracker: tracker.clone(),
            panics: served.panics().clone(),
            failed: CancellationToken::new(),
        };
        let memory = MemoryBudget::of_process(settings.values.limits.memory.map(|size| size.0));
        let watching = memory_watch::watch(memory.clone(), readiness.clone());
        vital.spawn("memory", rest.clone().run_until_cancelled_owned(watching));
        let port = Port::new(readiness.clone(), Arc::clone(&metrics), guard, tracker.clone());
        let request_timeout = settings.values.connections.request_timeout().0;
        let header_bytes = u32::try_from(settings.values.connections.max_header_bytes().0).unwrap_or(u32::MAX);
        let spawn_http = |bound, routes, port| {
            http_server::spawn(&vital, bound, routes, port, request_timeout, rest.clone());
        };
        let http = match ports.probe {
            Some(probe) => {
                spawn_http(probe, port.probes(), PortLabel::Probe);
                port.routes()
            }
            None => port.all_routes(),
        };
        spawn_http(ports.http, http, PortLabel::Http);
        renewal::spawn(&vital, ports.tls, ports.metrics.clone(), rest.clone());
        let fleet = Fleet::new(settings.parts.fleet, Arc::clone(&served));
        let cache = Arc::new(SnapshotCache::with_sufficed(settings.parts.sufficed.clone()));
        let xds_settings = settings.parts.xds.clone();
        let policies = Policies::new(settings.parts.xds.policy.clone(), settings.parts.xds.unordered.clone());
        let source = access::Source::new(&settings);
        let authority = source.open(settings.parts.audit.clone(), &tracker).await?;
        metrics.register(|exposed| authority.metrics().register(exposed));
        let polling = Rest::new(
            SnapshotCache::clone(&cache),
            Arc::clone(&fleet),
            Arc::clone(&served),
            authority.clone(),
            rest_settings(&settings),
            memory.clone(),
            tracker.clone(),
        );
        spawn_expiry(&vital, Arc::clone(&fleet), polling.clone(), rest.clone());
        let (polls, registers) = (settings.values.rest.enabled(), settings.values.registry.enabled());
        let following = settings
            .values
            .files
            .clone()
            .map(|root| (root, settings.parts.admission.clone()));
        let publisher = open(&tracker, settings, Arc::clone(&cache)).await?;
        spawn_store_watch(&vital, Arc::clone(&publisher), readiness.clone(), serving.clone());
        let (registry, registering) = Registry::new(Arc::clone(&publisher), tracker.clone(), serving.clone())
            .context("cannot read what is registered")?;
        // What was registered runs out also where nobody registers any more.
        let registering = if registers {
            registering
        } else {
            registering.without_restoring()
        };
        vital.spawn("registry", registering.run().instrument(info_span!("registry")));
        port.open(Services {
            rest: polls.then_some(polling),
            registry: registers.then(|| registry.clone()),
            authority: authority.clone(),
        });
        // Before the first files are read.
        let auditing = access::audit_files(&publisher, authority.clone(), rest.clone());
        vital.spawn("audit", auditing.instrument(info_span!("audit")));
        let files = match following {
            Some((root, limits)) => {
                let (files, mut task) =
                    Files::open(root, &limits, Arc::clone(&publisher), tracker.clone(), serving.clone())?;
                task.begin().await;
                vital.spawn("files", task.run().instrument(info_span!("files")));
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
            Arc::clone(&served),
            authority.clone(),
            xds_settings,
            memory.clone(),
            serving.clone(),
        );
        let load = Load {
            xds: xds.clone(),
            memory,
        };
        metrics.register(|exposed| exposed.register_collector(Box::new(load)));
        let following = source.follow(authority.clone(), xds.clone(), tracker.clone(), rest.clone());
        vital.spawn("access", following.instrument(info_span!("access")));
        let admin = Admin::new(
            publisher,
            fleet,
            files,
            policies,
            authority,
            Process {
                readiness: readiness.clone(),
                panics: served.panics().clone(),
                tracker: tracker.clone(),
                shutdown: serving.clone(),
            },
        );
        admin.set_serving(true).await;
        let admin_routes = admin.routes()?.prepare().into_axum_router();
        let spawn = |bound, routes: Router, port, limits| {
            let terms = grpc_server::Terms {
                port,
                limits: Http2Limits { header_bytes, ..limits },
                metrics: ports.metrics.clone(),
                stop: serving.clone(),
            };
            grpc_server::spawn(&vital, bound, routes, terms)
        };
        let xds_routes = xds.routes().prepare().into_axum_router();
        let servers = vec![
            spawn(ports.xds, xds_routes, PortLabel::Xds, xds.http2()),
            spawn(ports.admin, admin_routes, PortLabel::Admin, admin.http2()),
        ];
        let (serving, rest) = (undo_serving.disarm(), undo_rest.disarm());
        let Addresses {
            xds: xds_addr,
            admin: admin_addr,
            http,
            probe,
        } = addresses;
        info!(xds = %xds_addr, admin = %admin_addr, %http, ?probe, "listening");
        Ok(Running {
            addresses,
            readiness,
            xds,
            admin,
            tracker,
            serving,
            rest,
            failed: vital.failed,
            servers,
            grace,
        })
    }
}

/// Groups and limits of polls are those of streams.
fn rest_settings(settings: &Settings) -> RestSettings {
    RestSettings {
        grouping: settings.parts.xds.grouping.clone(),
        limits: settings.parts.xds.policy.limits,
        polls: settings.parts.polls,
        poll_timeout: settings.values.rest.poll_timeout().0,
    }
}

/// Opens the store and loads what was published, on a thread that may block.
async fn open(
    tracker: &TaskTracker,
    settings: Box<Settings>,
    cache: Arc<SnapshotCache>,
) -> anyhow::Result<Arc<Publisher>> {
    let load = move || {
        let retention = settings.values.keep_revisions();
        let store: Arc<dyn RevisionStore> = match &settings.store {
            StoreSettings::Ephemeral => {
                warn!("snapshots are kept in memory only: a restart forgets them; --data-dir DIR keeps them");
                Arc::new(MemoryStore::new(retention))
            }
            StoreSettings::DataDir(dir) => {
                let keys = settings
                    .values
                    .store
                    .key_file
                    .as_deref()
                    .map(StoreKeys::read)
                    .transpose()?;
                let opened = RedbStore::open(dir, retention, keys.as_ref());
                Arc::new(opened.with_context(|| format!("cannot open the data directory {}", dir.display()))?)
            }
        };
        let settings = PublisherSettings {
            limits: settings.parts.admission,
            deny_warnings: settings.values.admission.deny_warnings(),
            removals: RemovalGuard {
                returns: Some(is_registered),
                ..settings.parts.removals
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

/// What is spoken inside TLS, as ALPN names it.
const HTTP_2: &[&str] = &["h2"];
const HTTP_1: &[&str] = &["http/1.1"];

/// The preface of HTTP/2 and the head of the first frame, which every client sends at once.
const OPENING_OF_HTTP_2: usize = 24 + 9;
/// One byte: the server waits for the rest of a request itself.
const OPENING_OF_HTTP_1: usize = 1;

impl Ports {
    fn bind(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Self> {
        let counted = ConnectionMetrics::default();
        metrics.register(|registry| counted.register(registry));
        let limits = &settings.values.connections;
        let room = descriptors::room(limits);
        let mut followed = Vec::new();
        let mut bind = |port, addr, tls: Option<&TlsSettings>| {
            let is_http_2 = matches!(port, PortLabel::Xds | PortLabel::Admin);
            let (protocols, opening_bytes, idle) = if is_http_2 {
                (HTTP_2, OPENING_OF_HTTP_2, None)
            } else {
                (HTTP_1, OPENING_OF_HTTP_1, Some(limits.idle_timeout().0))
            };
            let tls = tls.map(|tls| Tls::load(tls.clone(), protocols)).transpose()?;
            // Nodes come back all at once otherwise.
            let window = match port {
                PortLabel::Xds => settings.parts.xds.limits.drain,
                PortLabel::Admin | PortLabel::Http | PortLabel::Probe => Duration::ZERO,
            };
            let tls = tls.map(|tls| {
                counted.lists_until(port, tls.next_update());
                let (sender, changed) = watch::channel(());
                let renewing = Renewing {
                    port,
                    tls: tls.clone(),
                    changed: sender,
                };
                followed.push(renewing);
                Followed { tls, changed, window }
            });
            let crowd = match port {
                PortLabel::Xds => Crowd::new(room.xds, room.xds_of_peer),
                PortLabel::Admin | PortLabel::Http | PortLabel::Probe => Crowd::new(room.other, room.other_of_peer),
            };
            let terms = Terms {
                port,
                tls,
                crowd,
                patience: Patience {
                    opening: limits.opening_timeout().0,
                    opening_bytes,
                    idle,
                    unread: limits.unread_timeout().0,
                },
                metrics: counted.clone(),
            };
            let name = port.text();
            let bound = Bound::bind(addr, terms);
            bound.with_context(|| format!("cannot listen on {addr} for {name}: set another address with --{name}-addr"))
        };
        let xds = bind(PortLabel::Xds, settings.xds_addr, settings.tls.xds.as_ref())?;
        let admin = bind(
            PortLabel::Admin,
            settings.values.admin_addr(),
            settings.tls.admin.as_ref(),
        )?;
        let http = bind(PortLabel::Http, settings.values.http_addr(), settings.tls.http.as_ref())?;
        let probe = settings
            .values
            .probe_addr
            .map(|addr| bind(PortLabel::Probe, addr, None))
            .transpose()?;
        Ok(Self {
            xds,
            admin,
            http,
            probe,
            tls: followed,
            metrics: counted,
        })
    }

    fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            xds: self.xds.local_addr()?,
            admin: self.admin.local_addr()?,
            http: self.http.local_addr()?,
            probe: self.probe.as_ref().map(Bound::local_addr).transpose()?,
        })
    }
}

// === tasks ===

fn spawn_expiry(vital: &Vital, fleet: Arc<Fleet>, polling: Rest, stop: CancellationToken) {
    let expiring = stop.run_until_cancelled_owned(async move {
        let mut ticks = tokio::time::interval(EXPIRE_EVERY);
        loop {
            ticks.tick().await;
            polling.expire();
            fleet.expire(std::time::Instant::now());
        }
    });
    vital.spawn("expiry", expiring);
}

/// Readiness follows the store: a server that cannot keep what is published is not to be published to.
fn spawn_store_watch(vital: &Vital, publisher: Arc<Publisher>, readiness: Readiness, stop: CancellationToken) {
    const NAME: &str = "store";
    let blocking = vital.tracker.clone();
    let watching = stop.run_until_cancelled_owned(async move {
        let mut works = publisher.store_works();
        let mut looks = tokio::time::interval(PROBE_STORE_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let publisher = Arc::clone(&publisher);
                    blocking.spawn_blocking(move || publisher.probe_store()).await.ok();
                }
                changed = works.changed() => if changed.is_err() {
                    return;
                },
            }
            if *works.borrow_and_update() {
                readiness.regained(NAME);
            } else {
                readiness.lost(NAME);
            }
        }
    });
    vital.spawn("store", watching);
}

// === impl Running ===

impl Running {
    /// xDS streams that are open now.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.xds.open_streams()
    }

    /// Comes to its end once a task died that the process needs: it is to be shut down then, and started again.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
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
