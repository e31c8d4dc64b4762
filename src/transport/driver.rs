//! The driver of a stream: runs a session over the stream's two directions, inside the response's body.
//!
//! HTTP/2 polls the body only if the client has room for more. So a slow client has no queue here: its requests wait in
//! the connection's window, and its next response is made from the newest snapshot.

mod running;
mod served;

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use tokio::time::Sleep;
use tonic::{Status, body::Body};
use tracing::{Span, debug, error, info, info_span, warn};

use self::running::Running;
use super::{
    admittance::Admittance,
    answer::{check_headers, refuse, respond},
    error::RequestError,
    frame::Chunks,
    lanes::{LARGE, PAUSE},
    messages::Messages,
    peer,
    rate::Bucket,
    request,
    shared::{Permit, Shared},
    status::trailers,
    subscribed::Account,
    timer::{Timer, jitter},
};
use crate::{
    authority::Visitor,
    connection::Pace,
    fleet::{Protocol, StreamInfo},
    metrics::{PanicPart, Refusal, StatusCode},
    proto::envoy::config::core::v3 as core,
    protocol::{Features, Lists, ProtocolError, Scope, Session, Variant},
    resource::ResourceType,
};

/// Requests per turn, so that one stream does not hold the connection's task.
const REQUESTS_PER_TURN: usize = 64;

/// Bytes of requests after which a turn ends.
const BYTES_PER_TURN: usize = 64 * 1024;

/// The time after which a turn stops reading requests, so that other tasks can run.
const TURN: Duration = Duration::from_millis(5);

/// The duration of a turn from which the next turns run in a lane.
const LONG: Duration = Duration::from_millis(50);

/// The time that a client has to read a response before it counts as slow.
const SLOW: Duration = Duration::from_secs(5);

/// The response body of one stream.
struct Driver {
    variant: Variant,
    shared: Arc<Shared>,
    scope: Scope,
    /// The path of the RPC.
    action: Arc<str>,
    visitor: Visitor,
    peer: String,
    requests: Messages<axum::body::Body>,
    /// A large request that waits for a lane.
    waiting: Option<Bytes>,
    /// True once a request was large or a turn took long: with many names, the responses take long as well.
    large: bool,
    pause: Timer,
    state: DriverState,
    /// The stream's account of names, globs and presented versions.
    account: Account,
    /// Chunks of the response being written.
    chunks: Chunks,
    /// The time of the last response, until the client has read it.
    given: Option<Instant>,
    timer: Timer,
    /// The requests that may be read yet, and the time until which reading is suspended (Z-1).
    allowance: Bucket,
    throttled: Option<Instant>,
    /// The time at which this stream ends, once the process shuts down.
    draining: Option<Pin<Box<Sleep>>>,
    /// The time at which the stream reaches its age limit.
    until: Option<Instant>,
    /// The type of the last request, for the log.
    asked: Option<ResourceType>,
    /// The reading pace of the client.
    pace: Option<Arc<Pace>>,
    /// The status of the stream. Until it ends, the status in case the connection breaks.
    ended: StatusCode,
    /// Counts the stream as open until the permit is dropped.
    permit: Permit,
}

enum DriverState {
    /// Waits for the first request.
    Opening,
    Running(Box<Running>),
    /// Writes the rest of `chunks`, then this status.
    Ending(Status),
    Ended,
}

/// Begins a stream, or refuses it at once (L-7).
pub(super) async fn open(
    variant: Variant,
    shared: Arc<Shared>,
    scope: Scope,
    action: Arc<str>,
    request: Request<axum::body::Body>,
) -> Response<Body> {
    if let Err(status) = check_headers(request.headers()) {
        shared.metrics().refused(Refusal::Encoding);
        return refuse(&status);
    }
    if shared.shutdown.is_cancelled() {
        shared.metrics().refused(Refusal::Shutdown);
        return refuse(&Status::unavailable("the server is shutting down"));
    }
    let permit = match shared.admit(peer::address(request.extensions())) {
        Ok(permit) => permit,
        Err(status) => return refuse(&status),
    };
    let visitor = match shared.visitor(request.extensions(), request.headers(), &action).await {
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
    respond(Body::new(Driver::new(
        variant, shared, scope, action, visitor, request, permit,
    )))
}

// === impl Driver ===

impl Driver {
    fn new(
        variant: Variant,
        shared: Arc<Shared>,
        scope: Scope,
        action: Arc<str>,
        visitor: Visitor,
        request: Request<axum::body::Body>,
        permit: Permit,
    ) -> Self {
        let peer = peer::address(request.extensions());
        let pace = request.extensions().get().cloned();
        let now = Instant::now();
        let mut timer = Timer::default();
        timer.set(now.checked_add(shared.limits.first_request));
        Self {
            scope,
            action,
            visitor,
            peer: peer.map_or_else(|| "unknown".to_owned(), |address| address.to_string()),
            requests: shared.messages(request.into_body(), peer, shared.limits.request_bytes),
            waiting: None,
            large: false,
            pause: Timer::default(),
            variant,
            state: DriverState::Opening,
            account: shared.account(peer),
            chunks: Chunks::default(),
            given: None,
            timer,
            allowance: Bucket::new(shared.limits.requests, now),
            throttled: None,
            draining: None,
            until: shared.limits.stream_age().and_then(|age| now.checked_add(age)),
            asked: None,
            pace,
            ended: StatusCode::Dropped,
            shared,
            permit,
        }
    }

    /// Handles requests, snapshots and the end of the stream. The results are in `chunks` and `state`.
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.take_requests(cx, now);
        self.check_shutdown(cx, now);
        self.check_admittance(cx);
        if self.waiting.is_some() {
            self.pause(cx, now);
        }
        if !self.large {
            self.answer(cx, now);
        } else if let Some(lane) = self.shared.lanes.enter() {
            lane.run(|| self.answer(cx, now));
        } else {
            self.pause(cx, now);
        }
    }

    /// Schedules another turn soon, as all lanes are taken.
    fn pause(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.pause.set(now.checked_add(PAUSE));
        if self.pause.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Makes the next response, if there is one.
    fn answer(&mut self, cx: &mut Context<'_>, now: Instant) {
        let DriverState::Running(running) = &mut self.state else {
            if self.timer.poll(cx).is_ready() && matches!(self.state, DriverState::Opening) {
                self.end(Status::deadline_exceeded("no request came on the stream"));
            }
            return;
        };
        if running.watch.poll_changed(cx).is_ready()
            && let Some(snapshot) = running.watch.current()
        {
            let revision = snapshot.revision();
            running.on_publish(revision, self.shared.cache.began(revision));
            running
                .session
                .on_snapshot(running.admittance.view(snapshot, &self.shared.authority));
        }
        running.exchange_names(cx, now);
        let response = running.session.poll_response(now);
        let done = running.record_outcomes(self.shared.metrics(), now);
        self.large |= done.is_some_and(|done| done >= now + LONG);
        if let Some(response) = response {
            debug!(
                parent: &running.span, resource_type = %response.delivery.resource_type,
                version = %response.delivery.version, nonce = %response.delivery.nonce,
                resources = response.resources.len(), removed = response.removed.len(), "sent"
            );
            let chunks = self.shared.frames.encode(self.variant, &response);
            let most = self.shared.policies.common().limits.response_bytes;
            running.note_size(&response.delivery, chunks.bytes(), most);
            self.given = Some(now);
            self.chunks = chunks;
        } else {
            let times = [running.session.poll_timeout(), self.throttled, self.until];
            let next = times.into_iter().flatten().min();
            self.timer.set(next);
            if self.timer.poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    fn take_requests(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut bytes = 0;
        for taken in 0..REQUESTS_PER_TURN {
            if matches!(self.state, DriverState::Ending(_) | DriverState::Ended) {
                return;
            }
            if let Some(message) = self.waiting.take() {
                if !self.take_large(message) {
                    return;
                }
                break;
            }
            // Reading the clock has a cost. Nearly every turn has one request, and only large ones take long.
            if bytes >= BYTES_PER_TURN || (taken > 1 && now.elapsed() >= TURN) {
                break;
            }
            if self.throttled.is_some_and(|until| now < until) {
                return;
            }
            self.throttled = None;
            match self.requests.poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(message))) => {
                    self.shared.metrics().requested(Protocol::Grpc(self.variant).into());
                    let wait = self.allowance.spend(now);
                    self.throttled = (!wait.is_zero()).then(|| now.checked_add(wait)).flatten();
                    if self.large || message.len() >= LARGE {
                        self.waiting = Some(message);
                        continue;
                    }
                    bytes += message.len();
                    self.on_message(&message);
                }
                Poll::Ready(Some(Err(broken))) => {
                    debug!(peer = %self.peer, %broken, "stream broke");
                    self.shared.note_broken(&broken);
                    self.end(broken.into());
                }
                // L-6: the client ended its direction, so the stream ends.
                Poll::Ready(None) => self.end(Status::ok("")),
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Handles a large request if a lane is free; otherwise the request waits.
    fn take_large(&mut self, message: Bytes) -> bool {
        let Some(lane) = self.shared.lanes.enter() else {
            self.waiting = Some(message);
            return false;
        };
        self.large = true;
        lane.run(|| self.on_message(&message));
        self.requests.release();
        true
    }

    fn on_message(&mut self, message: &Bytes) {
        let taken = self.take_message(message);
        if let Err(error) = taken {
            self.shared.note_refused(&error);
            match &error {
                RequestError::Malformed(_) | RequestError::Node(_) => debug!(peer = %self.peer, %error, "stream broke"),
                RequestError::Excess(_) | RequestError::Full(_) | RequestError::Refused(_) => {
                    warn!(peer = %self.peer, %error, "stream ended: bad request");
                }
                RequestError::Denied(denial) => warn!(peer = %self.peer, %denial, "stream ended: not allowed"),
            }
            self.end(error.into());
        }
    }

    fn take_message(&mut self, message: &[u8]) -> Result<(), RequestError> {
        let limits = self.shared.policies.common().limits;
        let incoming = request::read(self.variant, message, &limits)?;
        self.asked = match &self.scope {
            Scope::Aggregated => ResourceType::from_type_url(incoming.request.type_url),
            Scope::Single(kind) => Some(kind.clone()),
        };
        if matches!(self.state, DriverState::Opening) {
            let running = self.begin(incoming.decode_node(&limits)?)?;
            self.state = DriverState::Running(Box::new(running));
            self.timer.set(None);
        }
        if let DriverState::Running(running) = &mut self.state {
            let asks_secrets = self.asked == Some(ResourceType::Secret);
            if asks_secrets && running.admittance.is_restricted() {
                running.note_secrets(&incoming.request.names.to_vec(), &self.shared.authority);
            }
            let Some(kind) = &self.asked else {
                running.session.on_request(&incoming.request)?;
                return Ok(());
            };
            let room = self.account.reserve(kind, &running.session, &incoming.request)?;
            running.session.on_request(&incoming.request)?;
            drop(room);
            self.account.settle(kind, &running.session, &incoming.request)?;
        }
        Ok(())
    }

    /// Identifies the client by its first request (L-1).
    fn begin(&self, node: Option<core::Node>) -> Result<Running, RequestError> {
        let shared = &self.shared;
        let (node, group) = shared.identify(node)?;
        let most = shared.limits.streams_per_node;
        if shared.fleet.streams_of(&node.id) >= most {
            return Err(ProtocolError::TooManyStreams(most).into());
        }
        let admitted = shared.authority.admit(&self.visitor, &node.id, &group, &self.action)?;
        let admittance = Admittance::new(admitted, Arc::clone(&self.action), shared.limits.drain);
        let stream = format!(
            "{}-{}",
            shared.process,
            shared.next_stream.fetch_add(1, Ordering::Relaxed)
        );
        let policy = Arc::clone(shared.policies.of(&group));
        let on_demand: Vec<_> = policy.on_demand.keys().cloned().collect();
        let features = Features::of(&node, self.variant, shared.ttl.contains(&group));
        let join = || {
            let on_demand = on_demand.clone();
            shared
                .on_demand
                .join(&group, &node.id, on_demand, features.envoy, Instant::now())
        };
        let member = (!on_demand.is_empty()).then(join);
        let mut session = Session::new(
            self.variant,
            self.scope.clone(),
            policy,
            stream.into(),
            node.id.to_string(),
        )
        .with_features(features)
        .with_names(Arc::clone(&shared.lists) as Arc<dyn Lists>);
        if self.scope == Scope::Aggregated {
            let sight = admittance.sight();
            let memory = shared
                .memories
                .take(&node.id, self.variant, sight.as_ref(), Instant::now());
            session = session.recall(memory);
        }
        let mut watch = shared.cache.subscribe(&group);
        if let Some(snapshot) = watch.current() {
            session.on_snapshot(admittance.view(snapshot, &shared.authority));
        }
        let info = StreamInfo {
            pace: self.pace.clone(),
            protocol: Protocol::Grpc(self.variant),
            aggregated: self.scope == Scope::Aggregated,
            peer: self.peer.clone(),
        };
        let guard = shared.fleet.open_stream(&node, &group, info);
        // Debug formatting escapes what a client put into its id.
        let span = info_span!("xds_stream", id = guard.stream_id(), node = ?node.id, group = ?group);
        info!(parent: &span, peer = %self.peer, variant = ?self.variant, agent = ?node.user_agent, "stream opened");
        Ok(Running::new(node.id, session, watch, guard, member, admittance, span))
    }

    /// Ends the stream after the response that is being written.
    fn end(&mut self, status: Status) {
        if let DriverState::Running(running) = &self.state {
            info!(parent: &running.span, code = ?status.code(), "stream ended");
        }
        self.leave_memory();
        self.ended = StatusCode::from(status.code() as i32);
        self.state = DriverState::Ending(status);
    }

    /// Keeps the node's state for its next stream.
    fn leave_memory(&self) {
        if let DriverState::Running(running) = &self.state {
            let (node, memory) = (running.node.clone(), running.session.memory());
            let sight = running.admittance.sight();
            self.shared
                .memories
                .keep(node, self.variant, memory, sight, Instant::now());
        }
    }

    /// Notes that the client has read the last response or is gone, and counts it if that took long.
    fn note_room(&mut self, now: Instant) {
        if let Some(given) = self.given.take()
            && given + SLOW < now
        {
            self.shared.metrics().slow();
        }
    }

    /// Called after [`Driver::check_shutdown`], which registers the task for changes of the rules.
    fn check_admittance(&mut self, cx: &mut Context<'_>) {
        if let DriverState::Running(running) = &mut self.state
            && let Err(dismissal) = running.admittance.poll(cx, &self.shared.authority)
        {
            warn!(parent: &running.span, %dismissal, "stream ended: the node is no longer admitted");
            self.end(dismissal.into());
        }
    }

    fn check_shutdown(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.permit.register(cx.waker());
        if self.draining.is_none() && self.shared.draining.load(Ordering::Acquire) {
            let window = self.shared.limits.drain;
            self.draining = Some(Box::pin(tokio::time::sleep(jitter(window))));
        }
        if let Some(moment) = &mut self.draining
            && moment.as_mut().poll(cx).is_ready()
            && matches!(self.state, DriverState::Opening | DriverState::Running(_))
        {
            self.end(Status::unavailable("the server is shutting down: reconnect"));
        }
        if self.until.is_some_and(|until| until <= now) && matches!(self.state, DriverState::Running(_)) {
            self.end(Status::unavailable("the stream has reached its maximum age: reconnect"));
        }
    }

    /// Ends the stream after a panic in its turn, without a use of its state, which may be inconsistent.
    fn on_panic(&mut self) {
        let span = match &self.state {
            DriverState::Running(running) => running.span.clone(),
            DriverState::Opening | DriverState::Ending(_) | DriverState::Ended => Span::none(),
        };
        let asked = self.asked.as_ref().map(ToString::to_string);
        error!(parent: &span, peer = %self.peer, resource_type = asked, "stream panicked and was ended");
        self.shared.metrics().panics().count(PanicPart::Xds);
        let status = Status::internal("the server failed at this stream: its log says how");
        self.ended = StatusCode::from(status.code() as i32);
        self.chunks = Chunks::default();
        let broken = std::mem::replace(&mut self.state, DriverState::Ending(status));
        // The drop may panic as well.
        catch_unwind(AssertUnwindSafe(|| drop(broken))).ok();
    }
}

impl http_body::Body for Driver {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let driver = self.get_mut();
        if driver.chunks.is_empty() {
            // One reading of the clock serves the whole turn.
            let now = Instant::now();
            driver.note_room(now);
            if matches!(driver.state, DriverState::Opening | DriverState::Running(_)) {
                let turn = catch_unwind(AssertUnwindSafe(|| driver.turn(cx, now)));
                if turn.is_err() {
                    driver.on_panic();
                }
            }
        }
        if let Some(chunk) = driver.chunks.next() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match std::mem::replace(&mut driver.state, DriverState::Ended) {
            DriverState::Ending(status) => Poll::Ready(Some(Ok(Frame::trailers(trailers(&status))))),
            DriverState::Ended => Poll::Ready(None),
            waiting @ (DriverState::Opening | DriverState::Running(_)) => {
                driver.state = waiting;
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, DriverState::Ended) && self.chunks.is_empty()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.leave_memory();
        // Dropping hundreds of thousands of names takes long.
        if self.large
            && let Some(lane) = self.shared.lanes.enter()
        {
            let state = std::mem::replace(&mut self.state, DriverState::Ended);
            lane.run(|| drop(state));
        }
        let metrics = self.shared.metrics();
        if self.given.is_some_and(|given| given.elapsed() > SLOW) {
            metrics.slow();
        }
        metrics.ended(self.ended);
    }
}

#[cfg(test)]
mod tests;
