//! The xDS services over gRPC: one driver runs a [`Session`](crate::protocol::Session) over every streaming RPC.
//!
//! tonic provides router, server and HTTP/2. The response bodies are our own, so that streams share bytes.

mod admittance;
mod answer;
mod driver;
mod error;
mod fetch;
mod frame;
mod identities;
mod identity;
mod lanes;
mod ledger;
mod lists;
mod lrs;
mod memories;
mod messages;
mod on_demand;
mod peer;
mod rate;
mod request;
mod services;
mod settings;
mod shared;
mod status;
mod subscribed;
mod timer;
mod wire;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use axum::routing::post;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, service::Routes};

pub(crate) use self::timer::jitter;
use self::{answer::refuse, services::Form, shared::Shared};
pub use self::{
    rate::Rate,
    settings::{Limits, LrsSettings, XdsSettings},
};
use crate::{
    authority::Authority,
    cache::SnapshotCache,
    connection::Http2Limits,
    fleet::Fleet,
    memory::MemoryBudget,
    metrics::ServingMetrics,
    protocol::{Policies, Variant},
};

/// The xDS services.
#[derive(Clone)]
pub struct Xds {
    shared: Arc<Shared>,
}

// === impl Xds ===

impl Xds {
    /// Serves `cache` to clients that `authority` admits, and records outcomes in `fleet` and `metrics`. Once
    /// `shutdown` is cancelled, new streams are refused and load reports end; [`Xds::end_streams`] ends the discovery
    /// streams.
    #[must_use]
    pub fn new(
        cache: SnapshotCache,
        fleet: Arc<Fleet>,
        metrics: Arc<ServingMetrics>,
        authority: Authority,
        settings: XdsSettings,
        memory: MemoryBudget,
        shutdown: CancellationToken,
    ) -> Self {
        let shared = Shared::new(cache, fleet, metrics, authority, settings, memory, shutdown);
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The policies of the port's streams.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.shared.policies
    }

    /// The routes of the discovery services and of load reporting.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let mut router = axum::Router::new();
        for rpc in services::rpcs() {
            let shared = Arc::clone(&self.shared);
            let scope = rpc.scope;
            let action: Arc<str> = rpc.path.as_str().into();
            let serve = move |request: Request<axum::body::Body>| {
                let (shared, scope, action) = (Arc::clone(&shared), scope.clone(), Arc::clone(&action));
                async move {
                    match rpc.form {
                        Form::Sotw => driver::open(Variant::Sotw, shared, scope, action, request).await,
                        Form::Delta => driver::open(Variant::Delta, shared, scope, action, request).await,
                        Form::Fetch => fetch::fetch(&shared, scope, &action, request.map(Body::new)).await,
                    }
                }
            };
            router = router.route(&rpc.path, post(serve));
        }
        let unknown = || async { refuse(&Status::unimplemented("no such method on the xDS port")) };
        let shared = Arc::clone(&self.shared);
        let report = move |request: Request<axum::body::Body>| {
            let shared = Arc::clone(&shared);
            async move { lrs::open(shared, request).await }
        };
        Routes::from(router.route(lrs::PATH, post(report)).fallback(unknown))
    }

    /// The limits of a peer on the port's HTTP/2 server.
    #[must_use]
    pub fn http2(&self) -> Http2Limits {
        let limits = self.shared.limits;
        Http2Limits {
            streams: limits.streams_per_connection,
            stream_window: 256 * 1024,
            connection_window: 2 * 1024 * 1024,
            send_buffer: 400 * 1024,
            header_bytes: 16 * 1024,
            reset_streams: 20,
            failed_streams: 1024,
            keepalive_interval: limits.keepalive_interval,
            keepalive_timeout: limits.keepalive_timeout,
            send_timeout: Some(limits.send_timeout),
        }
    }

    /// Ends every discovery stream, spread over [`Limits::drain`].
    pub fn end_streams(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.streams.wake_all();
    }

    /// Makes every stream check its node against changed rules, spread over [`Limits::drain`].
    pub fn look_again(&self) {
        self.shared.streams.wake_all();
    }

    /// The number of open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.shared.open_streams.load(Ordering::Relaxed)
    }

    /// Bytes that the names of all open streams use.
    #[must_use]
    pub fn subscribed_bytes(&self) -> usize {
        self.shared.subscribed_bytes()
    }
}

/// The answer to a call of any service whose handler panicked.
#[must_use]
pub fn panicked() -> Response<Body> {
    refuse(&Status::internal("the server failed at this request: its log says how"))
}

impl fmt::Debug for Xds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xds")
            .field("open_streams", &self.open_streams())
            .finish_non_exhaustive()
    }
}
