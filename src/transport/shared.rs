//! The state that all streams share: settings, the cache, who may begin.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::warn;

use super::{
    frame::Frames,
    lists::SharedLists,
    memories::Memories,
    on_demand::OnDemand,
    rate::Bucket,
    settings::{Limits, LrsSettings, XdsSettings},
    timer::jitter,
};
use crate::{
    authority::Authority,
    cache::{SnapshotCache, WakerSlot, Wakers},
    fleet::Fleet,
    metrics::{Refusal, ServingMetrics},
    node::{Grouping, Node, NodeGroup},
    proto::envoy::config::core::v3 as core,
    protocol::{Policies, ProtocolError},
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
    pub(super) new_streams: Mutex<Bucket>,
    /// Makes nonces differ between processes (S-1).
    pub(super) process: String,
    pub(super) next_stream: AtomicU64,
    pub(super) open_streams: AtomicUsize,
    pub(super) shutdown: CancellationToken,
    /// Whether the open streams are to end, and the tasks to tell.
    pub(super) draining: AtomicBool,
    pub(super) streams: Wakers,
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
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(
        cache: SnapshotCache,
        fleet: Arc<Fleet>,
        metrics: Arc<ServingMetrics>,
        authority: Authority,
        settings: XdsSettings,
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
            new_streams: Mutex::new(Bucket::new(settings.limits.new_streams, Instant::now())),
            process,
            next_stream: AtomicU64::new(1),
            open_streams: AtomicUsize::new(0),
            shutdown,
            draining: AtomicBool::new(false),
            streams: Wakers::default(),
            lists: Arc::default(),
            on_demand: Arc::default(),
            memories: Memories::default(),
        }
    }

    /// The node behind a stream's first request, and its group (L-1, L-2).
    pub(super) fn identify(&self, node: Option<core::Node>) -> Result<(Node, NodeGroup), ProtocolError> {
        let node = Node::from(node.ok_or(ProtocolError::MissingNode)?);
        let (len, most) = (node.id.as_str().len(), self.policies.common().limits.node_id_bytes);
        if len > most {
            return Err(ProtocolError::NodeIdTooLong(len, most));
        }
        let group = self.grouping.group_of(&node).ok_or(ProtocolError::NoGroup)?;
        Ok((node, group))
    }

    /// Counts a stream that begins, or refuses it at once (L-7).
    pub(super) fn admit(self: &Arc<Self>) -> Result<Permit, Status> {
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

    fn acquire(shared: &Arc<Shared>) -> Option<Self> {
        let most = shared.limits.streams;
        let add = |open: usize| (open < most).then_some(open + 1);
        let taken = shared
            .open_streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        taken.is_ok().then(|| Self {
            shared: Arc::clone(shared),
            slot: shared.streams.join(),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.streams.leave(&self.slot);
        self.shared.open_streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Too much at once, and when to come again.
fn exhausted(message: &str, after: Duration) -> Status {
    // Not all of those that are sent away at once are to come again at once.
    let after = after.max(Duration::from_secs(1));
    let details = ErrorDetails::with_retry_info(Some(after + jitter(after)));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}
