//! What nodes last ACKed, kept for a while after their streams ended, so that make before break holds across a reconnect
//! (O-19). It may be gone at any time: then less is known, and nothing is wrong.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use dashmap::DashMap;

use crate::{
    node::NodeId,
    protocol::{Memory, Variant},
};

/// How long a memory counts: an Envoy comes back within seconds, after a long cut within its backoff of half a minute.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// Nodes remembered at once: a fleet that loses its connections all at once, and an end to invented node ids.
const MOST: usize = 100_000;

/// Nodes that are known before the first look for outdated ones.
const SWEEP_FROM: usize = 256;

/// The memories of all nodes whose streams ended.
#[derive(Debug)]
pub(super) struct Memories {
    nodes: DashMap<(NodeId, Variant), Kept>,
    /// How many nodes are known when outdated ones are looked for next.
    sweep_at: AtomicUsize,
}

#[derive(Debug)]
struct Kept {
    memory: Memory,
    since: Instant,
}

// === impl Memories ===

impl Memories {
    /// Keeps what a stream of the node left.
    pub(super) fn keep(&self, node: NodeId, variant: Variant, memory: Memory, now: Instant) {
        if memory.is_empty() {
            return;
        }
        self.sweep(now);
        if self.nodes.len() < MOST {
            self.nodes.insert((node, variant), Kept { memory, since: now });
        }
    }

    /// Takes what the node's last stream left.
    pub(super) fn take(&self, node: &NodeId, variant: Variant, now: Instant) -> Memory {
        let kept = self.nodes.remove(&(node.clone(), variant)).map(|(_, kept)| kept);
        let counts = kept.filter(|kept| kept.counts(now));
        counts.map(|kept| kept.memory).unwrap_or_default()
    }

    /// Forgets what no longer counts, each time that the number of nodes has doubled.
    fn sweep(&self, now: Instant) {
        if self.nodes.len() < self.sweep_at.load(Ordering::Relaxed) {
            return;
        }
        self.nodes.retain(|_, kept| kept.counts(now));
        let next = SWEEP_FROM.max(2 * self.nodes.len()).min(MOST);
        self.sweep_at.store(next, Ordering::Relaxed);
    }
}

impl Default for Memories {
    fn default() -> Self {
        Self {
            nodes: DashMap::new(),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
        }
    }
}

// === impl Kept ===

impl Kept {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < KEPT_FOR
    }
}
