//! The composition root: the only place that wires concrete types and spawns long-lived tasks.
//!
//! `chancery serve` runs it, and tests run it in-process with port 0: [`App::start`], then [`Running::shutdown`].

mod access;
mod base;
mod descriptors;
mod gauges;
mod grpc_server;
mod http_server;
mod listener;
mod loaded;
mod memory_watch;
pub mod offline;
mod ports;
mod renewal;
mod tasks;
mod upkeep;
mod wired;

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::ports::Addresses;
use self::{
    base::Base,
    loaded::Loaded,
    ports::Ports,
    wired::{Wired, spawn_grpc},
};
use crate::{
    admin::Admin, http::Guard, publisher::Publisher, readiness::Readiness, settings::Settings, transport::Xds,
};

/// Starts the control plane.
#[derive(Debug)]
pub struct App;

/// A running control plane. Dropping it without [`Running::shutdown`] leaves it running.
#[derive(Debug)]
pub struct Running {
    /// The addresses of its ports.
    pub addresses: Addresses,
    readiness: Readiness,
    publisher: Arc<Publisher>,
    xds: Xds,
    admin: Admin,
    tracker: TaskTracker,
    /// Ends the streams and the gRPC servers.
    serving: CancellationToken,
    /// Ends the rest: the HTTP port answers until everything else has ended.
    rest: CancellationToken,
    /// Cancelled once the process cannot go on.
    failed: CancellationToken,
    servers: Vec<JoinHandle<()>>,
    grace: Duration,
}

// === impl App ===

impl App {
    /// Binds every port, loads the published snapshots, then serves. `/readyz` answers from the start, with 200 once this
    /// returns.
    ///
    /// # Errors
    ///
    /// A port cannot be bound, or the store cannot be opened or read in full; then nothing runs.
    pub async fn start(settings: Settings) -> anyhow::Result<Running> {
        // Boxed, so that the future of the caller stays small.
        Box::pin(Self::begin(&Arc::new(settings))).await
    }

    async fn begin(settings: &Arc<Settings>) -> anyhow::Result<Running> {
        let base = Base::new(settings);
        let loading = base.readiness.awaits("snapshots");
        let ports = Ports::bind(settings, &base.metrics)?;
        let addresses = ports.addresses()?;
        // A failure from here on also ends the tasks that already run.
        let undo = base.undo();
        base.spawn_memory_watch();
        let connections = &settings.values.connections;
        let guard = Guard::new(addresses.http, &settings.values.http.allowed_hosts());
        let http = base.spawn_http(ports.http, guard, connections.request_timeout().0);
        renewal::spawn(&base.vital, ports.tls, ports.metrics.clone(), base.rest.clone());

        let loaded = Loaded::load(settings, &base).await?;

        let wired = Wired::new(settings, &base, loaded)?;
        let (xds, admin) = (wired.xds.clone(), wired.admin.clone());
        let publisher = Arc::clone(&wired.publisher);
        wired.expose(&base);
        http.open(wired.services(settings));

        wired.spawn(settings, &base).await;
        loading.ready();
        admin.set_serving(true).await;
        let header_bytes = u32::try_from(connections.max_header_bytes().0).unwrap_or(u32::MAX);
        let servers = spawn_grpc(&base, ports.grpc, &ports.metrics, (&xds, &admin), header_bytes)?;
        for guard in undo {
            guard.disarm();
        }
        addresses.log();
        Ok(Running {
            addresses,
            readiness: base.readiness,
            publisher,
            xds,
            admin,
            tracker: base.vital.tracker,
            serving: base.serving,
            rest: base.rest,
            failed: base.vital.failed,
            servers,
            grace: settings.values.shutdown_grace().0,
        })
    }
}

// === impl Running ===

impl Running {
    /// Publishes snapshots from within the process, beside the admin API and the sources.
    #[must_use]
    pub const fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// The number of open xDS streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.xds.open_streams()
    }

    /// Waits until a vital task died: then shut down the process and start it again.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Ends readiness first, then the streams, then the servers, then the HTTP port. `false` if the grace period ended before
    /// all of that was done: the runtime ends the rest.
    pub async fn shutdown(self) -> bool {
        let deadline = Instant::now() + self.grace;
        self.readiness.stop();
        self.admin.set_serving(false).await;
        self.serving.cancel();
        self.xds.end_streams();
        self.tracker.close();
        let in_order = async {
            for server in self.servers {
                // A server that panicked has ended too.
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
