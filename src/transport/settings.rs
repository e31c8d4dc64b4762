//! Settings of the xDS port.

use std::{collections::BTreeSet, time::Duration};

use super::{rate::Rate, timer::jitter};
use crate::{
    node::{Grouping, NodeGroup},
    protocol::Policy,
};

/// Limits of the xDS port, each with the reason for its default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one request. gRPC's default of 4 MiB is too small: a delta Envoy that reconnects lists every name that
    /// it holds, and 100 000 names take 10 MB.
    pub request_bytes: usize,
    /// Open streams over all connections.
    pub streams: usize,
    /// Streams per connection: a relay multiplexes many nodes over one (L-8).
    pub streams_per_connection: u32,
    /// Idle time of a connection before an HTTP/2 PING, which detects peers that are gone (L-8).
    pub keepalive_interval: Duration,
    /// Time that a peer has to answer a PING.
    pub keepalive_timeout: Duration,
    /// Time that a client has to read what it was sent. Without it, a client that answers PINGs and reads nothing would
    /// hold its stream for ever.
    pub send_timeout: Duration,
    /// The age at which a stream is ended, so that its client opens a new one; `None` for no limit.
    pub max_stream_age: Option<Duration>,
    /// Time that a client has to send its first request.
    pub first_request: Duration,
    /// The time over which streams are ended at shutdown, so that clients do not all reconnect elsewhere at once (L-7).
    pub drain: Duration,
    /// Streams that may begin per second over all connections. A fleet that reconnects at once is served one part after
    /// another, instead of slowly as a whole (Z-2).
    pub new_streams: Rate,
    /// The share of one address in what all clients share: new streams, unfinished requests, and names.
    pub peer_share: f64,
    /// Streams of one node. An Envoy without ADS has one per type, and two processes run during a restart. A
    /// misconfigured fleet may give all nodes one id.
    pub streams_per_node: usize,
    /// Streams of one verified identity. The default is half of `streams`: a stolen identity leaves the other half to
    /// others, and a fleet that shares one identity fits.
    pub streams_per_identity: usize,
    /// Bytes of requests that are not complete yet, over all connections.
    pub unfinished_bytes: usize,
    /// Bytes of the names, globs and presented versions of all streams. Equal lists count once. The default suffices
    /// for a thousand groups that request some thousand names each.
    pub subscribed_bytes: usize,
    /// The time that a request may stay incomplete.
    pub request_timeout: Duration,
    /// Requests of one stream that are read per second; further ones wait in the connection's window (Z-1).
    pub requests: Rate,
}

/// Settings of the xDS port.
#[derive(Clone, Debug, Default)]
pub struct XdsSettings {
    /// The limits of the port.
    pub limits: Limits,
    /// Node → group.
    pub grouping: Grouping,
    /// The settings of the protocol.
    pub policy: Policy,
    /// The settings of load reporting.
    pub lrs: LrsSettings,
    /// Groups without make before break.
    pub unordered: BTreeSet<NodeGroup>,
    /// Groups whose clients are sent TTLs even without the client feature (T-1).
    pub ttl: BTreeSet<NodeGroup>,
}

/// The settings of load reporting.
#[derive(Clone, Copy, Debug)]
pub struct LrsSettings {
    /// The time that a report covers. Never zero, as a client would report without a pause.
    pub interval: Duration,
    /// Bytes of one report.
    pub request_bytes: usize,
    /// Clusters of one report. All are read, but few are kept.
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
    /// Streams of one address that may begin per second.
    pub(super) fn new_streams_of_peer(&self) -> Rate {
        let all = self.new_streams.per_second;
        // At least 1, since 0 means no limit.
        let share = (f64::from(all) * self.peer_share) as u32;
        Rate {
            per_second: share.clamp(all.min(1), all),
        }
    }

    /// The age at which one stream ends, if there is a limit: chosen at random up to a tenth earlier or later.
    pub(super) fn stream_age(&self) -> Option<Duration> {
        let age = self.max_stream_age?;
        Some(age - age / 10 + jitter(age / 5))
    }

    /// Bytes of incomplete requests of one address.
    pub(super) fn unfinished_bytes_of_peer(&self) -> usize {
        (self.unfinished_bytes as f64 * self.peer_share) as usize
    }

    /// Bytes of the names of one address's streams.
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
