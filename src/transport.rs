//! The xDS services over gRPC: one driver runs a [`Session`](crate::protocol::Session) over every streaming RPC.
//!
//! The router, the server and HTTP/2 are tonic's; the response bodies are our own, so that streams share bytes instead of
//! copying them.

mod driver;
mod fetch;
mod frame;
mod identity;
mod lists;
mod lrs;
mod messages;
mod rate;
mod request;
mod services;
mod status;
mod wire;

use std::{
    collections::BTreeSet,
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::routing::post;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body, service::Routes, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::warn;

use self::{driver::Permit, frame::Frames, lists::SharedLists, lrs::LoadReports, rate::Bucket, services::Form};
pub use self::{lrs::LrsSettings, rate::Rate};
use crate::{
    cache::{SnapshotCache, Wakers},
    fleet::Fleet,
    metrics::{Refusal, ServingMetrics},
    node::{Grouping, Node},
    proto::envoy::config::core::v3 as core,
    protocol::{Policy, ProtocolError, Variant},
    snapshot::NodeGroup,
};

/// Bounds of the xDS port, each with the reason for its default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one request. gRPC's default of 4 MiB is too small: an Envoy that reconnects in delta lists every name it
    /// holds, 100 000 of them in 10 MB.
    pub request_bytes: usize,
    /// Streams open at once over all connections.
    pub streams: usize,
    /// Streams on one connection: a relay multiplexes many nodes over one (L-8).
    pub streams_per_connection: u32,
    /// HTTP/2 PING when a connection was quiet for so long, to find peers that are gone (L-8).
    pub keepalive_interval: Duration,
    /// How long a PING may go unanswered.
    pub keepalive_timeout: Duration,
    /// How long a stream may take to send its first request.
    pub first_request: Duration,
    /// Over how long streams are ended at shutdown, so that not every client reconnects elsewhere at once (L-7).
    pub drain: Duration,
    /// Streams that may begin a second over all connections: a fleet that reconnects at once is served one part after the
    /// other, instead of all of it slowly (Z-2).
    pub new_streams: Rate,
    /// Requests of one stream that are read a second; more wait in the connection's window (Z-1).
    pub requests: Rate,
}

/// Settings of the xDS port.
#[derive(Clone, Debug, Default)]
pub struct XdsSettings {
    /// Bounds.
    pub limits: Limits,
    /// Node → group.
    pub grouping: Grouping,
    /// The protocol's settings.
    pub policy: Policy,
    /// What clients that report load are asked for.
    pub lrs: LrsSettings,
    /// Groups whose streams are served without make before break.
    pub unordered: BTreeSet<NodeGroup>,
    /// Groups whose clients are sent TTLs though they do not say that they take them (T-1).
    pub ttl: BTreeSet<NodeGroup>,
}

/// The xDS services.
#[derive(Clone)]
pub struct Xds {
    shared: Arc<Shared>,
}

/// What all streams share.
struct Shared {
    cache: SnapshotCache,
    fleet: Arc<Fleet>,
    frames: Frames,
    limits: Limits,
    grouping: Grouping,
    policy: Arc<Policy>,
    lrs: LrsSettings,
    /// The same without make before break, for the groups in `unordered`.
    policy_unordered: Arc<Policy>,
    unordered: BTreeSet<NodeGroup>,
    ttl: BTreeSet<NodeGroup>,
    new_streams: Mutex<Bucket>,
    /// Makes nonces differ between processes (S-1).
    process: String,
    next_stream: AtomicU64,
    open_streams: AtomicUsize,
    shutdown: CancellationToken,
    /// Whether the open streams are to end, and the tasks to tell.
    draining: AtomicBool,
    streams: Wakers,
    /// Lists of names that streams have in common.
    lists: Arc<SharedLists>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 64 * 1024 * 1024,
            streams: 100_000,
            streams_per_connection: 100_000,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            first_request: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            new_streams: Rate { per_second: 2000 },
            requests: Rate { per_second: 1000 },
        }
    }
}

// === impl Xds ===

impl Xds {
    /// Serves what is in `cache`, and enters what happens in `fleet`. From when `shutdown` is cancelled no stream is let in
    /// and load reports end; [`Xds::end_streams`] ends the rest.
    #[must_use]
    pub fn new(cache: SnapshotCache, fleet: Arc<Fleet>, settings: XdsSettings, shutdown: CancellationToken) -> Self {
        let process = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut policy_unordered = settings.policy.clone();
        policy_unordered.ordering.enabled = false;
        let identifier = format!("chancery/{} {process}", env!("CARGO_PKG_VERSION"));
        Self {
            shared: Arc::new(Shared {
                cache,
                fleet,
                frames: Frames::new(identifier),
                limits: settings.limits,
                grouping: settings.grouping,
                policy: Arc::new(settings.policy),
                lrs: settings.lrs,
                policy_unordered: Arc::new(policy_unordered),
                unordered: settings.unordered,
                ttl: settings.ttl,
                new_streams: Mutex::new(Bucket::new(settings.limits.new_streams, Instant::now())),
                process,
                next_stream: AtomicU64::new(1),
                open_streams: AtomicUsize::new(0),
                shutdown,
                draining: AtomicBool::new(false),
                streams: Wakers::default(),
                lists: Arc::default(),
            }),
        }
    }

    /// The discovery services and load reporting.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let mut router = axum::Router::new();
        for rpc in services::rpcs() {
            let shared = Arc::clone(&self.shared);
            let scope = rpc.scope;
            let serve = move |request: Request<axum::body::Body>| {
                let (shared, scope) = (Arc::clone(&shared), scope.clone());
                async move {
                    match rpc.form {
                        Form::Sotw => driver::open(Variant::Sotw, shared, scope, request),
                        Form::Delta => driver::open(Variant::Delta, shared, scope, request),
                        Form::Fetch => fetch::fetch(&shared, scope, request.map(Body::new)).await,
                    }
                }
            };
            router = router.route(&rpc.path, post(serve));
        }
        let unknown = || async { refuse(&Status::unimplemented("no such method on the xDS port")) };
        Routes::from(router.fallback(unknown)).add_service(LoadReports::service(Arc::clone(&self.shared)))
    }

    /// An HTTP/2 server with our limits; its connections are to be accepted elsewhere.
    #[must_use]
    pub fn server(&self) -> Server {
        let limits = self.shared.limits;
        Server::builder()
            .max_concurrent_streams(limits.streams_per_connection)
            .http2_keepalive_interval(Some(limits.keepalive_interval))
            .http2_keepalive_timeout(Some(limits.keepalive_timeout))
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(2 * 1024 * 1024)
            .tcp_nodelay(true)
    }

    /// Ends every discovery stream, each at a moment of its own within [`Limits::drain`].
    pub fn end_streams(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.streams.wake_all();
    }

    /// Streams that are open now.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.shared.open_streams.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Xds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xds")
            .field("open_streams", &self.open_streams())
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// The node behind a stream's first request, and its group (L-1, L-2).
    fn identify(&self, node: Option<core::Node>) -> Result<(Node, NodeGroup), ProtocolError> {
        let node = Node::from(node.ok_or(ProtocolError::MissingNode)?);
        let (len, most) = (node.id.as_str().len(), self.policy.limits.node_id_bytes);
        if len > most {
            return Err(ProtocolError::NodeIdTooLong(len, most));
        }
        let group = self.grouping.group_of(&node).ok_or(ProtocolError::NoGroup)?;
        Ok((node, group))
    }

    /// Counts a stream that begins, or refuses it at once (L-7).
    fn admit(self: &Arc<Self>) -> Result<Permit, Status> {
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

    fn metrics(&self) -> &ServingMetrics {
        self.fleet.metrics()
    }

    /// The settings that hold for a stream of this group.
    fn policy_of(&self, group: &NodeGroup) -> Arc<Policy> {
        let unordered = self.unordered.contains(group);
        Arc::clone(if unordered {
            &self.policy_unordered
        } else {
            &self.policy
        })
    }
}

/// Too much at once, and when to come again.
fn exhausted(message: &str, after: Duration) -> Status {
    // Not all of those that are sent away at once are to come again at once.
    let after = after.max(Duration::from_secs(1));
    let details = ErrorDetails::with_retry_info(Some(after + driver::jitter(after)));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Why a request is not served at all, before its first message is read.
fn check_headers(headers: &HeaderMap) -> Result<(), Status> {
    let encoding = headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    match encoding {
        None | Some(b"identity" | b"") => Ok(()),
        Some(_) => Err(Status::unimplemented(
            "compressed requests are not accepted: use identity",
        )),
    }
}

/// A response that is a status and nothing else.
fn refuse(status: &Status) -> Response<Body> {
    let mut response = respond(Body::empty());
    response.headers_mut().extend(status::trailers(status));
    response
        .headers_mut()
        .insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    response
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
