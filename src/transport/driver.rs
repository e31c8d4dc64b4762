//! The one driver: runs a session over the two directions of a stream, inside the response's body.
//!
//! HTTP/2 polls the body only when the client has room for more. So a slow client holds no queue here, its requests wait
//! in the connection's window, and what it is sent next is made from the newest snapshot.

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

/// Requests taken in before responses are looked at again: one stream must not keep a connection's task to itself.
const REQUESTS_PER_TURN: usize = 64;

/// Bytes of requests after which a turn ends.
const BYTES_PER_TURN: usize = 64 * 1024;

/// How long a turn may take in requests before the task gives way to others.
const TURN: Duration = Duration::from_millis(5);

/// From when on a turn took so long that those to come are worked on apart from the other streams.
const LONG: Duration = Duration::from_millis(50);

/// How long a client may take to make room for what it was sent before it counts as slow.
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
    /// Whether there was one, or a turn took long: the stream has many names, and what it is answered takes as long.
    large: bool,
    pause: Timer,
    state: State,
    /// What the stream asks for, as far as it counts together with that of others.
    account: Account,
    /// Chunks of the response being written.
    chunks: Chunks,
    /// When the response was made that the client has not made room for yet.
    given: Option<Instant>,
    timer: Timer,
    /// How many requests may be read yet, and until when none are (Z-1).
    allowance: Bucket,
    throttled: Option<Instant>,
    /// The moment of the stream's own within the drain time, once the process is to end.
    draining: Option<Pin<Box<Sleep>>>,
    /// When the client is to open another stream.
    until: Option<Instant>,
    /// What the client asked for last, for the log.
    asked: Option<ResourceType>,
    /// Whether the client takes in what it is sent.
    pace: Option<Arc<Pace>>,
    /// How it ended; until then, how it ends where the connection breaks.
    ended: StatusCode,
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
            state: State::Opening,
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

    /// Takes in what came: requests, snapshots, the end. Leaves what there is to say in `chunks` or `state`.
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

    /// Looks again soon: all lanes are taken.
    fn pause(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.pause.set(now.checked_add(PAUSE));
        if self.pause.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Makes the next response, where there is one.
    fn answer(&mut self, cx: &mut Context<'_>, now: Instant) {
        let State::Running(running) = &mut self.state else {
            if self.timer.poll(cx).is_ready() && matches!(self.state, State::Opening) {
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
            if matches!(self.state, State::Ending(_) | State::Ended) {
                return;
            }
            if let Some(message) = self.waiting.take() {
                if !self.take_large(message) {
                    return;
                }
                break;
            }
            // The clock is not free: nearly every turn has one request, and no turn is long by one that is not large.
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
                // L-6: the client is done, so are we.
                Poll::Ready(None) => self.end(Status::ok("")),
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Takes in a large request where a lane is free; where none is, it waits.
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
        if matches!(self.state, State::Opening) {
            let running = self.begin(incoming.decode_node(&limits)?)?;
            self.state = State::Running(Box::new(running));
            self.timer.set(None);
        }
        if let State::Running(running) = &mut self.state {
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

    /// Learns from the first request who the client is (L-1).
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

    /// Ends the stream, after what is being written.
    fn end(&mut self, status: Status) {
        if let State::Running(running) = &self.state {
            info!(parent: &running.span, code = ?status.code(), "stream ended");
        }
        self.leave_memory();
        self.ended = StatusCode::from(status.code() as i32);
        self.state = State::Ending(status);
    }

    /// Keeps what the node has, for its next stream.
    fn leave_memory(&self) {
        if let State::Running(running) = &self.state {
            let (node, memory) = (running.node.clone(), running.session.memory());
            let sight = running.admittance.sight();
            self.shared
                .memories
                .keep(node, self.variant, memory, sight, Instant::now());
        }
    }

    /// The client made room, or is gone: either may have taken long.
    fn note_room(&mut self, now: Instant) {
        if let Some(given) = self.given.take()
            && given + SLOW < now
        {
            self.shared.metrics().slow();
        }
    }

    /// After [`Driver::check_shutdown`], which has the task woken when the rules change.
    fn check_admittance(&mut self, cx: &mut Context<'_>) {
        if let State::Running(running) = &mut self.state
            && let Err(dismissal) = running.admittance.poll(cx, &self.shared.authority)
        {
            warn!(parent: &running.span, %dismissal, "the node may not stay");
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
            && matches!(self.state, State::Opening | State::Running(_))
        {
            self.end(Status::unavailable("the server is shutting down: reconnect"));
        }
        if self.until.is_some_and(|until| until <= now) && matches!(self.state, State::Running(_)) {
            self.end(Status::unavailable("the stream has reached its age: reconnect"));
        }
    }

    /// What made the stream's next turn panicked: nothing of its state is to be believed.
    fn on_panic(&mut self) {
        let span = match &self.state {
            State::Running(running) => running.span.clone(),
            State::Opening | State::Ending(_) | State::Ended => Span::none(),
        };
        let asked = self.asked.as_ref().map(ToString::to_string);
        error!(parent: &span, peer = %self.peer, resource_type = asked, "a stream panicked: it ends");
        self.shared.metrics().panics().count(PanicPart::Xds);
        let status = Status::internal("the server failed at this stream: its log says how");
        self.ended = StatusCode::from(status.code() as i32);
        self.chunks = Chunks::default();
        let broken = std::mem::replace(&mut self.state, State::Ending(status));
        // It may panic again.
        catch_unwind(AssertUnwindSafe(|| drop(broken))).ok();
    }
}

impl http_body::Body for Driver {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let driver = self.get_mut();
        if driver.chunks.is_empty() {
            // One look at the clock: all of a turn is short.
            let now = Instant::now();
            driver.note_room(now);
            if matches!(driver.state, State::Opening | State::Running(_)) {
                let turn = catch_unwind(AssertUnwindSafe(|| driver.turn(cx, now)));
                if turn.is_err() {
                    driver.on_panic();
                }
            }
        }
        if let Some(chunk) = driver.chunks.next() {
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

impl Drop for Driver {
    fn drop(&mut self) {
        self.leave_memory();
        // Hundreds of thousands of names are not given up in a moment.
        if self.large
            && let Some(lane) = self.shared.lanes.enter()
        {
            let state = std::mem::replace(&mut self.state, State::Ended);
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
