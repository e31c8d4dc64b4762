//! The open responses of a port, and a periodic sweep over them that ends streams whose client does not read.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use slab::Slab;
use tokio::task::AbortHandle;
use tracing::{error, warn};

use super::{super::tasks::Vital, Terms};
use crate::{
    connection::{Busy, CoarseClock, Connection, Pace},
    metrics::{ConnectionMetrics, Label as _, PanicMetrics, PortLabel},
};

/// Time without reading after which a client counts as stuck.
const STUCK: Duration = Duration::from_secs(5);

/// The longest interval of the sweep; shorter where the timeout is shorter.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// The open responses of a port. All clones share one list.
#[derive(Clone, Debug)]
pub(super) struct Open(Arc<All>);

#[derive(Debug)]
struct All {
    port: PortLabel,
    clock: CoarseClock,
    responses: Mutex<Slab<Weak<Response>>>,
    metrics: ConnectionMetrics,
    panics: PanicMetrics,
}

/// An open response, with the task that writes it.
#[derive(Debug)]
pub(super) struct Response {
    all: Arc<All>,
    at: usize,
    path: Box<str>,
    peer: SocketAddr,
    pace: Arc<Pace>,
    task: OnceLock<AbortHandle>,
    /// Keeps its connection from making room for another.
    _busy: Busy,
}

// === impl Open ===

impl Open {
    /// Returns an empty list, and sweeps it until the server stops and then while responses are open.
    pub(super) fn spawn(vital: &Vital, terms: &Terms) -> Self {
        let open = Self(Arc::new(All {
            port: terms.port,
            clock: CoarseClock::new(),
            responses: Mutex::default(),
            metrics: terms.metrics.clone(),
            panics: vital.panics.clone(),
        }));
        if let Some(patience) = terms.limits.send_timeout {
            let (swept, stop) = (open.clone(), terms.stop.clone());
            let every = (patience / 4).clamp(Duration::from_millis(10), SWEEP_EVERY);
            let sweeping = async move {
                let mut ticks = tokio::time::interval(every);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    swept.sweep(SystemTime::now(), patience);
                }
            };
            vital.spawn("unread streams", stop.run_until_cancelled_owned(sweeping));
        }
        open
    }

    /// Adds the response to a new request.
    pub(super) fn begin(&self, path: &str, connection: &Connection) -> Arc<Response> {
        let mut responses = self.0.lock();
        let entry = responses.vacant_entry();
        let response = Arc::new(Response {
            all: Arc::clone(&self.0),
            at: entry.key(),
            path: path.into(),
            peer: connection.peer,
            pace: Arc::new(Pace::new(self.0.clock.clone())),
            task: OnceLock::new(),
            _busy: connection.seat.busy(),
        });
        entry.insert(Arc::downgrade(&response));
        response
    }

    /// Checks all open responses at one time.
    pub(super) fn sweep(&self, now: SystemTime, patience: Duration) {
        self.0.clock.set(now);
        // Collected first, since dropping the last reference to a response locks the list.
        let open: Vec<Arc<Response>> = self.0.lock().iter().filter_map(|(_, open)| open.upgrade()).collect();
        let mut stuck = 0;
        for response in open {
            let Some(unread) = response.pace.unread_for() else {
                continue;
            };
            stuck += i64::from(unread >= STUCK);
            if unread >= patience {
                response.give_up(unread);
            }
        }
        self.0.metrics.unread(self.0.port, stuck);
    }
}

// === impl All ===

impl All {
    fn lock(&self) -> std::sync::MutexGuard<'_, Slab<Weak<Response>>> {
        self.responses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Response ===

impl Response {
    pub(super) const fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Sets the task that writes the response.
    pub(super) fn runs_as(&self, task: AbortHandle) {
        self.task.set(task).ok();
    }

    /// Logs and counts a panic in the handler or the body.
    pub(super) fn note_panic(&self) {
        error!(listener = self.all.port.text(), path = %self.path, peer = %self.peer, "a request panicked");
        self.all.panics.of_port(self.all.port);
    }

    fn give_up(&self, unread: Duration) {
        let Some(task) = self.task.get() else {
            return;
        };
        if task.is_finished() {
            return;
        }
        warn!(
            listener = self.all.port.text(), path = %self.path, peer = %self.peer, ?unread,
            "stream ended: the client does not read"
        );
        self.all.metrics.unread_dropped(self.all.port);
        task.abort();
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        self.all.lock().try_remove(self.at);
    }
}
