//! The base of every part of the process: readiness, metrics, memory, tasks and their shutdown.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{http_server, memory_watch, ports::HttpPorts, tasks::Vital};
use crate::{
    http::{Guard, Port},
    memory::MemoryBudget,
    metrics::{Metrics, PortLabel, ServingMetrics},
    readiness::Readiness,
    settings::Settings,
};

/// The base of every part of the process.
pub(super) struct Base {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) served: Arc<ServingMetrics>,
    pub(super) memory: MemoryBudget,
    pub(super) vital: Vital,
    /// Ends the streams and the gRPC servers.
    pub(super) serving: CancellationToken,
    /// Ends the rest: the HTTP port answers until everything else has ended.
    pub(super) rest: CancellationToken,
}

// === impl Base ===

impl Base {
    pub(super) fn new(settings: &Settings) -> Self {
        let served = Arc::new(ServingMetrics::default());
        Self {
            readiness: Readiness::default(),
            metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), SystemTime::now())),
            memory: MemoryBudget::of_process(settings.values.limits.memory.map(|size| size.0)),
            vital: Vital {
                tracker: TaskTracker::new(),
                panics: served.panics().clone(),
                failed: CancellationToken::new(),
            },
            served,
            serving: CancellationToken::new(),
            rest: CancellationToken::new(),
        }
    }

    /// Returns guards that end the running tasks if the start fails.
    pub(super) fn undo(&self) -> [DropGuard; 2] {
        [self.serving.clone().drop_guard(), self.rest.clone().drop_guard()]
    }

    pub(super) fn spawn_memory_watch(&self) {
        let watching = memory_watch::watch(self.memory.clone(), self.readiness.clone());
        let watching = self.rest.clone().run_until_cancelled_owned(watching);
        self.vital.spawn("memory", watching);
    }

    /// Answers probes from now on; the other routes of the HTTP port open once everything is loaded.
    pub(super) fn spawn_http(&self, ports: HttpPorts, guard: Guard, request_timeout: Duration) -> Port {
        let tracker = self.vital.tracker.clone();
        let port = Port::new(self.readiness.clone(), Arc::clone(&self.metrics), guard, tracker);
        let spawn = |bound, routes, port| {
            http_server::spawn(&self.vital, bound, routes, port, request_timeout, self.rest.clone());
        };
        let routes = match ports.probe {
            Some(probe) => {
                spawn(probe, port.probes(), PortLabel::Probe);
                port.routes()
            }
            None => port.all_routes(),
        };
        spawn(ports.http, routes, PortLabel::Http);
        port
    }
}
