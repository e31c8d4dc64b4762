//! Load reports (LRS, C-2): tells clients which clusters to report on and how often, and records their reports.
//!
//! There is no discovery here, so no session: the response stream reads the requests itself.

mod report;

use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::Body as RequestBody;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, Response};
use http_body::Frame;
use prost::Message as _;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, body::Body};
use tracing::{debug, info, warn};

use self::report::Report;
use super::{
    admittance::Admittance,
    answer::{check_headers, refuse, respond},
    error::RequestError,
    messages::Messages,
    peer,
    rate::Bucket,
    request,
    shared::{Permit, Shared},
    status::trailers,
    timer::Timer,
};
use crate::{
    authority::Visitor,
    cache::SnapshotWatch,
    metrics::Refusal,
    node::{Node, NodeId},
    proto::envoy::service::load_stats::v3::LoadStatsResponse,
    resource::ResourceType,
    snapshot::Snapshot,
};

/// The path of the only method.
pub(super) const PATH: &str = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";

/// The client feature for "all clusters" (F).
const ALL_CLUSTERS: &str = "envoy.lrs.supports_send_all_clusters";

/// The path of the RPC.
const ACTION: &str = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";

/// Requests per turn, so that one stream does not hold the connection's task.
const REQUESTS_PER_TURN: usize = 16;

/// The response body of one client.
struct LoadStream {
    shared: Arc<Shared>,
    requests: Messages<RequestBody>,
    visitor: Visitor,
    state: LrsState,
    /// The reports that may be read yet, and the time until which reading is suspended (Z-1).
    allowance: Bucket,
    throttled: Timer,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Ends the stream at its age limit, so that the client opens a new one.
    age: Timer,
    /// Counts the stream as open until the permit is dropped.
    permit: Permit,
}

enum LrsState {
    /// Waits for the first request until the time is over.
    Opening(Pin<Box<Sleep>>),
    Reporting(Box<Reporter>),
    Ended,
}

/// A client whose node is known.
struct Reporter {
    node: NodeId,
    admittance: Admittance,
    asked: Asked,
}

/// The clusters that the client is asked to report on.
enum Asked {
    /// All clusters, asked for once.
    All { asked: bool },
    /// The clusters of its group's snapshot, asked for again when they change.
    Named {
        watch: SnapshotWatch,
        last: Option<Vec<String>>,
    },
}

/// Begins a stream of load reports, or refuses it at once (L-7).
pub(super) async fn open(shared: Arc<Shared>, request: Request<RequestBody>) -> Response<Body> {
    if let Err(status) = check_headers(request.headers()) {
        shared.metrics().refused(Refusal::Encoding);
        return refuse(&status);
    }
    if shared.shutdown.is_cancelled() {
        shared.metrics().refused(Refusal::Shutdown);
        return refuse(&shutting_down());
    }
    let peer = peer::address(request.extensions());
    let permit = match shared.admit(peer) {
        Ok(permit) => permit,
        Err(status) => return refuse(&status),
    };
    let visitor = match shared.visitor(request.extensions(), request.headers(), ACTION).await {
        Ok(visitor) => visitor,
        Err(status) => {
            shared.metrics().refused(Refusal::Identity);
            return refuse(&status);
        }
    };
    let permit = match permit.of(&visitor) {
        Ok(permit) => permit,
        Err(status) => return refuse(&status),
    };
    let patience = tokio::time::sleep(shared.limits.first_request);
    let mut age = Timer::default();
    let until = shared.limits.stream_age();
    age.set(until.and_then(|until| Instant::now().checked_add(until)));
    respond(Body::new(LoadStream {
        age,
        requests: shared.messages(request.into_body(), peer, shared.lrs.request_bytes),
        state: LrsState::Opening(Box::pin(patience)),
        allowance: Bucket::new(shared.limits.requests, Instant::now()),
        throttled: Timer::default(),
        shutdown: Box::pin(shared.shutdown.clone().cancelled_owned()),
        shared,
        visitor,
        permit,
    }))
}

// === impl LoadStream ===

impl LoadStream {
    fn on_request(&mut self, message: &[u8]) -> Result<(), RequestError> {
        let limits = &self.shared.policies.common().limits;
        let report = Report::read(message, &self.shared.lrs, limits.name_bytes)?;
        if matches!(self.state, LrsState::Opening(_)) {
            let node = report.node.as_deref();
            let node = node.map(|node| request::decode_node(node, limits)).transpose()?;
            let (node, group) = self.shared.identify(node)?;
            let admitted = self.shared.authority.admit(&self.visitor, &node.id, &group, ACTION)?;
            info!(node = ?node.id, group = ?group, "load report stream opened");
            self.state = LrsState::Reporting(Box::new(Reporter {
                asked: Asked::of(&node, || self.shared.cache.subscribe(&group)),
                node: node.id,
                admittance: Admittance::new(admitted, ACTION.into(), self.shared.limits.drain),
            }));
        }
        if let LrsState::Reporting(reporter) = &self.state
            && !report.clusters.is_empty()
        {
            debug!(node = ?reporter.node, clusters = report.clusters.len(), "load report");
            self.shared.fleet.record_load(&reporter.node, report.clusters);
        }
        Ok(())
    }

    /// Handles the requests that arrived; `Ready` if the stream ends.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.throttled.is_set() {
            ready!(self.throttled.poll(cx));
        }
        for _ in 0..REQUESTS_PER_TURN {
            let message = match ready!(self.requests.poll_next(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(broken)) => {
                    self.shared.note_broken(&broken);
                    return Poll::Ready(Err(broken.into()));
                }
                Some(Ok(message)) => message,
            };
            let now = Instant::now();
            let wait = self.allowance.spend(now);
            if let Err(error) = self.on_request(&message) {
                self.shared.note_refused(&error);
                warn!(%error, "load report stream ended: bad request");
                return Poll::Ready(Err(error.into()));
            }
            if !wait.is_zero() {
                self.throttled.set(now.checked_add(wait));
                ready!(self.throttled.poll(cx));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<LoadStatsResponse, Status>>> {
        // Registered before the check, so that no change of the rules is missed.
        self.permit.register(cx.waker());
        let mut ended = self.poll_requests(cx);
        if let LrsState::Reporting(reporter) = &mut self.state
            && let Err(dismissal) = reporter.admittance.poll(cx, &self.shared.authority)
        {
            ended = Poll::Ready(Err(dismissal.into()));
        }
        if self.shutdown.as_mut().poll(cx).is_ready() {
            ended = Poll::Ready(Err(shutting_down()));
        }
        if self.age.poll(cx).is_ready() {
            ended = Poll::Ready(Err(Status::unavailable(
                "the stream has reached its maximum age: reconnect",
            )));
        }
        if let LrsState::Opening(patience) = &mut self.state
            && patience.as_mut().poll(cx).is_ready()
        {
            ended = Poll::Ready(Err(Status::deadline_exceeded("no request came on the stream")));
        }
        if let Poll::Ready(end) = ended {
            self.state = LrsState::Ended;
            return Poll::Ready(end.err().map(Err));
        }
        let LrsState::Reporting(reporter) = &mut self.state else {
            return Poll::Pending;
        };
        let interval = self.shared.lrs.interval;
        reporter
            .asked
            .poll_response(cx, interval)
            .map(|response| Some(Ok(response)))
    }
}

impl http_body::Body for LoadStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let stream = self.get_mut();
        if matches!(stream.state, LrsState::Ended) {
            return Poll::Ready(None);
        }
        let frame = match ready!(stream.poll_response(cx)) {
            Some(Ok(response)) => Frame::data(framed(&response)),
            Some(Err(status)) => Frame::trailers(trailers(&status)),
            None => Frame::trailers(trailers(&Status::ok(""))),
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

/// A message in gRPC's framing: not compressed, its length, its bytes.
fn framed(response: &LoadStatsResponse) -> Bytes {
    let len = response.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + len);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    response.encode(&mut bytes).expect("a buffer of bytes grows");
    bytes.freeze()
}

// === impl Asked ===

impl Asked {
    fn of(node: &Node, subscribe: impl FnOnce() -> SnapshotWatch) -> Self {
        if node.client_features.iter().any(|feature| feature == ALL_CLUSTERS) {
            Self::All { asked: false }
        } else {
            Self::Named {
                watch: subscribe(),
                last: None,
            }
        }
    }

    /// The next request for reports. A group without a snapshot is met with silence.
    fn poll_response(&mut self, cx: &mut Context<'_>, interval: Duration) -> Poll<LoadStatsResponse> {
        let load_reporting_interval = prost_types::Duration::try_from(interval).ok();
        match self {
            Self::All { asked: true } => Poll::Pending,
            Self::All { asked } => {
                *asked = true;
                Poll::Ready(LoadStatsResponse {
                    send_all_clusters: true,
                    load_reporting_interval,
                    ..LoadStatsResponse::default()
                })
            }
            Self::Named { watch, last } => loop {
                let changed = watch.poll_changed(cx).is_ready();
                // The watch reports only later changes, so the first look goes on without one.
                if !changed && last.is_some() {
                    return Poll::Pending;
                }
                let Some(snapshot) = watch.current() else {
                    return Poll::Pending;
                };
                let clusters = cluster_names(&snapshot);
                if last.as_ref() != Some(&clusters) {
                    *last = Some(clusters.clone());
                    return Poll::Ready(LoadStatsResponse {
                        clusters,
                        load_reporting_interval,
                        ..LoadStatsResponse::default()
                    });
                }
            },
        }
    }
}

fn cluster_names(snapshot: &Snapshot) -> Vec<String> {
    let clusters = snapshot.get(&ResourceType::Cluster);
    let names = clusters.into_iter().flat_map(|clusters| clusters.iter());
    names.map(|cluster| cluster.name.to_string()).collect()
}

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}
