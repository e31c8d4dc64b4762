//! Counters of streams, polls and responses. The fleet, the transport and the HTTP port count.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Histogram, PanicMetrics, PollLabel, Protocol, Refusal, RequestRefusal, StatusCode, Table, TypeLabel};

type ByType = Table<(Protocol, TypeLabel), Counter>;

/// Counters of serving. `app` makes one set for all modules that count.
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
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_streams",
            "Open streams; over REST, types that a node polls",
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
            "gRPC streams that were refused",
            self.refused.clone(),
        );
        registry.register("xds_requests", "Requests read", self.requests.clone());
        registry.register(
            "xds_requests_refused",
            "Requests that were refused because they exceed a limit",
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
            "Requests that answer a response other than the last",
            self.stale.clone(),
        );
        registry.register_with_unit(
            "xds_push",
            "Time from a publish to the ACK by a stream that was open then",
            Unit::Seconds,
            self.pushes.clone(),
        );
        registry.register(
            "xds_slow_consumers",
            "Times that a client took more than 5 seconds to read what it was sent",
            self.slow.clone(),
        );
        registry.register("xds_rest_polls", "Polls over REST, by their status", self.polls.clone());
        self.panics.register(registry);
        registry.register("xds_load_reports", "Load reports received", self.reports.clone());
    }

    /// The counter of panics.
    #[must_use]
    pub const fn panics(&self) -> &PanicMetrics {
        &self.panics
    }

    /// Counts a new stream.
    pub fn opened(&self, protocol: Protocol) {
        self.opened.at((protocol,)).inc();
        self.open.at((protocol,)).inc();
    }

    /// Counts the end of a stream.
    pub fn closed(&self, protocol: Protocol) {
        self.open.at((protocol,)).dec();
    }

    /// Counts a gRPC stream that ended with this status.
    pub fn ended(&self, code: StatusCode) {
        self.ended.at((code,)).inc();
    }

    /// Counts a gRPC stream that was refused.
    pub fn refused(&self, reason: Refusal) {
        self.refused.at((reason,)).inc();
    }

    /// Counts a request.
    pub fn requested(&self, protocol: Protocol) {
        self.requests.at((protocol,)).inc();
    }

    /// Counts a request beyond a limit.
    pub fn request_refused(&self, reason: RequestRefusal) {
        self.requests_refused.at((reason,)).inc();
    }

    /// Counts a response.
    pub fn responded(&self, protocol: Protocol, kind: TypeLabel) {
        self.responses.at((protocol, kind)).inc();
    }

    /// Counts the bytes of a response.
    pub fn weighed(&self, protocol: Protocol, kind: TypeLabel, bytes: usize) {
        self.bytes.at((protocol, kind)).inc_by(bytes as u64);
    }

    /// Counts an ACK.
    pub fn acked(&self, protocol: Protocol, kind: TypeLabel) {
        self.acks.at((protocol, kind)).inc();
    }

    /// Counts a NACK.
    pub fn nacked(&self, protocol: Protocol, kind: TypeLabel) {
        self.nacks.at((protocol, kind)).inc();
    }

    /// Counts a request with another nonce than the last response's.
    pub fn stale(&self, protocol: Protocol, kind: TypeLabel) {
        self.stale.at((protocol, kind)).inc();
    }

    /// Records the time from a publish to its ACK.
    pub fn pushed(&self, kind: TypeLabel, took: Duration) {
        self.pushes.at((kind,)).observe(took);
    }

    /// Counts a slow reader.
    pub fn slow(&self) {
        self.slow.inc();
    }

    /// Counts a poll.
    pub fn polled(&self, kind: TypeLabel, status: PollLabel) {
        self.polls.at((kind, status)).inc();
    }

    /// Counts a load report.
    pub fn reported(&self) {
        self.reports.inc();
    }
}
