//! The terms of a port: its limits, TLS and timeouts for connections.

use std::{sync::Arc, time::Duration};

use super::{Crowd, Followed};
use crate::metrics::{ConnectionMetrics, PortLabel};

/// The terms on which a port accepts connections.
#[derive(Clone, Debug)]
pub(in crate::app) struct Terms {
    pub(in crate::app) port: PortLabel,
    /// `None` for a port without TLS.
    pub(in crate::app) tls: Option<Followed>,
    pub(in crate::app) crowd: Arc<Crowd>,
    pub(in crate::app) patience: Patience,
    pub(in crate::app) metrics: ConnectionMetrics,
}

/// Timeouts for a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the handshake, and for the first bytes.
    pub(crate) opening: Duration,
    /// Bytes that open a connection: for HTTP/2 the preface and the first frame.
    pub(crate) opening_bytes: usize,
    /// For a byte in either direction; `None` where the protocol has its own check.
    pub(crate) idle: Option<Duration>,
    /// For reading the written bytes.
    pub(crate) unread: Duration,
}
