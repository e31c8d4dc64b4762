//! The admin API: `SnapshotService` and `StoreService` over the publisher, `NodeService` and Envoy's CSDS over the
//! fleet, `SourceService` over the sources, with gRPC health and reflection.
//!
//! `app` builds and serves it. Calls that may block run on blocking threads; watches end when the process shuts down.

mod access;
mod convert;
mod csds;
mod nodes;
mod outcomes;
mod page;
mod plan;
mod process;
mod reflection;
mod shared;
mod snapshots;
mod sources;
mod status;
mod store;
mod watched;

use std::{fmt, sync::Arc, time::Duration};

use tonic::{server::NamedService, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{csds::ClientStatus, nodes::Nodes, shared::Shared, snapshots::Snapshots, sources::Sources, store::Store};
use crate::{
    authority::Authority,
    connection::Http2Limits,
    fleet::Fleet,
    proto::{
        admin::{
            node_service_server::NodeServiceServer, snapshot_service_server::SnapshotServiceServer,
            source_service_server::SourceServiceServer, store_service_server::StoreServiceServer,
        },
        envoy::service::status::v3::client_status_discovery_service_server::ClientStatusDiscoveryServiceServer,
    },
    protocol::Policies,
    publisher::Publisher,
    source::Files,
};

pub use self::{convert::finding, process::Process, reflection::ReflectionError};

/// The largest request: the largest snapshot that admission accepts, with room for its YAML form.
pub const MAX_REQUEST_BYTES: usize = 256 << 20;
/// Concurrent calls on one connection: the clients are people and pipelines, not fleets.
const MAX_CONCURRENT_CALLS: u32 = 256;
/// The HTTP/2 window: a publish of several MiB should not wait for a window update every 64 KiB.
const WINDOW_BYTES: u32 = 4 << 20;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest CSDS request in bytes: decoding takes about fifty times as much memory.
const MAX_CSDS_BYTES: usize = 256 << 10;
/// The services of the admin API with their shared state.
#[derive(Clone)]
pub struct Admin {
    shared: Arc<Shared>,
    health: HealthReporter,
    authority: Authority,
}

// === impl Admin ===

impl Admin {
    /// Makes the services, with access decided by `authority`, as a part of `process`.
    #[must_use]
    pub fn new(
        publisher: Arc<Publisher>,
        fleet: Arc<Fleet>,
        files: Option<Files>,
        policies: Policies,
        authority: Authority,
        process: Process,
    ) -> Self {
        Self {
            shared: Arc::new(Shared::new(publisher, fleet, files, policies, process)),
            health: HealthReporter::new(),
            authority,
        }
    }

    /// The routes of all services of the admin port.
    ///
    /// # Errors
    ///
    /// [`ReflectionError`] if the embedded descriptors are inconsistent.
    pub fn routes(&self) -> Result<Routes, ReflectionError> {
        let snapshots = SnapshotServiceServer::new(Snapshots::new(Arc::clone(&self.shared)))
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(usize::MAX);
        let nodes = NodeServiceServer::new(Nodes::new(Arc::clone(&self.shared))).max_encoding_message_size(usize::MAX);
        let sources =
            SourceServiceServer::new(Sources::new(Arc::clone(&self.shared))).max_encoding_message_size(usize::MAX);
        let store = StoreServiceServer::new(Store::new(Arc::clone(&self.shared)));
        let csds = ClientStatusDiscoveryServiceServer::new(ClientStatus::new(Arc::clone(&self.shared)))
            .max_decoding_message_size(MAX_CSDS_BYTES)
            .max_encoding_message_size(usize::MAX);
        let health = tonic_health::server::HealthService::from_health_reporter(self.health.clone());
        let health = tonic_health::pb::health_server::HealthServer::new(health);
        let mut routes = Routes::builder();
        routes
            .add_service(snapshots)
            .add_service(nodes)
            .add_service(sources)
            .add_service(store)
            .add_service(csds)
            .add_service(health);
        reflection::add_to(&mut routes)?;
        // The layer is around all routes, so no service is reached without it.
        let check = axum::middleware::from_fn_with_state(self.authority.clone(), access::check);
        Ok(Routes::from(routes.routes().into_axum_router().layer(check)))
    }

    /// The limits of the HTTP/2 server for each client.
    #[must_use]
    pub const fn http2(&self) -> Http2Limits {
        Http2Limits {
            streams: MAX_CONCURRENT_CALLS,
            stream_window: WINDOW_BYTES,
            connection_window: WINDOW_BYTES,
            send_buffer: 400 << 10,
            header_bytes: 16 << 10,
            reset_streams: 20,
            failed_streams: 1024,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            // An operator may leave a watch unread.
            send_timeout: None,
        }
    }

    /// Sets the health status of the server and of each service.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in [
            "",
            SnapshotServiceServer::<Snapshots>::NAME,
            NodeServiceServer::<Nodes>::NAME,
            SourceServiceServer::<Sources>::NAME,
            StoreServiceServer::<Store>::NAME,
            ClientStatusDiscoveryServiceServer::<ClientStatus>::NAME,
        ] {
            self.health.set_service_status(name, status).await;
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
