//! Settings of the xDS port.

use std::{collections::BTreeSet, time::Duration};

use super::{rate::Rate, timer::jitter};
use crate::{
    node::{Grouping, NodeGroup},
    protocol::Policy,
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
    /// How long a client may leave what it was sent without making room for it: a client that answers PINGs and reads nothing
    /// would hold its stream for ever.
    pub send_timeout: Duration,
    /// How long a stream may last before it is to be opened again; `None` for ever.
    pub max_stream_age: Option<Duration>,
    /// How long a stream may take to send its first request.
    pub first_request: Duration,
    /// Over how long streams are ended at shutdown, so that not every client reconnects elsewhere at once (L-7).
    pub drain: Duration,
    /// Streams that may begin a second over all connections: a fleet that reconnects at once is served one part after the
    /// other, instead of all of it slowly (Z-2).
    pub new_streams: Rate,
    /// What one address may take of what all share: of the streams that may begin, of unfinished requests, and of names.
    pub peer_share: f64,
    /// Streams of one node: an Envoy without ADS has one for each type, and two of them run while it restarts. Misled fleets
    /// give all nodes one id.
    pub streams_per_node: usize,
    /// Streams of one verified identity. Half of `streams`: a stolen identity leaves the other half to the others, and a fleet that
    /// shares one identity fits.
    pub streams_per_identity: usize,
    /// Bytes of requests whose rest is still to come, over all connections.
    pub unfinished_bytes: usize,
    /// Bytes that names, globs and presented versions of all streams take. Lists that streams have in common count once: what
    /// a fleet of a thousand groups asks for, each for some thousand names.
    pub subscribed_bytes: usize,
    /// How long a request may be unfinished.
    pub request_timeout: Duration,
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

/// What clients that report load are asked for.
#[derive(Clone, Copy, Debug)]
pub struct LrsSettings {
    /// How long a report collects. Longer than zero: a client would report without a pause.
    pub interval: Duration,
    /// Bytes of one report.
    pub request_bytes: usize,
    /// Clusters of one report: all of them are read, though few are kept.
    pub clusters: usize,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 64 * 1024 * 1024,
            streams: 100_000,
            streams_per_connection: 1000,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(60),
            max_stream_age: None,
            first_request: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            new_streams: Rate { per_second: 2000 },
            peer_share: 0.5,
            streams_per_node: 1000,
            streams_per_identity: 50_000,
            unfinished_bytes: 64 * 1024 * 1024,
            subscribed_bytes: 256 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            requests: Rate { per_second: 1000 },
        }
    }
}

impl Limits {
    /// Streams that may begin a second from one address.
    pub(super) fn new_streams_of_peer(&self) -> Rate {
        let all = self.new_streams.per_second;
        // Not none, which would be no limit.
        let share = (f64::from(all) * self.peer_share) as u32;
        Rate {
            per_second: share.clamp(all.min(1), all),
        }
    }

    /// How long one stream may last, where there is an end to it: a moment of its own, up to a tenth earlier or later.
    pub(super) fn stream_age(&self) -> Option<Duration> {
        let age = self.max_stream_age?;
        Some(age - age / 10 + jitter(age / 5))
    }

    /// Bytes of unfinished requests from one address.
    pub(super) fn unfinished_bytes_of_peer(&self) -> usize {
        (self.unfinished_bytes as f64 * self.peer_share) as usize
    }

    /// Bytes of the names of streams from one address.
    pub(super) fn subscribed_bytes_of_peer(&self) -> usize {
        (self.subscribed_bytes as f64 * self.peer_share) as usize
    }
}

// === impl LrsSettings ===

impl Default for LrsSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            request_bytes: 4 * 1024 * 1024,
            clusters: 20_000,
        }
    }
}
