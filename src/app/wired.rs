//! The parts of the server, made from the loaded state and connected with each other. Nothing runs before [`Wired::spawn`].

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use tokio::task::JoinHandle;
use tracing::{Instrument as _, info_span};

use super::{
    access::{self, Source},
    base::Base,
    gauges::{Load, Standing},
    grpc_server,
    loaded::Loaded,
    ports::GrpcPorts,
    upkeep,
};
use crate::{
    admin::{Admin, Process},
    authority::Authority,
    cache::SnapshotCache,
    connection::Http2Limits,
    fleet::Fleet,
    http::{Rest, RestSettings, Services},
    metrics::{ConnectionMetrics, PortLabel},
    publisher::Publisher,
    settings::Settings,
    source::{Files, FilesTask, Registry, RegistryTask},
    transport::Xds,
};

/// The parts of the server.
pub(super) struct Wired {
    rules: Source,
    authority: Authority,
    pub(super) publisher: Arc<Publisher>,
    fleet: Arc<Fleet>,
    polling: Rest,
    registry: (Registry, RegistryTask),
    files: Option<(Files, FilesTask)>,
    pub(super) xds: Xds,
    pub(super) admin: Admin,
}

// === impl Wired ===

impl Wired {
    pub(super) fn new(settings: &Settings, base: &Base, loaded: Loaded) -> anyhow::Result<Self> {
        let Loaded {
            rules,
            authority,
            cache,
            publisher,
        } = loaded;
        let tracker = &base.vital.tracker;
        let fleet = Fleet::new(settings.parts.fleet, Arc::clone(&base.served));
        let polling = Rest::new(
            SnapshotCache::clone(&cache),
            Arc::clone(&fleet),
            Arc::clone(&base.served),
            authority.clone(),
            rest_settings(settings),
            base.memory.clone(),
            tracker.clone(),
        );
        let registry = Registry::new(Arc::clone(&publisher), tracker.clone(), base.serving.clone())
            .context("cannot read the registered endpoints")?;
        let open_files = |root| {
            let limits = &settings.parts.admission;
            Files::open(
                root,
                limits,
                Arc::clone(&publisher),
                tracker.clone(),
                base.serving.clone(),
            )
        };
        let files = settings.values.files.clone().map(open_files).transpose()?;
        let xds = Xds::new(
            SnapshotCache::clone(&cache),
            Arc::clone(&fleet),
            Arc::clone(&base.served),
            authority.clone(),
            settings.parts.xds.clone(),
            base.memory.clone(),
            base.serving.clone(),
        );
        let admin = Admin::new(
            Arc::clone(&publisher),
            Arc::clone(&fleet),
            files.as_ref().map(|(files, _)| files.clone()),
            xds.policies().clone(),
            authority.clone(),
            Process {
                readiness: base.readiness.clone(),
                panics: base.vital.panics.clone(),
                tracker: tracker.clone(),
                shutdown: base.serving.clone(),
            },
        );
        Ok(Self {
            rules,
            authority,
            publisher,
            fleet,
            polling,
            registry,
            files,
            xds,
            admin,
        })
    }

    /// The services of the HTTP port in addition to probes.
    pub(super) fn services(&self, settings: &Settings) -> Services {
        let (registry, _) = &self.registry;
        Services {
            rest: settings.values.rest.enabled().then(|| self.polling.clone()),
            registry: settings.values.registry.enabled().then(|| registry.clone()),
            authority: self.authority.clone(),
        }
    }

    /// Exposes the state of the parts as metrics.
    pub(super) fn expose(&self, base: &Base) {
        let standing = Standing {
            fleet: Arc::clone(&self.fleet),
            served: Arc::clone(&base.served),
            publisher: Arc::clone(&self.publisher),
            registry: self.registry.0.clone(),
            files: self.files.as_ref().map(|(files, _)| files.clone()),
        };
        base.metrics.register(|exposed| standing.register(exposed));
        let load = Load {
            xds: self.xds.clone(),
            memory: base.memory.clone(),
        };
        base.metrics
            .register(|exposed| exposed.register_collector(Box::new(load)));
    }

    /// Spawns the tasks that no port starts; returns once the files were read for the first time.
    pub(super) async fn spawn(self, settings: &Settings, base: &Base) {
        let (vital, rest) = (&base.vital, &base.rest);
        upkeep::spawn_expiry(vital, self.fleet, self.polling, rest.clone());
        let publisher = Arc::clone(&self.publisher);
        upkeep::spawn_store_watch(vital, publisher, base.readiness.clone(), base.serving.clone());
        let (_, registering) = self.registry;
        // Leases of registered endpoints run out even if registration is switched off.
        let registering = if settings.values.registry.enabled() {
            registering
        } else {
            registering.without_restoring()
        };
        vital.spawn("registry", registering.run().instrument(info_span!("registry")));
        // Subscribes before the first files are read.
        let auditing = access::audit_files(&self.publisher, self.authority.clone(), rest.clone());
        vital.spawn("audit", auditing.instrument(info_span!("audit")));
        if let Some((_, mut reading)) = self.files {
            reading.begin().await;
            vital.spawn("files", reading.run().instrument(info_span!("files")));
        }
        let tracker = vital.tracker.clone();
        let following = self.rules.follow(self.authority, self.xds, tracker, rest.clone());
        vital.spawn("access", following.instrument(info_span!("access")));
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

/// Serves xDS and the admin API.
pub(super) fn spawn_grpc(
    base: &Base,
    ports: GrpcPorts,
    metrics: &ConnectionMetrics,
    (xds, admin): (&Xds, &Admin),
    header_bytes: u32,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let spawn = |bound, routes: Router, port, limits| {
        let terms = grpc_server::Terms {
            port,
            limits: Http2Limits { header_bytes, ..limits },
            metrics: metrics.clone(),
            stop: base.serving.clone(),
        };
        grpc_server::spawn(&base.vital, bound, routes, terms)
    };
    let admin_routes = admin.routes()?.prepare().into_axum_router();
    let xds_routes = xds.routes().prepare().into_axum_router();
    Ok(vec![
        spawn(ports.xds, xds_routes, PortLabel::Xds, xds.http2()),
        spawn(ports.admin, admin_routes, PortLabel::Admin, admin.http2()),
    ])
}
