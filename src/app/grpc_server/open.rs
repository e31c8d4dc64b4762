//! The responses that are open on a port, and one sweep over them now and then: it ends those whose client does not take in what
//! it was sent.

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

/// From when on a client that makes no room counts as stuck.
const STUCK: Duration = Duration::from_secs(5);

/// How often it is looked at the latest; more often where clients are given up sooner.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The open responses of a port. Clones are one and the same.
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

/// One response.
#[derive(Debug)]
pub(super) struct Response {
    all: Arc<All>,
    at: usize,
    path: Box<str>,
    peer: SocketAddr,
    pace: Arc<Pace>,
    task: OnceLock<AbortHandle>,
    /// Its connection makes room for no other meanwhile.
    _busy: Busy,
}

// === impl Open ===

impl Open {
    /// None yet; looks at them until the terms say stop, and after that as long as any is open.
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
            let every = (patience / 4).clamp(Duration::from_millis(10), LOOK_EVERY);
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

    /// A request came.
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

    /// Looks at all of them, as of now.
    pub(super) fn sweep(&self, now: SystemTime, patience: Duration) {
        self.0.clock.set(now);
        // Collected first: the last one to let go of a response takes it out of the list.
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

    /// The task that writes it.
    pub(super) fn runs_as(&self, task: AbortHandle) {
        self.task.set(task).ok();
    }

    /// What makes it panicked.
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
            "stream ended: the client does not take in what it was sent"
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
