//! Load reports (LRS, C-2): clients are told which clusters to report on, and how often; what they report goes to the
//! fleet.
//!
//! No discovery runs here, so no session does: the response stream itself takes the requests in.

use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Sleep;
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info};

use super::{
    admittance::Admittance,
    request::RequestError,
    shared::{Permit, Shared},
};
use crate::{
    authority::Visitor,
    cache::SnapshotWatch,
    fleet::ClusterLoad,
    node::{Node, NodeId},
    proto::envoy::{
        config::endpoint::v3::{ClusterStats, UpstreamLocalityStats},
        service::load_stats::v3::{
            LoadStatsRequest, LoadStatsResponse,
            load_reporting_service_server::{LoadReportingService, LoadReportingServiceServer},
        },
    },
    resource::ResourceType,
    snapshot::Snapshot,
};

/// The feature of clients that understand "all clusters" (F).
const ALL_CLUSTERS: &str = "envoy.lrs.supports_send_all_clusters";

/// The path of the RPC.
const ACTION: &str = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";

/// Requests taken in before others on the connection get their turn.
const REQUESTS_PER_TURN: usize = 16;

/// `LoadReportingService`.
pub(super) struct LoadReports {
    shared: Arc<Shared>,
}

/// The response stream of one client.
pub(super) struct LoadStream {
    shared: Arc<Shared>,
    requests: Streaming<LoadStatsRequest>,
    visitor: Visitor,
    state: State,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Counts the stream as open until it is dropped.
    permit: Permit,
}

enum State {
    /// Waits for the first request, so long.
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

/// What the client is asked to report on.
enum Asked {
    /// Every cluster: to be said once.
    All { said: bool },
    /// The clusters of its group's snapshot: to be said again when they are others.
    Named {
        watch: SnapshotWatch,
        last: Option<Vec<String>>,
    },
}

// === impl LoadReports ===

impl LoadReports {
    pub(super) fn service(shared: Arc<Shared>) -> LoadReportingServiceServer<Self> {
        let most = shared.limits.request_bytes;
        LoadReportingServiceServer::new(Self { shared })
            .max_decoding_message_size(most)
            .max_encoding_message_size(usize::MAX)
    }
}

#[tonic::async_trait]
impl LoadReportingService for LoadReports {
    type StreamLoadStatsStream = LoadStream;

    async fn stream_load_stats(
        &self,
        request: Request<Streaming<LoadStatsRequest>>,
    ) -> Result<Response<LoadStream>, Status> {
        if self.shared.shutdown.is_cancelled() {
            return Err(shutting_down());
        }
        let permit = self.shared.admit()?;
        let headers = request.metadata().clone().into_headers();
        let visitor = self.shared.visitor(request.extensions(), &headers, ACTION).await?;
        let patience = tokio::time::sleep(self.shared.limits.first_request);
        Ok(Response::new(LoadStream {
            requests: request.into_inner(),
            visitor,
            state: State::Opening(Box::pin(patience)),
            shutdown: Box::pin(self.shared.shutdown.clone().cancelled_owned()),
            shared: Arc::clone(&self.shared),
            permit,
        }))
    }
}

// === impl LoadStream ===

impl LoadStream {
    fn on_request(&mut self, request: LoadStatsRequest) -> Result<(), RequestError> {
        if matches!(self.state, State::Opening(_)) {
            let (node, group) = self.shared.identify(request.node)?;
            let admitted = self.shared.authority.admit(&self.visitor, &node.id, &group, ACTION)?;
            info!(node = ?node.id, group = ?group, "load report stream opened");
            self.state = State::Reporting(Box::new(Reporter {
                asked: Asked::of(&node, || self.shared.cache.subscribe(&group)),
                node: node.id,
                admittance: Admittance::new(admitted, ACTION.into(), self.shared.limits.drain),
            }));
        }
        if let State::Reporting(reporter) = &self.state
            && !request.cluster_stats.is_empty()
        {
            debug!(node = ?reporter.node, clusters = request.cluster_stats.len(), "load report");
            let clusters = request.cluster_stats.into_iter().map(ClusterLoad::from).collect();
            self.shared.fleet.record_load(&reporter.node, clusters);
        }
        Ok(())
    }

    /// Takes in what came; `Ready` where the stream ends.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        for _ in 0..REQUESTS_PER_TURN {
            match ready!(Pin::new(&mut self.requests).poll_next(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(status)) => return Poll::Ready(Err(status)),
                Some(Ok(request)) => {
                    if let Err(error) = self.on_request(request) {
                        return Poll::Ready(Err(error.into()));
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Stream for LoadStream {
    type Item = Result<LoadStatsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.get_mut();
        if matches!(stream.state, State::Ended) {
            return Poll::Ready(None);
        }
        // First: rules that change after the look below wake the task.
        stream.permit.register(cx.waker());
        let mut ended = stream.poll_requests(cx);
        if let State::Reporting(reporter) = &mut stream.state
            && let Err(dismissal) = reporter.admittance.poll(cx, &stream.shared.authority)
        {
            ended = Poll::Ready(Err(dismissal.into()));
        }
        if stream.shutdown.as_mut().poll(cx).is_ready() {
            ended = Poll::Ready(Err(shutting_down()));
        }
        if let State::Opening(patience) = &mut stream.state
            && patience.as_mut().poll(cx).is_ready()
        {
            ended = Poll::Ready(Err(Status::deadline_exceeded("no request came on the stream")));
        }
        if let Poll::Ready(end) = ended {
            stream.state = State::Ended;
            return Poll::Ready(end.err().map(Err));
        }
        let State::Reporting(reporter) = &mut stream.state else {
            return Poll::Pending;
        };
        let interval = stream.shared.lrs.interval;
        reporter
            .asked
            .poll_response(cx, interval)
            .map(|response| Some(Ok(response)))
    }
}

// === impl Asked ===

impl Asked {
    fn of(node: &Node, subscribe: impl FnOnce() -> SnapshotWatch) -> Self {
        if node.client_features.iter().any(|feature| feature == ALL_CLUSTERS) {
            Self::All { said: false }
        } else {
            Self::Named {
                watch: subscribe(),
                last: None,
            }
        }
    }

    /// The next thing to ask for. A group that was never published is met with silence, as everywhere.
    fn poll_response(&mut self, cx: &mut Context<'_>, interval: Duration) -> Poll<LoadStatsResponse> {
        let load_reporting_interval = prost_types::Duration::try_from(interval).ok();
        match self {
            Self::All { said: true } => Poll::Pending,
            Self::All { said } => {
                *said = true;
                Poll::Ready(LoadStatsResponse {
                    send_all_clusters: true,
                    load_reporting_interval,
                    ..LoadStatsResponse::default()
                })
            }
            Self::Named { watch, last } => loop {
                let changed = watch.poll_changed(cx).is_ready();
                // What there was already when the stream began is no change.
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

// === impl ClusterLoad ===

impl From<ClusterStats> for ClusterLoad {
    fn from(stats: ClusterStats) -> Self {
        let sum = |count: fn(&UpstreamLocalityStats) -> u64| {
            stats
                .upstream_locality_stats
                .iter()
                .map(count)
                .fold(0, u64::saturating_add)
        };
        Self {
            issued: sum(|locality| locality.total_issued_requests),
            successful: sum(|locality| locality.total_successful_requests),
            failed: sum(|locality| locality.total_error_requests),
            in_progress: sum(|locality| locality.total_requests_in_progress),
            dropped: stats.total_dropped_requests,
            interval: stats
                .load_report_interval
                .and_then(|interval| interval.try_into().ok())
                .unwrap_or_default(),
            cluster: stats.cluster_name,
            service: stats.cluster_service_name,
        }
    }
}
