//! xDS over REST-JSON (H): `POST /v3/discovery:clusters` and its siblings, one poll at a time.
//!
//! A poll is stateless: it is answered from the newest snapshot, with "not modified" if it presents the version of that
//! answer. `polls` keeps what the status of nodes needs between polls.

mod answer;
mod polls;
mod render;
mod request;
pub(super) mod routes;
mod scan;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::error;

use self::{
    answer::{Answer, Silence},
    polls::{Given, Polls},
    render::Renderings,
    request::Poll,
};
use super::{Failure, visitor};
use crate::{
    authority::{Authority, Purpose, Visitor},
    cache::SnapshotCache,
    connection::Connection,
    fleet::Fleet,
    memory::MemoryBudget,
    metrics::{PollLabel, Protocol, RequestRefusal, ServingMetrics},
    node::{Grouping, Node, NodeGroup},
    proto::discovery::DiscoveryRequest,
    protocol::{PollLimits, ProtocolError, Reply, StreamLimits},
    resource::{ResourceName, ResourceType, Version},
};

/// JSON values of a poll besides names: an Envoy lists its extensions, some ten thousand values.
const OTHER_VALUES: usize = 50_000;

/// The settings of xDS over REST.
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// Node → group.
    pub grouping: Grouping,
    /// The limits of one poll.
    pub limits: StreamLimits,
    /// The limits of what nodes may poll.
    pub polls: PollLimits,
    /// The time after which a node that stopped polling counts as gone. Longer than the nodes' `refresh_delay`: up to
    /// twice that passes between two polls.
    pub poll_timeout: Duration,
}

/// Serves polls. Clones share one state.
#[derive(Clone)]
pub struct Rest {
    shared: Arc<Shared>,
}

struct Shared {
    cache: SnapshotCache,
    metrics: Arc<ServingMetrics>,
    authority: Authority,
    grouping: Grouping,
    limits: StreamLimits,
    poll_limits: PollLimits,
    polls: Polls,
    renderings: Renderings,
    /// No poll is answered above this budget.
    memory: MemoryBudget,
    /// Owns rendering tasks, which run on blocking threads.
    tracker: TaskTracker,
}

// === impl Rest ===

impl Rest {
    /// Serves `cache` to nodes that `authority` admits, and records outcomes in `fleet`.
    #[must_use]
    pub fn new(
        cache: SnapshotCache,
        fleet: Arc<Fleet>,
        metrics: Arc<ServingMetrics>,
        authority: Authority,
        settings: RestSettings,
        memory: MemoryBudget,
        tracker: TaskTracker,
    ) -> Self {
        let RestSettings {
            grouping,
            limits,
            polls,
            poll_timeout,
        } = settings;
        Self {
            shared: Arc::new(Shared {
                cache,
                authority,
                grouping,
                limits,
                poll_limits: polls,
                polls: Polls::new(fleet, polls, poll_timeout),
                metrics,
                memory,
                renderings: Renderings::new(format!("chancery/{}", env!("CARGO_PKG_VERSION"))),
                tracker,
            }),
        }
    }

    /// Removes nodes that have not polled for [`RestSettings::poll_timeout`].
    pub fn expire(&self) {
        self.shared.polls.expire(Instant::now());
    }

    /// Answers a poll and counts the outcome.
    async fn discover(
        &self,
        (action, kind): (&'static str, ResourceType),
        connection: &Connection,
        (headers, extensions): (&HeaderMap, &Extensions),
        body: Result<Bytes, Failure>,
    ) -> Result<Response, Failure> {
        let (metrics, label) = (&self.shared.metrics, (&kind).into());
        metrics.requested(Protocol::Rest);
        let visitor = visitor::identify(&self.shared.authority, Purpose::Node, extensions, headers, action).await;
        let answered = match (visitor, body) {
            (Ok(visitor), Ok(body)) => self.answer((action, kind), connection.peer, &visitor, &body).await,
            (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
        };
        let status = match &answered {
            Ok(response) => response.status(),
            Err(failure) => failure.status,
        };
        metrics.polled(label, PollLabel::from(status.as_u16()));
        if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS) {
            metrics.request_refused(RequestRefusal::Limit);
        }
        answered
    }

    /// Refuses a poll if the memory budget is exceeded.
    fn room(&self) -> Result<(), Failure> {
        if !self.shared.memory.is_exceeded() {
            return Ok(());
        }
        self.shared.metrics.request_refused(RequestRefusal::Memory);
        Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server uses more memory than its budget (limits.memory): try again later",
        ))
    }

    /// Reads the whole body. Stops reading once the body exceeds the limit.
    async fn collect(&self, body: Body) -> Result<Bytes, Failure> {
        let PollLimits {
            request_bytes: most,
            request_timeout: patience,
            ..
        } = self.shared.poll_limits;
        let collected = timeout(patience, Limited::new(body, most).collect()).await;
        let collected = collected.map_err(|_| {
            self.shared.metrics.request_refused(RequestRefusal::Slow);
            let message = format!("the body was unfinished for {patience:?}");
            Failure::new(StatusCode::REQUEST_TIMEOUT, message)
        })?;
        collected.map(Collected::to_bytes).map_err(|error| {
            if error.is::<LengthLimitError>() {
                let message = format!("the body has more than {most} bytes");
                return Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message);
            }
            Failure::new(StatusCode::BAD_REQUEST, "the body is incomplete")
        })
    }

    async fn answer(
        &self,
        (action, kind): (&'static str, ResourceType),
        peer: SocketAddr,
        visitor: &Visitor,
        body: &[u8],
    ) -> Result<Response, Failure> {
        let request = self.read(body, &kind)?;
        let (node, group) = self.identify(request.node.map(Node::from))?;
        let authority = &self.shared.authority;
        let admitted = authority.admit(visitor, &node.id, &group, action)?;
        let poll = Poll {
            names: request::names(request.resource_names, &self.limits())?,
            resource_type: kind,
            presented: Version::from(request.version_info),
            refusal: request.error_detail.map(|status| (status.code, status.message)),
        };
        let longest = self.shared.limits.name_bytes;
        if poll.presented.as_str().len() > longest {
            let len = poll.presented.as_str().len();
            return Err(Failure::of_field(
                "version_info",
                format!("{len} bytes long, more than {longest}"),
            ));
        }
        if poll.resource_type == ResourceType::Secret {
            let names = poll.names.iter().flatten().map(ResourceName::as_str);
            authority.note_secrets(&admitted, names, action);
        }
        let snapshot = self.shared.cache.get(&group);
        let snapshot = snapshot.map(|snapshot| authority.view(snapshot, &admitted));
        let answer = match &snapshot {
            Some(snapshot) => Answer::choose(snapshot, &poll.resource_type, poll.names.as_deref()),
            None => Err(Silence::NoSnapshot),
        };
        let polls = &self.shared.polls;
        let given = Given {
            snapshot: snapshot.as_deref(),
            answer: answer.as_ref().ok(),
        };
        let reply = polls.record(&node, &group, &poll, peer, &given, Instant::now())?;
        match (answer, reply) {
            (Err(silence), _) => Err(silence.failure(&group, &poll)),
            (Ok(_), Reply::NotModified) => Ok(StatusCode::NOT_MODIFIED.into_response()),
            (Ok(answer), Reply::Send) => {
                let label = (&answer.resource_type).into();
                let body = self.rendered(answer).await?;
                let metrics = &self.shared.metrics;
                metrics.responded(Protocol::Rest, label);
                metrics.weighed(Protocol::Rest, label, body.len());
                let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(([kind], body).into_response())
            }
        }
    }

    /// The limits of one poll.
    fn limits(&self) -> StreamLimits {
        StreamLimits {
            names_per_type: self.shared.poll_limits.names,
            ..self.shared.limits
        }
    }

    /// Parses a body after its size in JSON values is checked.
    fn read(&self, body: &[u8], kind: &ResourceType) -> Result<DiscoveryRequest, Failure> {
        let values = self.shared.poll_limits.names.saturating_add(OTHER_VALUES);
        scan::check(body, values).map_err(|excess| Failure::new(StatusCode::PAYLOAD_TOO_LARGE, excess.to_string()))?;
        request::parse(body, kind, &self.shared.limits)
    }

    /// The node and its group (L-1, L-2). Every poll carries the node.
    fn identify(&self, node: Option<Node>) -> Result<(Node, NodeGroup), Failure> {
        let invalid = |error: ProtocolError| Failure::of_field("node", error.to_string());
        let node = node.ok_or_else(|| invalid(ProtocolError::MissingNode))?;
        let limits = &self.shared.limits;
        limits.check_node(&node).map_err(invalid)?;
        let group = self.shared.grouping.group_of(&node);
        let group = group.ok_or_else(|| invalid(ProtocolError::NoGroup))?;
        limits.check_group(&group).map_err(invalid)?;
        Ok((node, group))
    }

    /// The body of an answer, rendered once on a blocking thread and shared by all equal answers.
    async fn rendered(&self, answer: Answer) -> Result<Bytes, Failure> {
        if let Some(body) = self.shared.renderings.find(&answer) {
            return Ok(body);
        }
        let shared = Arc::clone(&self.shared);
        let rendered = self
            .shared
            .tracker
            .spawn_blocking(move || shared.renderings.render(&answer));
        let broken = |error: String| {
            error!(%error, "an answer could not be written as JSON");
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer could not be written as JSON",
            )
        };
        let rendered = rendered.await.map_err(|error| broken(error.to_string()))?;
        rendered.map_err(|error| broken(error.to_string()))
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

// === impl Silence ===

impl Silence {
    /// An error, never an empty answer: an empty answer would delete everything (H-5).
    fn failure(&self, group: &NodeGroup, poll: &Poll) -> Failure {
        let kind = &poll.resource_type;
        match self {
            Self::NoSnapshot => Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("group \"{group}\" has no snapshot with {kind} resources yet"),
            ),
            Self::NoSuchName => Failure::new(
                StatusCode::NOT_FOUND,
                format!("group \"{group}\" has none of the {kind} resources that were asked for"),
            ),
        }
    }
}
