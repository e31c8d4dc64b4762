//! The state of the port's routes: a part exists from the start, the rest once everything is loaded.

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

/// The state of the port. Clones share it.
#[derive(Clone, Debug)]
pub struct Port {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) guard: Arc<Guard>,
    pub(super) counters: HttpMetrics,
    /// Owns tasks that would block the reactor for too long.
    pub(super) tracker: TaskTracker,
    services: Arc<OnceLock<Services>>,
}

/// The services that exist once everything is loaded.
#[derive(Clone, Debug)]
pub struct Services {
    /// xDS over REST-JSON; `None` if switched off.
    pub rest: Option<Rest>,
    /// The endpoint registry; `None` if switched off.
    pub registry: Option<Registry>,
    /// Authenticates and authorizes requests.
    pub authority: Authority,
}

// === impl Port ===

impl Port {
    /// A port that serves probes and `metrics`.
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

    /// Serves `services` from now on. Only the first call counts.
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
