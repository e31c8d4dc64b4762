//! The HTTP port: `/livez` and `/readyz`, `/metrics`, xDS over REST-JSON, and the endpoint registry. Everything else is 404,
//! another method 405.
//!
//! Probes and metrics answer from the start; what needs a loaded store answers 503 until [`Port::open`].

mod access;
mod endpoints;
mod failure;
mod metrics;
mod rest;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio_util::task::TaskTracker;

use self::failure::Failure;
pub use self::rest::{Rest, RestSettings};
use crate::{authority::Authority, metrics::Metrics, readiness::Readiness, source::Registry};

/// What the port serves, and what it waits for. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Port {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    /// Owns what takes longer than a reactor may be held up.
    tracker: TaskTracker,
    services: Arc<OnceLock<Services>>,
}

/// What is there once everything is loaded.
#[derive(Clone, Debug)]
pub struct Services {
    /// xDS over REST-JSON.
    pub rest: Rest,
    /// The endpoint registry.
    pub registry: Registry,
    /// Who may do what.
    pub authority: Authority,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

// === impl Port ===

impl Port {
    /// A port that answers probes, and shows these metrics.
    #[must_use]
    pub fn new(readiness: Readiness, metrics: Arc<Metrics>, tracker: TaskTracker) -> Self {
        Self {
            readiness,
            metrics,
            tracker,
            services: Arc::default(),
        }
    }

    /// Serves the rest from here on. Called once; what a second call brings is dropped.
    pub fn open(&self, services: Services) {
        self.services.set(services).ok();
    }

    /// The routes. The server that runs them tells the [`Peer`] of each connection.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics::show))
            .merge(rest::routes())
            .merge(endpoints::routes(self))
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .with_state(self.clone())
    }

    fn services(&self) -> Result<&Services, Failure> {
        let loading = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not ready: snapshots are being loaded");
        self.services.get().ok_or_else(loading)
    }
}

/// The process answers: that is all that being alive means.
async fn livez() -> &'static str {
    "ok\n"
}

/// 200 when everything is loaded and bound, else 503 with what is awaited, one name a line.
async fn readyz(State(port): State<Port>) -> (StatusCode, String) {
    let awaited = port.readiness.awaited();
    if awaited.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let awaited = awaited.join("\n");
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready, awaited:\n{awaited}\n"),
        )
    }
}

async fn unknown_path() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "no such path on the HTTP port")
}

async fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
}
