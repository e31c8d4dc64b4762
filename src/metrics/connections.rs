//! What became of connections, by port.

use std::time::SystemTime;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{
    labels::{ConnectionRefusal, HandshakeFailure, PortLabel, Silence, WithdrawnLabel},
    table::Table,
};

/// Counters of connections. Clones are one and the same.
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
    /// Exposes the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("xds_connections", "Connections that are open", self.open.clone());
        registry.register(
            "xds_unread_streams",
            "Streams whose client has made no room for what it was sent for more than 5 seconds",
            self.unread.clone(),
        );
        registry.register(
            "xds_unread_streams_dropped",
            "Streams that were ended because the client made no room for what it was sent",
            self.unread_dropped.clone(),
        );
        registry.register(
            "xds_accept_errors",
            "Times that no connection could be accepted, for want of descriptors most of the time",
            self.accept_errors.clone(),
        );
        registry.register(
            "xds_connections_refused",
            "Connections that were closed at once, for there were too many",
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
            "Times that changed certificates, keys or CAs were taken",
            self.renewals.clone(),
        );
        registry.register(
            "xds_tls_broken_files",
            "Times that certificates, keys or CAs changed into what could not be taken",
            self.broken_files.clone(),
        );
        registry.register(
            "xds_tls_withdrawn_certificates",
            "Connections that were closed because the certificate of their client is good no longer",
            self.withdrawn.clone(),
        );
        registry.register(
            "xds_tls_crl_next_update_seconds",
            "When the first list of revoked certificates is to be replaced, in seconds since 1970; 0 without lists",
            self.next_update.clone(),
        );
    }

    /// A connection is open.
    pub fn opened(&self, port: PortLabel) {
        self.open.at((port,)).inc();
    }

    /// A connection is open no longer.
    pub fn closed(&self, port: PortLabel) {
        self.open.at((port,)).dec();
    }

    /// So many streams are not read now.
    pub fn unread(&self, port: PortLabel, streams: i64) {
        self.unread.at((port,)).set(streams);
    }

    /// A stream was ended for it.
    pub fn unread_dropped(&self, port: PortLabel) {
        self.unread_dropped.at((port,)).inc();
    }

    /// Nothing could be accepted.
    pub fn accept_failed(&self, port: PortLabel) {
        self.accept_errors.at((port,)).inc();
    }

    /// A connection was closed at once.
    pub fn refused(&self, port: PortLabel, reason: ConnectionRefusal) {
        self.refused.at((port, reason)).inc();
    }

    /// A handshake failed.
    pub fn handshake_failed(&self, port: PortLabel, failure: HandshakeFailure) {
        self.handshakes.at((port, failure)).inc();
    }

    /// A connection was closed for what its peer did not do.
    pub fn silent(&self, port: PortLabel, silence: Silence) {
        self.silent.at((port, silence)).inc();
    }

    /// A connection was closed for the certificate of its client.
    pub fn withdrawn(&self, port: PortLabel, reason: WithdrawnLabel) {
        self.withdrawn.at((port, reason)).inc();
    }

    /// Lists of revoked certificates are to be replaced at this time.
    pub fn lists_until(&self, port: PortLabel, next_update: Option<SystemTime>) {
        let since = next_update.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        self.next_update.at((port,)).set(seconds);
    }

    /// Files of TLS changed: they were taken, or could not be.
    pub fn files_changed(&self, port: PortLabel, taken: bool) {
        let table = if taken { &self.renewals } else { &self.broken_files };
        table.at((port,)).inc();
    }
}
