//! Names on demand that the streams of a node subscribe to. With them, a full state on one stream does not remove
//! resources that another stream of the node subscribed to (S-20).
//!
//! A node is known while it has an open stream, and for a while after a stream that subscribed to names: a client that
//! reconnects may be sent its full state before it subscribes again. The limits of streams bound what is kept per
//! stream.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use dashmap::DashMap;

use crate::{
    cache::{WakerSlot, Wakers},
    node::{NodeGroup, NodeId},
    protocol::{Names, Session},
    resource::ResourceType,
};

/// The time for which names count after their stream ended: longer than an Envoy's reconnect takes.
const GRACE: Duration = Duration::from_secs(60);

/// Known nodes before the first sweep of those without streams.
const SWEEP_FROM: usize = 256;

type Key = (NodeGroup, NodeId);
type Asked = BTreeMap<ResourceType, Names>;

/// The names of all nodes.
#[derive(Debug)]
pub(super) struct OnDemand {
    nodes: DashMap<Key, Arc<Asking>>,
    /// The number of known nodes at which the next sweep runs.
    sweep_at: AtomicUsize,
}

/// The streams of one node.
#[derive(Debug, Default)]
struct Asking {
    streams: Mutex<Streams>,
    wakers: Wakers,
}

#[derive(Debug, Default)]
struct Streams {
    next: u64,
    open: BTreeMap<u64, Asked>,
    /// The names of the last stream that ended, and the time until which they count.
    ended: Option<(Asked, Instant)>,
    /// The number of changes so far.
    changes: u64,
}

/// One stream among those of its node. Dropping it removes its names.
#[derive(Debug)]
pub(super) struct Member {
    shared: Arc<OnDemand>,
    key: Key,
    node: Arc<Asking>,
    stream: u64,
    slot: WakerSlot,
    kinds: Vec<ResourceType>,
    /// True if the names count for a while after the stream ends, as an Envoy continues with them on its next stream.
    comes_back: bool,
    /// The last seen change, and the names of all streams as of this change.
    taken: Option<(u64, Asked)>,
}

// === impl OnDemand ===

impl OnDemand {
    /// Adds a stream of a node. `kinds` are the types with names on demand. `comes_back` is true if the client keeps
    /// its resources across a reconnect.
    pub(super) fn join(
        self: &Arc<Self>,
        group: &NodeGroup,
        node: &NodeId,
        kinds: Vec<ResourceType>,
        comes_back: bool,
        now: Instant,
    ) -> Member {
        self.sweep(now);
        let key = (group.clone(), node.clone());
        // The stream joins while the map entry is locked, so that `sweep` cannot take the node for unused.
        let entry = self.nodes.entry(key.clone()).or_default();
        let node = Arc::clone(&entry);
        let (slot, stream) = (node.wakers.join(), node.lock().join());
        drop(entry);
        Member {
            shared: Arc::clone(self),
            key,
            node,
            stream,
            slot,
            kinds,
            comes_back,
            taken: None,
        }
    }

    /// Forgets nodes without streams, each time that the number of nodes has doubled.
    fn sweep(&self, now: Instant) {
        let sweep_at = self.sweep_at.load(Ordering::Relaxed);
        if self.nodes.len() < sweep_at {
            return;
        }
        // Only one thread sweeps.
        let next = self
            .sweep_at
            .compare_exchange(sweep_at, usize::MAX, Ordering::AcqRel, Ordering::Relaxed);
        if next.is_ok() {
            self.nodes.retain(|_, node| node.lock().is_used(now));
            self.sweep_at
                .store(SWEEP_FROM.max(2 * self.nodes.len()), Ordering::Release);
        }
    }
}

impl Default for OnDemand {
    fn default() -> Self {
        Self {
            nodes: DashMap::new(),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
        }
    }
}

// === impl Asking ===

impl Asking {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Streams ===

impl Streams {
    fn join(&mut self) -> u64 {
        self.next += 1;
        self.open.insert(self.next, Asked::new());
        self.next
    }

    fn is_used(&self, now: Instant) -> bool {
        !self.open.is_empty() || self.ended.as_ref().is_some_and(|(_, until)| now < *until)
    }

    /// Sets the names of a stream. Returns true if they changed.
    fn set_names(&mut self, stream: u64, kind: &ResourceType, names: &Names) -> bool {
        let asked = self.open.entry(stream).or_default();
        let is_known = asked.get(kind).map_or(names.is_empty(), |known| known.is_same(names));
        if !is_known {
            asked.insert(kind.clone(), names.clone());
            self.changes += 1;
        }
        !is_known
    }

    fn leave(&mut self, stream: u64, comes_back: bool, now: Instant) {
        let asked = self.open.remove(&stream).unwrap_or_default();
        if !comes_back {
            self.changes += u64::from(!asked.is_empty());
        } else if asked.values().any(|names| !names.is_empty()) {
            self.ended = Some((asked, now + GRACE));
            self.changes += 1;
        }
    }

    fn forget_ended(&mut self, now: Instant) {
        if self.ended.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.ended = None;
            self.changes += 1;
        }
    }

    /// The union of the names of all streams.
    fn all(&self, kind: &ResourceType) -> Names {
        let ended = self.ended.as_ref().map(|(asked, _)| asked);
        let lists = self.open.values().chain(ended).filter_map(|asked| asked.get(kind));
        let mut lists = lists.filter(|names| !names.is_empty());
        let Some(first) = lists.next() else {
            return Names::default();
        };
        let others: Vec<&Names> = lists.filter(|names| *names != first).collect();
        if others.is_empty() {
            return first.clone();
        }
        let names = first.iter().chain(others.into_iter().flatten());
        names.cloned().collect::<Vec<_>>().into()
    }
}

// === impl Member ===

impl Member {
    /// Sends this stream's names to the node's other streams, and their names to the session.
    pub(super) fn exchange(&mut self, session: &mut Session, cx: &Context<'_>, now: Instant) {
        // Registered before the look, so that no change is missed.
        self.slot.register(cx.waker());
        let mut changed = false;
        let mut streams = self.node.lock();
        for kind in &self.kinds {
            if let Some(names) = session.names_of(kind) {
                changed |= streams.set_names(self.stream, kind, names);
            }
        }
        streams.forget_ended(now);
        let changes = streams.changes;
        let taken = self.taken.take().filter(|(taken, _)| *taken == changes);
        let (_, asked) = self.taken.insert(taken.unwrap_or_else(|| {
            let all = self.kinds.iter().map(|kind| (kind.clone(), streams.all(kind)));
            (changes, all.collect())
        }));
        drop(streams);
        for (kind, names) in asked {
            session.on_asked_by_node(kind, names.clone());
        }
        if changed {
            self.node.wakers.wake_all();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let now = Instant::now();
        self.node.lock().leave(self.stream, self.comes_back, now);
        self.node.wakers.leave(&self.slot);
        self.node.wakers.wake_all();
        self.shared
            .nodes
            .remove_if(&self.key, |_, node| !node.lock().is_used(now));
    }
}

#[cfg(test)]
mod tests;
