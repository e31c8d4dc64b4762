//! What nodes last ACKed, kept for a while after their streams ended, so that make before break holds across a reconnect
//! (O-19). It may be gone at any time: then less is known, and nothing is wrong.

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
    /// What the node could see. A memory holds what it saw: who sees otherwise must not be answered from it.
    sight: Option<Sight>,
    since: Instant,
}

// === impl Memories ===

impl Memories {
    /// Keeps what a stream of the node left that could see so much; `None` where nothing was hidden from anybody.
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

    /// Takes what the node's last stream left, where it could see the same.
    pub(super) fn take(&self, node: &NodeId, variant: Variant, sight: Option<&Sight>, now: Instant) -> Memory {
        let kept = self.nodes.remove(&(node.clone(), variant)).map(|(_, kept)| kept);
        let counts = kept.filter(|kept| kept.counts(now) && kept.sight.as_ref() == sight);
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

    /// What is left by a stream that accepted a snapshot.
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
        let answer = session
            .poll_response(Instant::now())
            .expect("it is told that there is none");
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
    fn who_sees_otherwise_is_not_answered_from_what_was_seen() {
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
