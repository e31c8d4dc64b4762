//! The one driver: runs a session over the two directions of a stream, inside the response's body.
//!
//! HTTP/2 polls the body only when the client has room for more. So a slow client holds no queue here, its requests wait
//! in the connection's window, and what it is sent next is made from the newest snapshot.

use std::{
    collections::VecDeque,
    future::Future as _,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use tokio::time::Sleep;
use tonic::{Status, body::Body, transport::server::TcpConnectInfo};
use tracing::{Span, debug, info, info_span, warn};

use super::{Shared, check_headers, messages::Messages, rate::Bucket, refuse, respond, status::trailers};
use crate::{
    cache::{SnapshotWatch, WakerSlot},
    fleet::{Protocol, StreamGuard, StreamInfo},
    proto::{
        discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
        envoy::config::core::v3 as core,
    },
    protocol::{Delivery, Features, Outcome, ProtocolError, Scope, Session, Variant},
};

/// Requests taken in before responses are looked at again: one stream must not keep a connection's task to itself.
const REQUESTS_PER_TURN: usize = 64;

/// A request of either variant.
trait DiscoveryMessage: prost::Message + Default + 'static {
    const VARIANT: Variant;

    fn take_node(&mut self) -> Option<core::Node>;

    fn give_to(self, session: &mut Session) -> Result<(), ProtocolError>;
}

/// The response body of one stream.
struct Driver<R> {
    variant: PhantomData<fn() -> R>,
    shared: Arc<Shared>,
    scope: Scope,
    peer: String,
    requests: Messages<axum::body::Body>,
    state: State,
    /// Chunks of the response being written.
    chunks: VecDeque<Bytes>,
    timer: Timer,
    /// How many requests may be read yet, and until when none are (Z-1).
    allowance: Bucket,
    throttled: Option<Instant>,
    /// The moment of the stream's own within the drain time, once the process is to end.
    draining: Option<Pin<Box<Sleep>>>,
    /// Counts the stream as open until it is dropped.
    permit: Permit,
}

enum State {
    /// Waits for the first request.
    Opening,
    Running(Box<Running>),
    /// Writes what is in `chunks`, then this status.
    Ending(Status),
    Ended,
}

/// A stream whose node is known.
struct Running {
    session: Session,
    watch: SnapshotWatch,
    guard: StreamGuard,
    span: Span,
    /// The last refusal that was logged: a node repeats itself (Z-5).
    logged: Option<String>,
    /// A response that is larger than many clients take was logged.
    logged_large: bool,
}

/// Wakes the stream at a moment; made when first needed.
#[derive(Default)]
struct Timer {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// One of the streams that may be open at once.
pub(super) struct Permit {
    shared: Arc<Shared>,
    /// Told when the streams are to end.
    slot: WakerSlot,
}

/// Begins a stream, or refuses it at once (L-7).
pub(super) fn open(
    variant: Variant,
    shared: Arc<Shared>,
    scope: Scope,
    request: Request<axum::body::Body>,
) -> Response<Body> {
    if let Err(status) = check_headers(request.headers()) {
        return refuse(&status);
    }
    if shared.shutdown.is_cancelled() {
        return refuse(&Status::unavailable("the server is shutting down"));
    }
    let permit = match shared.admit() {
        Ok(permit) => permit,
        Err(status) => return refuse(&status),
    };
    match variant {
        Variant::Sotw => respond(Body::new(Driver::<DiscoveryRequest>::new(
            shared, scope, request, permit,
        ))),
        Variant::Delta => respond(Body::new(Driver::<DeltaDiscoveryRequest>::new(
            shared, scope, request, permit,
        ))),
    }
}

// === impl Driver ===

impl<R: DiscoveryMessage> Driver<R> {
    fn new(shared: Arc<Shared>, scope: Scope, request: Request<axum::body::Body>, permit: Permit) -> Self {
        let peer = peer(&request);
        let now = Instant::now();
        let mut timer = Timer::default();
        timer.set(now.checked_add(shared.limits.first_request));
        Self {
            scope,
            peer,
            requests: Messages::new(request.into_body(), shared.limits.request_bytes),
            variant: PhantomData,
            state: State::Opening,
            chunks: VecDeque::new(),
            timer,
            allowance: Bucket::new(shared.limits.requests, now),
            throttled: None,
            draining: None,
            shared,
            permit,
        }
    }

    /// Takes in what came: requests, snapshots, the end. Leaves what there is to say in `chunks` or `state`.
    fn turn(&mut self, cx: &mut Context<'_>) {
        self.take_requests(cx);
        self.check_shutdown(cx);
        let State::Running(running) = &mut self.state else {
            if self.timer.poll(cx).is_ready() && matches!(self.state, State::Opening) {
                self.state = State::Ending(Status::deadline_exceeded("no request came on the stream"));
            }
            return;
        };
        if running.watch.poll_changed(cx).is_ready()
            && let Some(snapshot) = running.watch.current()
        {
            running.session.on_snapshot(snapshot);
        }
        let now = Instant::now();
        let response = running.session.poll_response(now);
        running.record_outcomes();
        if let Some(response) = response {
            let variant = R::VARIANT;
            debug!(
                parent: &running.span, resource_type = %response.delivery.resource_type,
                version = %response.delivery.version, nonce = %response.delivery.nonce,
                resources = response.resources.len(), removed = response.removed.len(), "sent"
            );
            let chunks = self.shared.frames.encode(variant, &response);
            running.note_size(&response.delivery, &chunks, self.shared.policy.limits.response_bytes);
            self.chunks = chunks.into();
        } else {
            let next = running.session.poll_timeout().into_iter().chain(self.throttled).min();
            self.timer.set(next);
            if self.timer.poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    fn take_requests(&mut self, cx: &mut Context<'_>) {
        for _ in 0..REQUESTS_PER_TURN {
            if matches!(self.state, State::Ending(_) | State::Ended) {
                return;
            }
            if self.throttled.is_some_and(|until| Instant::now() < until) {
                return;
            }
            self.throttled = None;
            let next = self
                .requests
                .poll_next(cx)
                .map_ok(decode::<R>)
                .map(|next| next.map(Result::flatten));
            match next {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(request))) => {
                    let now = Instant::now();
                    let wait = self.allowance.spend(now);
                    self.throttled = (!wait.is_zero()).then(|| now.checked_add(wait)).flatten();
                    if let Err(error) = self.on_request(request) {
                        warn!(peer = %self.peer, %error, "stream ended: bad request");
                        self.end(error.into());
                    }
                }
                Poll::Ready(Some(Err(status))) => {
                    debug!(peer = %self.peer, %status, "stream broke");
                    self.end(status);
                }
                // L-6: the client is done, so are we.
                Poll::Ready(None) => self.end(Status::ok("")),
            }
        }
        cx.waker().wake_by_ref();
    }

    fn on_request(&mut self, mut request: R) -> Result<(), ProtocolError> {
        if matches!(self.state, State::Opening) {
            let running = self.begin(&mut request)?;
            self.state = State::Running(Box::new(running));
            self.timer.set(None);
        }
        match &mut self.state {
            State::Running(running) => request.give_to(&mut running.session),
            State::Opening | State::Ending(_) | State::Ended => Ok(()),
        }
    }

    /// Learns from the first request who the client is (L-1).
    fn begin(&self, request: &mut R) -> Result<Running, ProtocolError> {
        let shared = &self.shared;
        let (node, group) = shared.identify(request.take_node())?;
        let stream = format!(
            "{}-{}",
            shared.process,
            shared.next_stream.fetch_add(1, Ordering::Relaxed)
        );
        let policy = shared.policy_of(&group);
        let mut session = Session::new(
            R::VARIANT,
            self.scope.clone(),
            policy,
            stream.into(),
            node.id.to_string(),
        )
        .with_features(Features::of(&node, R::VARIANT, shared.ttl.contains(&group)))
        .with_names(Arc::clone(&shared.names));
        let mut watch = shared.cache.subscribe(&group);
        if let Some(snapshot) = watch.current() {
            session.on_snapshot(snapshot);
        }
        let info = StreamInfo {
            protocol: Protocol::Grpc(R::VARIANT),
            aggregated: self.scope == Scope::Aggregated,
            peer: self.peer.clone(),
        };
        let guard = shared.fleet.open_stream(&node, &group, info);
        // Debug formatting escapes what a client put into its id.
        let span = info_span!("xds_stream", id = guard.stream_id(), node = ?node.id, group = ?group);
        info!(parent: &span, peer = %self.peer, variant = ?R::VARIANT, agent = ?node.user_agent, "stream opened");
        Ok(Running {
            session,
            watch,
            guard,
            span,
            logged: None,
            logged_large: false,
        })
    }

    /// Ends the stream, after what is being written.
    fn end(&mut self, status: Status) {
        if let State::Running(running) = &self.state {
            info!(parent: &running.span, code = ?status.code(), "stream ended");
        }
        self.state = State::Ending(status);
    }

    fn check_shutdown(&mut self, cx: &mut Context<'_>) {
        self.permit.slot.register(cx.waker());
        if self.draining.is_none() && self.shared.draining.load(Ordering::Acquire) {
            let window = self.shared.limits.drain;
            self.draining = Some(Box::pin(tokio::time::sleep(jitter(window))));
        }
        if let Some(moment) = &mut self.draining
            && moment.as_mut().poll(cx).is_ready()
            && matches!(self.state, State::Opening | State::Running(_))
        {
            self.end(Status::unavailable("the server is shutting down: reconnect"));
        }
    }
}

impl<R: DiscoveryMessage> http_body::Body for Driver<R> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let driver = self.get_mut();
        if driver.chunks.is_empty() && matches!(driver.state, State::Opening | State::Running(_)) {
            driver.turn(cx);
        }
        if let Some(chunk) = driver.chunks.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match std::mem::replace(&mut driver.state, State::Ended) {
            State::Ending(status) => Poll::Ready(Some(Ok(Frame::trailers(trailers(&status))))),
            State::Ended => Poll::Ready(None),
            waiting @ (State::Opening | State::Running(_)) => {
                driver.state = waiting;
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) && self.chunks.is_empty()
    }
}

// === impl Running ===

impl Running {
    /// Enters what happened in the books and the log.
    fn record_outcomes(&mut self) {
        while let Some(outcome) = self.session.poll_outcome() {
            self.guard.record(&outcome);
            self.log(&outcome);
        }
    }

    /// L-13: a response that could not be divided may be more than the client takes.
    fn note_size(&mut self, delivery: &Delivery, chunks: &[Bytes], most: usize) {
        let bytes = chunks.iter().map(Bytes::len).sum();
        if bytes <= most {
            return;
        }
        self.guard.record_large(delivery, bytes);
        if !self.logged_large {
            self.logged_large = true;
            debug!(
                parent: &self.span, resource_type = %delivery.resource_type, version = %delivery.version, bytes,
                "large response: gRPC clients take 4 MiB unless told otherwise"
            );
        }
    }

    fn log(&mut self, outcome: &Outcome) {
        let _entered = self.span.enter();
        match outcome {
            Outcome::Subscribed {
                resource_type,
                subscription,
            } => {
                let (wildcard, names) = (subscription.is_wildcard(), subscription.names().len());
                debug!(%resource_type, wildcard, names, "subscribed");
            }
            // Logged with what the response carries.
            Outcome::Sent(_) => {}
            Outcome::Ack(sent) => {
                debug!(resource_type = %sent.resource_type, version = %sent.version, nonce = %sent.nonce, "ACK");
            }
            Outcome::Nack {
                delivery,
                code,
                message,
            } => {
                if self.logged.as_ref() != Some(message) {
                    let short: String = message.chars().take(1000).collect();
                    warn!(
                        resource_type = %delivery.resource_type, version = %delivery.version, nonce = %delivery.nonce,
                        revision = %delivery.revision, code, error = ?short, "NACK"
                    );
                    self.logged = Some(message.clone());
                }
            }
            Outcome::StaleNonce { resource_type } => debug!(%resource_type, "stale nonce"),
            Outcome::Presented(held) => {
                debug!(resource_type = %held.resource_type, version = %held.version, "already held");
            }
            Outcome::Ignored(sent) => debug!(resource_type = %sent.resource_type, nonce = %sent.nonce, "ignored"),
            Outcome::Missing {
                resource_type,
                names,
                sample,
            } => debug!(%resource_type, names, ?sample, "asked for in vain"),
            Outcome::Synced(revision) => debug!(%revision, "synced"),
            Outcome::Blocked(revision) => debug!(%revision, "blocked by what was refused"),
            Outcome::Standing(standing) => {
                let waits: Vec<_> = standing
                    .waits
                    .iter()
                    .map(|wait| wait.resource_type.to_string())
                    .collect();
                debug!(?waits, held = standing.held, "order");
            }
        }
    }
}

// === impl Timer ===

impl Timer {
    fn set(&mut self, at: Option<Instant>) {
        if self.at == at {
            return;
        }
        self.at = at;
        match (at, &mut self.sleep) {
            // Most streams never wait again.
            (None, _) => self.sleep = None,
            (Some(at), Some(sleep)) => sleep.as_mut().reset(at.into()),
            (Some(at), None) => self.sleep = Some(Box::pin(tokio::time::sleep_until(at.into()))),
        }
    }

    /// Ready once, when the moment has come.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(_), Some(sleep)) = (self.at, &mut self.sleep) else {
            return Poll::Pending;
        };
        ready!(sleep.as_mut().poll(cx));
        self.at = None;
        Poll::Ready(())
    }
}

// === impl Permit ===

impl Permit {
    pub(super) fn acquire(shared: &Arc<Shared>) -> Option<Self> {
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

// === impl DiscoveryMessage ===

impl DiscoveryMessage for DiscoveryRequest {
    const VARIANT: Variant = Variant::Sotw;

    fn take_node(&mut self) -> Option<core::Node> {
        self.node.take()
    }

    fn give_to(self, session: &mut Session) -> Result<(), ProtocolError> {
        session.on_sotw_request(self)
    }
}

impl DiscoveryMessage for DeltaDiscoveryRequest {
    const VARIANT: Variant = Variant::Delta;

    fn take_node(&mut self) -> Option<core::Node> {
        self.node.take()
    }

    fn give_to(self, session: &mut Session) -> Result<(), ProtocolError> {
        session.on_delta_request(self)
    }
}

fn decode<R: DiscoveryMessage>(message: Bytes) -> Result<R, Status> {
    R::decode(message).map_err(|error| Status::internal(format!("the request is not what its method takes: {error}")))
}

fn peer<B>(request: &Request<B>) -> String {
    let info = request.extensions().get::<TcpConnectInfo>();
    let address = info.and_then(TcpConnectInfo::remote_addr);
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// Some moment within `window`, another for each stream. The wall clock's nanoseconds are random enough.
pub(super) fn jitter(window: Duration) -> Duration {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    window.mul_f64(f64::from(nanos % 1_000_000) / 1_000_000.0)
}
