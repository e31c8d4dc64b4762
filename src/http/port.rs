//! State that the routes of the port stand on: there from the start, or once everything is loaded.

use std::sync::{Arc, OnceLock};

use axum::http::StatusCode;
use tokio_util::task::TaskTracker;

use super::{failure::Failure, guard::Guard, rest::Rest};
use crate::{
    authority::Authority,
    metrics::{HttpMetrics, Metrics},
    readiness::Readiness,
    source::Registry,
};

/// State of the port. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Port {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) guard: Arc<Guard>,
    pub(super) counters: HttpMetrics,
    /// Owns what takes longer than a reactor may be held up.
    pub(super) tracker: TaskTracker,
    services: Arc<OnceLock<Services>>,
}

/// Services that are there once everything is loaded.
#[derive(Clone, Debug)]
pub struct Services {
    /// xDS over REST-JSON; `None` where it is off.
    pub rest: Option<Rest>,
    /// The endpoint registry; `None` where it is off.
    pub registry: Option<Registry>,
    /// Decides who may do what.
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

    pub(super) fn rest(&self) -> Result<&Rest, Failure> {
        let off = || off("xDS over REST", "rest.enabled", "--rest-enabled");
        self.services()?.rest.as_ref().ok_or_else(off)
    }

    pub(super) fn registry(&self) -> Result<&Registry, Failure> {
        let off = || off("the endpoint registry", "registry.enabled", "--registry-enabled");
        self.services()?.registry.as_ref().ok_or_else(off)
    }

    pub(super) fn services(&self) -> Result<&Services, Failure> {
        let loading = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not ready: snapshots are being loaded");
        self.services.get().ok_or_else(loading)
    }
}

fn off(what: &str, setting: &str, flag: &str) -> Failure {
    let message = format!("{what} is off: {setting} ({flag}) switches it on");
    Failure::new(StatusCode::NOT_FOUND, message)
}
