//! Counters of connections, by port.

use std::time::SystemTime;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{
    labels::{ConnectionRefusal, HandshakeFailure, PortLabel, Silence, WithdrawnLabel},
    table::Table,
};

/// Counters of connections. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    open: Table<(PortLabel,), Gauge>,
    unread: Table<(PortLabel,), Gauge>,
    unread_dropped: Table<(PortLabel,), Counter>,
    accept_errors: Table<(PortLabel,), Counter>,
    refused: Table<(PortLabel, ConnectionRefusal), Counter>,
    handshakes: Table<(PortLabel, HandshakeFailure), Counter>,
    silent: Table<(PortLabel, Silence), Counter>,
    renewals: Table<(PortLabel,), Counter>,
    broken_files: Table<(PortLabel,), Counter>,
    withdrawn: Table<(PortLabel, WithdrawnLabel), Counter>,
    next_update: Table<(PortLabel,), Gauge>,
}

// === impl ConnectionMetrics ===

impl ConnectionMetrics {
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("xds_connections", "Open connections", self.open.clone());
        registry.register(
            "xds_unread_streams",
            "Streams whose client has not read what it was sent for more than 5 seconds",
            self.unread.clone(),
        );
        registry.register(
            "xds_unread_streams_dropped",
            "Streams that were ended because the client did not read what it was sent",
            self.unread_dropped.clone(),
        );
        registry.register(
            "xds_accept_errors",
            "Failed attempts to accept a connection, mostly for lack of descriptors",
            self.accept_errors.clone(),
        );
        registry.register(
            "xds_connections_refused",
            "Connections that were closed at once because there were too many",
            self.refused.clone(),
        );
        registry.register(
            "xds_tls_handshake_failures",
            "TLS handshakes that failed",
            self.handshakes.clone(),
        );
        registry.register(
            "xds_connections_dropped",
            "Connections that were closed because the peer stayed silent or did not read, or to make room",
            self.silent.clone(),
        );
        registry.register(
            "xds_tls_renewals",
            "Changes of certificates, keys or CAs that were loaded",
            self.renewals.clone(),
        );
        registry.register(
            "xds_tls_broken_files",
            "Changes of certificates, keys or CAs that could not be loaded",
            self.broken_files.clone(),
        );
        registry.register(
            "xds_tls_withdrawn_certificates",
            "Connections that were closed because the client certificate is no longer valid",
            self.withdrawn.clone(),
        );
        registry.register(
            "xds_tls_crl_next_update_seconds",
            "Time by which the first list of revoked certificates must be replaced, in seconds since 1970; 0 without lists",
            self.next_update.clone(),
        );
    }

    /// Counts a new connection.
    pub fn opened(&self, port: PortLabel) {
        self.open.at((port,)).inc();
    }

    /// Counts the end of a connection.
    pub fn closed(&self, port: PortLabel) {
        self.open.at((port,)).dec();
    }

    /// Sets the number of streams that are not read now.
    pub fn unread(&self, port: PortLabel, streams: i64) {
        self.unread.at((port,)).set(streams);
    }

    /// Counts a stream that was ended because it was not read.
    pub fn unread_dropped(&self, port: PortLabel) {
        self.unread_dropped.at((port,)).inc();
    }

    /// Counts a failed accept.
    pub fn accept_failed(&self, port: PortLabel) {
        self.accept_errors.at((port,)).inc();
    }

    /// Counts a connection that was closed at once.
    pub fn refused(&self, port: PortLabel, reason: ConnectionRefusal) {
        self.refused.at((port, reason)).inc();
    }

    /// Counts a failed handshake.
    pub fn handshake_failed(&self, port: PortLabel, failure: HandshakeFailure) {
        self.handshakes.at((port, failure)).inc();
    }

    /// Counts a connection that was closed for the silence of its peer.
    pub fn silent(&self, port: PortLabel, silence: Silence) {
        self.silent.at((port, silence)).inc();
    }

    /// Counts a connection that was closed for its client's certificate.
    pub fn withdrawn(&self, port: PortLabel, reason: WithdrawnLabel) {
        self.withdrawn.at((port, reason)).inc();
    }

    /// Sets the time by which the first list of revoked certificates must be replaced; `None` without lists.
    pub fn lists_until(&self, port: PortLabel, next_update: Option<SystemTime>) {
        let since = next_update.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        self.next_update.at((port,)).set(seconds);
    }

    /// Counts a change of TLS files, by whether the new files could be used.
    pub fn files_changed(&self, port: PortLabel, taken: bool) {
        let table = if taken { &self.renewals } else { &self.broken_files };
        table.at((port,)).inc();
    }
}
