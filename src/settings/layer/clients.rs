//! Clients: the streams of xDS, limits on what unknown clients may send, polls, load reports, and the state of nodes.

use std::path::PathBuf;

use super::{
    super::{
        declare::{default_of, getter, optional, section},
        error::SettingsError,
        value::{ByteSize, Share, Span},
    },
    ports::TlsFiles,
};
use crate::tls::ClientAuth;

section! {
    /// The xDS port and its streams.
    XdsLayer in "xds." with tls {
        /// streams open at once over all connections; more are refused with RESOURCE_EXHAUSTED
        max_streams: usize => xds.limits.streams, polls.polls;
        /// streams open at once on one connection; a relay carries many nodes over one
        max_streams_per_connection: u32 => xds.limits.streams_per_connection;
        /// bytes of one request of a client; an Envoy that reconnects in delta lists every name it holds
        max_request_bytes: ByteSize => xds.limits.request_bytes;
        /// time without traffic after which a connection is pinged
        keepalive_interval: Span => xds.limits.keepalive_interval;
        /// time without an answer after which a pinged connection is closed
        keepalive_timeout: Span => xds.limits.keepalive_timeout;
        /// time after which a stream is reset whose client does not read, though it answers pings
        send_timeout: Span => xds.limits.send_timeout;
        /// age at which a stream is ended with UNAVAILABLE, give or take a tenth of it; so clients spread over replicas
        /// again: each opens the next stream at once and loses nothing
        max_stream_age: Span => xds.limits.max_stream_age;
        /// time that a stream may take to send its first request
        first_request_timeout: Span => xds.limits.first_request;
        /// time over which streams are ended at shutdown, at most half of `shutdown_grace`; so clients do not reconnect
        /// elsewhere all at once
        drain: Span => xds.limits.drain;
        /// streams that may begin a second over all connections, `0` for no limit; ten times as many in a burst; more are
        /// refused with RESOURCE_EXHAUSTED and the time after which to retry
        new_streams_per_second: u32 => xds.limits.new_streams;
        /// requests of one stream that are read a second, `0` for no limit; ten times as many in a burst; more wait, none
        /// is refused; if some thousands wait and the client goes on, HTTP/2 closes the connection (`ENHANCE_YOUR_CALM`)
        requests_per_second: u32 => xds.limits.requests;
    }
}

section! {
    /// Limits on what clients send, over gRPC and over REST.
    LimitsLayer in "limits." {
        /// memory of the process above which new streams, fetches and polls are refused, `0` for no limit; they get
        /// RESOURCE_EXHAUSTED or 503, and `/readyz` is 503, while open streams, the admin API and the probes go on. New ones
        /// are accepted again below 95 % of it
        #[shown = "80 % of the memory limit of the control group; none where it has no limit"]
        memory: ByteSize;
        /// bytes of the used parts of the node that a client sends; id, cluster, locality, metadata, features; its
        /// extensions are ignored. `node.id`, `node.cluster`, the name of its group and its user agent have at most
        /// 1024 bytes each
        max_node_bytes: ByteSize => xds.policy.limits.node_bytes;
        /// names and globs of one type that a stream may ask for, and names that one request may list
        max_names: usize => xds.policy.limits.names_per_type;
        /// bytes of one name, version, nonce or type URL of a request
        max_name_bytes: ByteSize => xds.policy.limits.name_bytes;
        /// types of resources on one stream; an Envoy uses ten
        max_types: usize => xds.policy.limits.types;
        /// bytes of all names and globs that a stream asks for, of every type
        max_subscribed_bytes: ByteSize => xds.policy.limits.subscribed_bytes;
        /// memory of the names, globs and presented versions of all streams together; each takes its bytes and some
        /// hundred more, and a list that several streams ask for counts once
        max_total_subscribed_bytes: ByteSize => xds.limits.subscribed_bytes;
        /// streams open at once of one `node.id`
        max_streams_per_node: usize => xds.limits.streams_per_node;
        /// streams open at once of one verified identity; that of a client certificate, a token or a JWT, from any
        /// address. More are refused with RESOURCE_EXHAUSTED and the time after which to retry, and counted as
        /// `identity_streams` in `xds_streams_refused_total`. Clients without an identity are limited by their address alone
        max_streams_per_identity: usize => xds.limits.streams_per_identity;
        /// largest share of a common limit that one address may use, as `0.5` or `50%`; of `xds.new_streams_per_second`,
        /// `max_total_subscribed_bytes`, `max_unfinished_bytes`, `max_polled_bytes` and of the polls that are remembered;
        /// an IPv6 network of 64 bits counts as one address. `1` if all clients come through one proxy
        max_peer_share: Share => xds.limits.peer_share, polls.peer_share;
        /// bytes of incomplete requests over all connections; one request of `xds.max_request_bytes` from one address
        /// always fits
        max_unfinished_bytes: ByteSize => xds.limits.unfinished_bytes;
        /// time for which a request may stay incomplete
        request_timeout: Span => xds.limits.request_timeout, polls.request_timeout;
        /// bytes of one load report
        max_load_report_bytes: ByteSize => xds.lrs.request_bytes;
        /// clusters of one load report
        max_load_report_clusters: usize => xds.lrs.clusters;
        /// bytes of one poll over REST; more is refused with 413
        max_poll_bytes: ByteSize => polls.request_bytes;
        /// names of one type that a node may poll for over REST, in all its polls
        max_poll_names: usize => polls.names;
        /// bytes of all names that nodes poll for over REST; a poll that brings more is refused with 429
        max_polled_bytes: ByteSize => polls.remembered_bytes;
    }
}

section! {
    /// Nodes that poll over REST.
    RestLayer in "rest." {
        /// answer nodes that poll over REST; where it is off, their paths are 404
        enabled: bool = false;
        /// time for which a node that stops polling over REST still counts as connected; longer than twice its
        /// `refresh_delay`
        poll_timeout: Span = Span::seconds(300);
    }
}

section! {
    /// Load reports.
    LrsLayer in "lrs." {
        /// time for which a load report collects, longer than `0s`
        #[check = longer_than_zero]
        interval: Span => xds.lrs.interval;
    }
}

section! {
    /// The order of a change on aggregated streams.
    OrderingLayer in "ordering." {
        /// make before break on aggregated streams
        enabled: bool => xds.policy.ordering.enabled;
        /// groups that are served without make before break; every type at once, removals included
        #[unit = "GROUP,…"]
        off_groups: Vec<String> => xds.unordered;
        /// time that a step that adds or changes waits for the ACK of an earlier one; steps that remove wait for ever.
        /// Longer than Envoy's `initial_fetch_timeout` (15 s)
        make_timeout: Span => xds.policy.ordering.make_timeout;
        /// time that removals wait after everything else was ACKed. For listeners with an inline route: connections on
        /// their drained filter chains still use it, and nothing shows that, so set Envoy's `--drain-time-s` or more
        removal_delay: Span => xds.policy.ordering.removal_delay;
        /// time for which a removed cluster is held for a route configuration that still names it. Longer than Envoy's
        /// `--drain-time-s` (600 s)
        hold_cap: Span => xds.policy.ordering.hold_cap;
    }
}

section! {
    /// Differences between clients.
    ProtocolLayer in "protocol." {
        /// answer names that do not exist with an error of the resource; clients that do not know the field ignore it
        resource_errors: bool => xds.policy.resource_errors;
        /// groups whose clients are sent TTLs and heartbeats even if they do not advertise that they take them; a gRPC
        /// client refuses them
        #[unit = "GROUP,…"]
        ttl_groups: Vec<String> => xds.ttl;
        /// resources that a wildcard leaves out, as `TYPE:NAME` with `*` in the name; `cluster:tenant-*` is sent only to
        /// clients that request it by name
        #[unit = "TYPE:NAME,…"]
        on_demand: Vec<String> = Vec::new() => xds.policy.on_demand;
        /// bytes of a delta response above which it is split for gRPC clients; they take 4 MiB by default, Envoys any size.
        /// Any other response above it is in the log and in `status`
        max_response_bytes: ByteSize => xds.policy.limits.response_bytes;
        /// types whose removals are not sent in delta; Envoy deletes a filter's configuration while the filter is in use
        #[unit = "TYPE,…"]
        quiet_removals: Vec<String> => xds.policy.quiet_removals;
        /// types of which a reconnecting delta client is sent everything again, whatever versions it presents; `endpoint`
        /// for Envoys that forget endpoints and keep their version
        #[unit = "TYPE,…"]
        resend_presented: Vec<String> => xds.policy.resend_presented;
    }
}

section! {
    /// Nodes, connected and gone.
    FleetLayer in "fleet." {
        /// nodes remembered at once, connected or not; the longest gone are forgotten first
        max_nodes: usize => fleet.nodes;
        /// bytes kept of the message of a NACK
        max_nack_message_bytes: ByteSize => fleet.nack_message_bytes;
        /// clusters kept of a node's last load report, the busiest
        max_load_clusters: usize => fleet.load_clusters;
        /// time for which a node is remembered after its last stream ended
        forget_after: Span => fleet.forget_after;
        /// time for which a response may go unanswered before the status of its node names it; a warming cluster withholds
        /// its ACK for up to 15 s
        unanswered_after: Span => fleet.unanswered_after;
    }
}

/// An interval of zero would make clients report without a pause.
fn longer_than_zero(key: &'static str, span: &Span) -> Result<(), SettingsError> {
    if span.0.is_zero() {
        let rule = "longer than 0s";
        return Err(SettingsError::Range { key, rule });
    }
    Ok(())
}
