//! The state that all streams share: settings, the cache, limits.

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

/// The state that all streams share.
pub(super) struct Shared {
    pub(super) cache: SnapshotCache,
    pub(super) fleet: Arc<Fleet>,
    metrics: Arc<ServingMetrics>,
    /// Authenticates clients and admits nodes.
    pub(super) authority: Authority,
    pub(super) frames: Frames,
    pub(super) limits: Limits,
    pub(super) grouping: Grouping,
    pub(super) policies: Policies,
    pub(super) lrs: LrsSettings,
    pub(super) ttl: BTreeSet<NodeGroup>,
    /// New streams are refused while the budget is exceeded.
    memory: MemoryBudget,
    new_streams: Mutex<Bucket>,
    /// The share of one peer in `new_streams`.
    peer_rates: PeerRates,
    /// The number of open streams per identity.
    identities: Arc<Identities>,
    /// Bytes of incomplete requests.
    unfinished: Arc<Ledger>,
    /// Bytes of what streams subscribe to.
    subscribed: Arc<Subscribed>,
    /// The part of a nonce that differs between processes (S-1).
    pub(super) process: String,
    pub(super) next_stream: AtomicU64,
    pub(super) open_streams: AtomicUsize,
    pub(super) shutdown: CancellationToken,
    /// True once the open streams must end; `streams` wakes their tasks.
    pub(super) draining: AtomicBool,
    pub(super) streams: Wakers,
    /// The lanes for requests and responses with many names.
    pub(super) lanes: Lanes,
    /// Lists of names, shared by streams with equal ones.
    pub(super) lists: Arc<SharedLists>,
    /// Names on demand, shared by the streams of a node.
    pub(super) on_demand: Arc<OnDemand>,
    /// The state that the last streams of nodes left.
    pub(super) memories: Memories,
}

/// The permit of one open stream.
pub(super) struct Permit {
    shared: Arc<Shared>,
    /// Woken when the streams must end.
    slot: WakerSlot,
    /// The place among the streams of its identity, if the client has one.
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
                // Every peer may send one request of the largest size, whatever its share.
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

    /// The node of a stream's first request, and its group (L-1, L-2).
    pub(super) fn identify(&self, node: Option<core::Node>) -> Result<(Node, NodeGroup), ProtocolError> {
        let node = Node::from(node.ok_or(ProtocolError::MissingNode)?);
        let limits = &self.policies.common().limits;
        limits.check_node(&node)?;
        let group = self.grouping.group_of(&node).ok_or(ProtocolError::NoGroup)?;
        limits.check_group(&group)?;
        Ok((node, group))
    }

    /// The messages of a request's body, within the limits.
    pub(super) fn messages<B>(&self, body: B, peer: Option<SocketAddr>, most: usize) -> Messages<B>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
    {
        let lease = self.unfinished.lease(peer.map(counted_as));
        Messages::new(body, most, lease, self.limits.request_timeout)
    }

    /// The account of the names of one stream.
    pub(super) fn account(&self, peer: Option<SocketAddr>) -> Account {
        Account::new(Arc::clone(&self.subscribed), peer.map(counted_as))
    }

    /// Bytes that the names of all streams use.
    pub(super) fn subscribed_bytes(&self) -> usize {
        self.subscribed.bytes()
    }

    /// Counts a new stream of a peer, or refuses it at once (L-7).
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

    /// Counts a request that exceeds a limit.
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

    /// Counts a request that stayed incomplete because of a limit.
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
    /// Registers the task that is woken when the streams must end.
    pub(super) fn register(&self, waker: &Waker) {
        self.slot.register(waker);
    }

    /// The permit of a stream whose client was verified, or a refusal if its identity has too many streams (L-7). A
    /// client without an identity counts by its address alone.
    pub(super) fn of(mut self, visitor: &Visitor) -> Result<Self, Status> {
        let name = visitor.name();
        if name.is_empty() {
            return Ok(self);
        }
        match self.shared.identities.take(name) {
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
