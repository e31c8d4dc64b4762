//! Named readiness: every component holds a [`ReadyHandle`] until it is ready; `/readyz` and the log say who is awaited.
//!
//! Shutdown takes readiness back before anything else ends.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::info;

/// Who is still awaited. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
}

/// What holds readiness back until it is dropped or told [`ReadyHandle::ready`].
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

/// What is said of a process that shuts down.
const STOPPING: &str = "shutdown";

// === impl Readiness ===

impl Readiness {
    /// Awaits one more component.
    #[must_use]
    pub fn awaits(&self, name: &'static str) -> ReadyHandle {
        self.state().awaited.insert(name);
        ReadyHandle {
            name,
            readiness: self.clone(),
        }
    }

    /// The names of what is awaited; nothing where all is ready.
    #[must_use]
    pub fn awaited(&self) -> Vec<&'static str> {
        let state = self.state();
        let stopping = state.stopping.then_some(STOPPING);
        state.awaited.iter().copied().chain(stopping).collect()
    }

    /// Takes readiness back for good.
    pub fn stop(&self) {
        self.state().stopping = true;
    }

    /// A component that was ready is no longer there.
    pub fn lost(&self, name: &'static str) {
        self.state().awaited.insert(name);
    }

    /// A component that was lost is there again.
    pub fn regained(&self, name: &'static str) {
        self.state().awaited.remove(name);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ReadyHandle ===

impl ReadyHandle {
    /// The component is ready.
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
