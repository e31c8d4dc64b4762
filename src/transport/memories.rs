//! The last ACKed state of nodes, kept for a while after their streams end, so that make before break holds across a
//! reconnect (O-19). It may be missing at any time: the server then knows less, and stays correct.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use dashmap::DashMap;

use crate::{
    authority::Sight,
    node::NodeId,
    protocol::{Memory, Variant},
};

/// The validity of a memory. An Envoy returns within seconds, after a long cut within its backoff of half a minute.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// Nodes kept at once: enough for a fleet that loses all connections, and a bound for invented node ids.
const MOST: usize = 100_000;

/// Known nodes before the first sweep of expired ones.
const SWEEP_FROM: usize = 256;

/// The memories of all nodes whose streams ended.
#[derive(Debug)]
pub(super) struct Memories {
    nodes: DashMap<(NodeId, Variant), Kept>,
    /// The number of known nodes at which the next sweep runs.
    sweep_at: AtomicUsize,
}

#[derive(Debug)]
struct Kept {
    memory: Memory,
    /// The node's view. A memory holds resources of this view, so it must not serve a node with another view.
    sight: Option<Sight>,
    since: Instant,
}

// === impl Memories ===

impl Memories {
    /// Keeps the memory of a node's stream, with the node's view; `None` if nothing was hidden from any node.
    pub(super) fn keep(&self, node: NodeId, variant: Variant, memory: Memory, sight: Option<Sight>, now: Instant) {
        if memory.is_empty() {
            return;
        }
        self.sweep(now);
        if self.nodes.len() < MOST {
            self.nodes.insert(
                (node, variant),
                Kept {
                    memory,
                    sight,
                    since: now,
                },
            );
        }
    }

    /// Removes and returns the memory of the node's last stream, if it has the same view.
    pub(super) fn take(&self, node: &NodeId, variant: Variant, sight: Option<&Sight>, now: Instant) -> Memory {
        let kept = self.nodes.remove(&(node.clone(), variant)).map(|(_, kept)| kept);
        let counts = kept.filter(|kept| kept.counts(now) && kept.sight.as_ref() == sight);
        counts.map(|kept| kept.memory).unwrap_or_default()
    }

    /// Forgets expired memories, each time that the number of nodes has doubled.
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

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    };

    use super::*;
    use crate::{
        access::{AccessConfig, Identity, Policy as Rules, TokenIdentity},
        protocol::{Policies, Policy, Request, Scope, Session},
        resource::ResourceType,
        snapshot::{Completeness, Revision, Snapshot},
    };

    /// The memory of a stream that accepted a snapshot.
    fn memory() -> Memory {
        let policies = Policies::new(Policy::default(), BTreeSet::new());
        let policy = Arc::clone(policies.common());
        let mut session = Session::new(Variant::Sotw, Scope::Aggregated, policy, "s".into(), "n".to_owned());
        let kind = ResourceType::Cluster;
        let ask = |version, nonce| Request {
            type_url: ResourceType::Cluster.type_url(),
            version,
            nonce,
            ..Request::default()
        };
        session.on_request(&ask("", "")).unwrap();
        let types = BTreeMap::from([(kind, Arc::default())]);
        let snapshot = Snapshot::new("g".into(), Revision(1), types, Completeness::Published);
        session.on_snapshot(Arc::new(snapshot));
        let answer = session.poll_response(Instant::now()).expect("an empty state is sent");
        let (version, nonce) = (answer.delivery.version.to_string(), answer.delivery.nonce.to_string());
        session.on_request(&ask(&version, &nonce)).unwrap();
        session.memory()
    }

    fn sight(secrets: &str, group: &str) -> Option<Sight> {
        let rules =
            format!("{{nodes: [{{token: t, node_id: '*', groups: '*', secrets: '{secrets}'}}], tokens_file: t}}");
        let config: AccessConfig = serde_saphyr::from_str(&rules).unwrap();
        let token = TokenIdentity {
            name: "t".to_owned(),
            hash: String::new(),
            expires: None,
        };
        let identity = Identity::of(None, Some(token), None);
        let rules = Rules::new(&config).unwrap();
        let reach = rules.node(identity.as_ref(), &"n".into(), &group.into()).unwrap();
        reach.map(|reach| (group.into(), reach.secrets))
    }

    #[test]
    fn a_memory_serves_only_a_node_with_the_same_view() {
        let left = memory();
        assert!(!left.is_empty());
        let (all, some) = (sight("*", "g"), sight("a-*", "g"));
        for (kept, taken, counts) in [
            (&None, &None, true),
            (&all, &all, true),
            (&all, &some, false),
            (&all, &sight("*", "h"), false),
            (&None, &some, false),
            (&all, &None, false),
        ] {
            let (memories, now) = (Memories::default(), Instant::now());
            memories.keep("n".into(), Variant::Sotw, left.clone(), kept.clone(), now);
            let found = memories.take(&"n".into(), Variant::Sotw, taken.as_ref(), now);
            assert_eq!(!found.is_empty(), counts, "{kept:?} {taken:?}");
        }
    }
}
