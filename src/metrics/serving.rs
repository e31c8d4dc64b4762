//! What is counted of streams, polls and responses. The fleet, the transport and the HTTP port count here.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Histogram, PanicMetrics, PollLabel, Protocol, Refusal, RequestRefusal, StatusCode, Table, TypeLabel};

type ByType = Table<(Protocol, TypeLabel), Counter>;

/// Counters of what is served, of which `app` makes one for all who count.
#[derive(Clone, Debug, Default)]
pub struct ServingMetrics {
    open: Table<(Protocol,), Gauge>,
    opened: Table<(Protocol,), Counter>,
    ended: Table<(StatusCode,), Counter>,
    refused: Table<(Refusal,), Counter>,
    requests: Table<(Protocol,), Counter>,
    requests_refused: Table<(RequestRefusal,), Counter>,
    responses: ByType,
    bytes: ByType,
    acks: ByType,
    nacks: ByType,
    stale: ByType,
    pushes: Table<(TypeLabel,), Histogram>,
    slow: Counter,
    polls: Table<(TypeLabel, PollLabel), Counter>,
    reports: Counter,
    panics: PanicMetrics,
}

// === impl ServingMetrics ===

impl ServingMetrics {
    /// Exposes all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_streams",
            "Streams that are open; over REST, types that a node polls",
            self.open.clone(),
        );
        registry.register("xds_streams_opened", "Streams that began", self.opened.clone());
        registry.register(
            "xds_streams_ended",
            "gRPC streams that ended, by their status",
            self.ended.clone(),
        );
        registry.register(
            "xds_streams_refused",
            "gRPC streams that were not let in",
            self.refused.clone(),
        );
        registry.register("xds_requests", "Requests read", self.requests.clone());
        registry.register(
            "xds_requests_refused",
            "Requests that are more than is taken of a stranger",
            self.requests_refused.clone(),
        );
        registry.register("xds_responses", "Responses sent", self.responses.clone());
        registry.register_with_unit(
            "xds_response",
            "Bytes of responses sent",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register("xds_acks", "Responses that clients accepted", self.acks.clone());
        registry.register("xds_nacks", "Responses that clients refused", self.nacks.clone());
        registry.register(
            "xds_stale_nonces",
            "Requests that answered a response that was not the last",
            self.stale.clone(),
        );
        registry.register_with_unit(
            "xds_push",
            "From a publish to the ACK of a stream that was open then",
            Unit::Seconds,
            self.pushes.clone(),
        );
        registry.register(
            "xds_slow_consumers",
            "Times that a client took more than 5 seconds to make room for what it was sent",
            self.slow.clone(),
        );
        registry.register("xds_rest_polls", "Polls over REST, by their status", self.polls.clone());
        self.panics.register(registry);
        registry.register("xds_load_reports", "Load reports received", self.reports.clone());
    }

    /// Panics of the process.
    #[must_use]
    pub const fn panics(&self) -> &PanicMetrics {
        &self.panics
    }

    /// A stream began.
    pub fn opened(&self, protocol: Protocol) {
        self.opened.at((protocol,)).inc();
        self.open.at((protocol,)).inc();
    }

    /// A stream is no longer open.
    pub fn closed(&self, protocol: Protocol) {
        self.open.at((protocol,)).dec();
    }

    /// A gRPC stream ended with this status.
    pub fn ended(&self, code: StatusCode) {
        self.ended.at((code,)).inc();
    }

    /// A gRPC stream was not let in.
    pub fn refused(&self, reason: Refusal) {
        self.refused.at((reason,)).inc();
    }

    /// A request was read.
    pub fn requested(&self, protocol: Protocol) {
        self.requests.at((protocol,)).inc();
    }

    /// A request was more than is taken of a stranger.
    pub fn request_refused(&self, reason: RequestRefusal) {
        self.requests_refused.at((reason,)).inc();
    }

    /// A response was handed out.
    pub fn responded(&self, protocol: Protocol, kind: TypeLabel) {
        self.responses.at((protocol, kind)).inc();
    }

    /// What that response came to.
    pub fn weighed(&self, protocol: Protocol, kind: TypeLabel, bytes: usize) {
        self.bytes.at((protocol, kind)).inc_by(bytes as u64);
    }

    /// A response was accepted.
    pub fn acked(&self, protocol: Protocol, kind: TypeLabel) {
        self.acks.at((protocol, kind)).inc();
    }

    /// A response was refused.
    pub fn nacked(&self, protocol: Protocol, kind: TypeLabel) {
        self.nacks.at((protocol, kind)).inc();
    }

    /// A request named another response than the last.
    pub fn stale(&self, protocol: Protocol, kind: TypeLabel) {
        self.stale.at((protocol, kind)).inc();
    }

    /// What was published so long ago was accepted.
    pub fn pushed(&self, kind: TypeLabel, took: Duration) {
        self.pushes.at((kind,)).observe(took);
    }

    /// A client took its time to make room.
    pub fn slow(&self) {
        self.slow.inc();
    }

    /// A poll was answered.
    pub fn polled(&self, kind: TypeLabel, status: PollLabel) {
        self.polls.at((kind, status)).inc();
    }

    /// A load report came.
    pub fn reported(&self) {
        self.reports.inc();
    }
}
