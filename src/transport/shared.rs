//! The state that all streams share: settings, the cache, who may begin.

use std::{
    collections::BTreeSet,
    error::Error,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Body;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{debug, warn};

use super::{
    error::RequestError,
    frame::Frames,
    identities::{Identities, IdentityPlace},
    lanes::Lanes,
    ledger::{Bounds, Ledger, Subject},
    lists::SharedLists,
    memories::Memories,
    messages::{Broken, Messages, PREFIX},
    on_demand::OnDemand,
    peer::PeerRates,
    rate::Bucket,
    settings::{Limits, LrsSettings, XdsSettings},
    status::exhausted,
    subscribed::{Account, Subscribed},
};
use crate::{
    authority::{Authority, Visitor},
    cache::{SnapshotCache, WakerSlot, Wakers},
    connection::counted_as,
    fleet::Fleet,
    memory::MemoryBudget,
    metrics::{Refusal, RequestRefusal, ServingMetrics},
    node::{Grouping, Node, NodeGroup},
    proto::envoy::config::core::v3 as core,
    protocol::{ErrorKind, Policies, ProtocolError},
};

/// What all streams share.
pub(super) struct Shared {
    pub(super) cache: SnapshotCache,
    pub(super) fleet: Arc<Fleet>,
    metrics: Arc<ServingMetrics>,
    /// Who may be which node.
    pub(super) authority: Authority,
    pub(super) frames: Frames,
    pub(super) limits: Limits,
    pub(super) grouping: Grouping,
    pub(super) policies: Policies,
    pub(super) lrs: LrsSettings,
    pub(super) ttl: BTreeSet<NodeGroup>,
    /// Above it nobody is let in.
    memory: MemoryBudget,
    new_streams: Mutex<Bucket>,
    /// What one peer may take of that.
    peer_rates: PeerRates,
    /// Open streams of each identity.
    identities: Arc<Identities>,
    /// Requests whose rest is still to come.
    unfinished: Arc<Ledger>,
    /// What streams ask for.
    subscribed: Arc<Subscribed>,
    /// Makes nonces differ between processes (S-1).
    pub(super) process: String,
    pub(super) next_stream: AtomicU64,
    pub(super) open_streams: AtomicUsize,
    pub(super) shutdown: CancellationToken,
    /// Whether the open streams are to end, and the tasks to tell.
    pub(super) draining: AtomicBool,
    pub(super) streams: Wakers,
    /// Where requests and responses of many names are worked on.
    pub(super) lanes: Lanes,
    /// Lists of names that streams have in common.
    pub(super) lists: Arc<SharedLists>,
    /// Names on demand that the streams of a node have in common.
    pub(super) on_demand: Arc<OnDemand>,
    /// What the last streams of nodes left.
    pub(super) memories: Memories,
}

/// One of the streams that may be open at once.
pub(super) struct Permit {
    shared: Arc<Shared>,
    /// Told when the streams are to end.
    slot: WakerSlot,
    /// Counted as that of its identity, where the client showed one.
    place: Option<IdentityPlace>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(
        cache: SnapshotCache,
        fleet: Arc<Fleet>,
        metrics: Arc<ServingMetrics>,
        authority: Authority,
        settings: XdsSettings,
        memory: MemoryBudget,
        shutdown: CancellationToken,
    ) -> Self {
        let process = format!("{:016x}", RandomState::new().build_hasher().finish());
        let identifier = format!("chancery/{} {process}", env!("CARGO_PKG_VERSION"));
        Self {
            cache,
            fleet,
            metrics,
            authority,
            frames: Frames::new(identifier),
            limits: settings.limits,
            grouping: settings.grouping,
            policies: Policies::new(settings.policy, settings.unordered),
            lrs: settings.lrs,
            ttl: settings.ttl,
            memory,
            new_streams: Mutex::new(Bucket::new(settings.limits.new_streams, Instant::now())),
            peer_rates: PeerRates::new(settings.limits.new_streams_of_peer()),
            identities: Identities::new(settings.limits.streams_per_identity),
            unfinished: Arc::new(Ledger::with_least(
                Subject::Unfinished,
                Bounds {
                    all: settings.limits.unfinished_bytes,
                    peer: settings.limits.unfinished_bytes_of_peer(),
                },
                // One request can be read of every peer, whatever the share.
                settings.limits.request_bytes.saturating_add(PREFIX),
            )),
            subscribed: Subscribed::new(Bounds {
                all: settings.limits.subscribed_bytes,
                peer: settings.limits.subscribed_bytes_of_peer(),
            }),
            process,
            next_stream: AtomicU64::new(1),
            open_streams: AtomicUsize::new(0),
            shutdown,
            draining: AtomicBool::new(false),
            streams: Wakers::default(),
            lanes: Lanes::default(),
            lists: Arc::default(),
            on_demand: Arc::default(),
            memories: Memories::default(),
        }
    }

    /// The node behind a stream's first request, and its group (L-1, L-2).
    pub(super) fn identify(&self, node: Option<core::Node>) -> Result<(Node, NodeGroup), ProtocolError> {
        let node = Node::from(node.ok_or(ProtocolError::MissingNode)?);
        let limits = &self.policies.common().limits;
        limits.check_node(&node)?;
        let group = self.grouping.group_of(&node).ok_or(ProtocolError::NoGroup)?;
        limits.check_group(&group)?;
        Ok((node, group))
    }

    /// The messages of a request's body, within our limits.
    pub(super) fn messages<B>(&self, body: B, peer: Option<SocketAddr>, most: usize) -> Messages<B>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
    {
        let lease = self.unfinished.lease(peer.map(counted_as));
        Messages::new(body, most, lease, self.limits.request_timeout)
    }

    /// What a stream of this peer will ask for.
    pub(super) fn account(&self, peer: Option<SocketAddr>) -> Account {
        Account::new(Arc::clone(&self.subscribed), peer.map(counted_as))
    }

    /// Bytes that names of all streams take.
    pub(super) fn subscribed_bytes(&self) -> usize {
        self.subscribed.bytes()
    }

    /// Counts a stream of a peer that begins, or refuses it at once (L-7).
    pub(super) fn admit(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<Permit, Status> {
        if self.memory.is_exceeded() {
            debug!(?peer, "stream refused: the memory budget is exceeded");
            self.metrics().refused(Refusal::Memory);
            return Err(exhausted(
                "the server uses more memory than its budget (limits.memory): try again later",
                Duration::from_secs(5),
            ));
        }
        if let Some(peer) = peer
            && let Err(wait) = self.peer_rates.take(counted_as(peer), Instant::now())
        {
            debug!(%peer, "stream refused: too many of one address begin at once");
            self.metrics().refused(Refusal::PeerRate);
            return Err(exhausted(
                "too many streams begin at once from one address: try again later",
                wait,
            ));
        }
        let taken = {
            let mut bucket = self.new_streams.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(Instant::now())
        };
        if let Err(wait) = taken {
            let limit = self.limits.new_streams.per_second;
            warn!(limit, "stream refused: too many begin at once");
            self.metrics().refused(Refusal::Rate);
            return Err(exhausted("too many streams begin at once: try again later", wait));
        }
        Permit::acquire(self).ok_or_else(|| {
            warn!(limit = self.limits.streams, "stream refused: too many are open");
            self.metrics().refused(Refusal::Streams);
            exhausted("too many streams are open: try again later", Duration::from_secs(5))
        })
    }

    /// Counts a request that is more than is taken of a stranger.
    pub(super) fn note_refused(&self, error: &RequestError) {
        let reason = match error {
            RequestError::Excess(_) => RequestRefusal::Limit,
            RequestError::Refused(error) if error.kind() == ErrorKind::Exhausted => RequestRefusal::Limit,
            RequestError::Full(_) => RequestRefusal::Subscribed,
            RequestError::Refused(_) | RequestError::Malformed(_) | RequestError::Node(_) | RequestError::Denied(_) => {
                return;
            }
        };
        self.metrics.request_refused(reason);
    }

    /// Counts a request that never became whole, by a limit of ours.
    pub(super) fn note_broken(&self, broken: &Broken) {
        let reason = match broken {
            Broken::Large(..) => RequestRefusal::Limit,
            Broken::Slow(_) => RequestRefusal::Slow,
            Broken::Full(_) => RequestRefusal::Unfinished,
            Broken::Prefix | Broken::End | Broken::Body(_) => return,
        };
        self.metrics.request_refused(reason);
    }

    pub(super) fn metrics(&self) -> &ServingMetrics {
        &self.metrics
    }
}

// === impl Permit ===

impl Permit {
    /// Has the stream's task woken when the streams are to end.
    pub(super) fn register(&self, waker: &Waker) {
        self.slot.register(waker);
    }

    /// The permit of a stream whose client was verified, or a refusal where its identity has too many streams (L-7). A client without
    /// an identity is counted by its address alone.
    pub(super) fn of(mut self, visitor: &Visitor) -> Result<Self, Status> {
        let name = visitor.name();
        if name.is_empty() {
            return Ok(self);
        }
        match self.shared.identities.enter(name) {
            Ok(place) => {
                self.place = Some(place);
                Ok(self)
            }
            Err(refusal) => {
                warn!(identity = visitor.name(), from = %visitor.from, "stream refused: too many of its identity are open");
                self.shared.metrics().refused(Refusal::IdentityStreams);
                Err(exhausted(&refusal.to_string(), Duration::from_secs(5)))
            }
        }
    }

    fn acquire(shared: &Arc<Shared>) -> Option<Self> {
        let most = shared.limits.streams;
        let add = |open: usize| (open < most).then_some(open + 1);
        let taken = shared
            .open_streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        taken.is_ok().then(|| Self {
            shared: Arc::clone(shared),
            slot: shared.streams.join(),
            place: None,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.streams.leave(&self.slot);
        self.shared.open_streams.fetch_sub(1, Ordering::AcqRel);
    }
}
