//! Named readiness: a component holds a [`ReadyHandle`] until it is ready. `/readyz` and the log name the awaited.
//!
//! Shutdown ends readiness before it ends anything else.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::info;

/// The components that are still awaited. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
}

/// Holds readiness back until the component calls [`ReadyHandle::ready`] or drops the handle.
#[derive(Debug)]
pub struct ReadyHandle {
    name: &'static str,
    readiness: Readiness,
}

#[derive(Debug, Default)]
struct State {
    awaited: BTreeSet<&'static str>,
    stopping: bool,
}

/// The name that a process awaits while it shuts down.
const STOPPING: &str = "shutdown";

// === impl Readiness ===

impl Readiness {
    /// Adds a component to the awaited ones.
    #[must_use]
    pub fn awaits(&self, name: &'static str) -> ReadyHandle {
        self.state().awaited.insert(name);
        ReadyHandle {
            name,
            readiness: self.clone(),
        }
    }

    /// The names of the awaited components; empty if the process is ready.
    #[must_use]
    pub fn awaited(&self) -> Vec<&'static str> {
        let state = self.state();
        let stopping = state.stopping.then_some(STOPPING);
        state.awaited.iter().copied().chain(stopping).collect()
    }

    /// Ends readiness for good.
    pub fn stop(&self) {
        self.state().stopping = true;
    }

    /// Awaits a component that was ready and failed.
    pub fn lost(&self, name: &'static str) {
        self.state().awaited.insert(name);
    }

    /// Ends the wait for a component that had failed.
    pub fn regained(&self, name: &'static str) {
        self.state().awaited.remove(name);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ReadyHandle ===

impl ReadyHandle {
    /// Marks the component as ready.
    pub fn ready(self) {
        drop(self);
    }
}

impl Drop for ReadyHandle {
    fn drop(&mut self) {
        let awaited: Vec<&str> = {
            let mut state = self.readiness.state();
            state.awaited.remove(self.name);
            state.awaited.iter().copied().collect()
        };
        if awaited.is_empty() {
            info!(component = self.name, "ready");
        } else {
            info!(
                component = self.name,
                awaited = awaited.join(", "),
                "component is ready"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_nobody_is_awaited() {
        let readiness = Readiness::default();
        let (store, xds) = (readiness.awaits("store"), readiness.awaits("xds"));
        assert_eq!(readiness.awaited(), ["store", "xds"]);
        store.ready();
        assert_eq!(readiness.awaited(), ["xds"]);
        drop(xds);
        assert!(readiness.awaited().is_empty());
    }

    #[test]
    fn what_was_lost_may_come_back() {
        let readiness = Readiness::default();
        readiness.lost("store");
        assert_eq!(readiness.awaited(), ["store"]);
        readiness.regained("store");
        assert!(readiness.awaited().is_empty());
    }

    #[test]
    fn shutdown_takes_readiness_back() {
        let readiness = Readiness::default();
        readiness.stop();
        assert_eq!(readiness.awaited(), ["shutdown"]);
    }
}
