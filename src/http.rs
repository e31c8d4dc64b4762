//! The HTTP port: `/livez` and `/readyz`, `/metrics`, xDS over REST-JSON, and the endpoint registry. Everything else is 404,
//! another method 405.
//!
//! Probes and metrics answer from the start; what needs a loaded store answers 503 until [`Port::open`].

mod access;
mod endpoints;
mod failure;
mod guard;
mod metrics;
mod rest;

use std::sync::{Arc, OnceLock};

use axum::{Router, extract::State, http::StatusCode, middleware, routing::get};
use tokio_util::task::TaskTracker;

use self::failure::Failure;
pub use self::{
    guard::Guard,
    rest::{Rest, RestSettings},
};
use crate::{
    authority::Authority,
    metrics::{HttpMetrics, Metrics},
    readiness::Readiness,
    source::Registry,
};

/// What the port serves, and what it waits for. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Port {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    guard: Arc<Guard>,
    counters: HttpMetrics,
    /// Owns what takes longer than a reactor may be held up.
    tracker: TaskTracker,
    services: Arc<OnceLock<Services>>,
}

/// What is there once everything is loaded.
#[derive(Clone, Debug)]
pub struct Services {
    /// xDS over REST-JSON; `None` where it is off.
    pub rest: Option<Rest>,
    /// The endpoint registry; `None` where it is off.
    pub registry: Option<Registry>,
    /// Who may do what.
    pub authority: Authority,
}

// === impl Port ===

impl Port {
    /// A port that answers probes, and shows these metrics.
    #[must_use]
    pub fn new(readiness: Readiness, metrics: Arc<Metrics>, guard: Guard, tracker: TaskTracker) -> Self {
        let counters = HttpMetrics::default();
        metrics.register(|exposed| counters.register(exposed));
        Self {
            readiness,
            metrics,
            guard: Arc::new(guard),
            counters,
            tracker,
            services: Arc::default(),
        }
    }

    /// Serves the rest from here on. Called once; what a second call brings is dropped.
    pub fn open(&self, services: Services) {
        self.services.set(services).ok();
    }

    /// All routes but those of [`Port::probes`]. The server that runs them puts the
    /// [`Connection`](crate::connection::Connection) of each request into its extensions.
    pub fn routes(&self) -> Router {
        self.finish(Router::new().merge(rest::routes()).merge(endpoints::routes(self)))
    }

    /// Probes and metrics: what shows nothing of any configuration.
    pub fn probes(&self) -> Router {
        self.finish(probes())
    }

    /// Both on one port.
    pub fn all_routes(&self) -> Router {
        self.finish(probes().merge(rest::routes()).merge(endpoints::routes(self)))
    }

    fn finish(&self, routes: Router<Self>) -> Router {
        routes
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(middleware::from_fn_with_state(self.clone(), guard::check))
            .with_state(self.clone())
    }

    fn rest(&self) -> Result<&Rest, Failure> {
        let off = || off("xDS over REST", "rest.enabled", "--rest-enabled");
        self.services()?.rest.as_ref().ok_or_else(off)
    }

    fn registry(&self) -> Result<&Registry, Failure> {
        let off = || off("the endpoint registry", "registry.enabled", "--registry-enabled");
        self.services()?.registry.as_ref().ok_or_else(off)
    }

    fn services(&self) -> Result<&Services, Failure> {
        let loading = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not ready: snapshots are being loaded");
        self.services.get().ok_or_else(loading)
    }
}

fn probes() -> Router<Port> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::show))
}

fn off(what: &str, setting: &str, flag: &str) -> Failure {
    let message = format!("{what} is off: {setting} ({flag}) switches it on");
    Failure::new(StatusCode::NOT_FOUND, message)
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
    Failure::new(StatusCode::NOT_FOUND, "no such path on this port")
}

async fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
}
