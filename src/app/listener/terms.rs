//! On what terms a port takes connections in, and how long it bears with them.

use std::{sync::Arc, time::Duration};

use super::{Crowd, Followed};
use crate::metrics::{ConnectionMetrics, PortLabel};

/// The terms on which a port takes connections in.
#[derive(Clone, Debug)]
pub(in crate::app) struct Terms {
    pub(in crate::app) port: PortLabel,
    /// `None` where it is spoken in the clear.
    pub(in crate::app) tls: Option<Followed>,
    pub(in crate::app) crowd: Arc<Crowd>,
    pub(in crate::app) patience: Patience,
    pub(in crate::app) metrics: ConnectionMetrics,
}

/// Times that a peer is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For its handshake, and for its first bytes.
    pub(crate) opening: Duration,
    /// Bytes that open a connection: of HTTP/2 the preface and the first frame.
    pub(crate) opening_bytes: usize,
    /// For a byte in either direction; `None` where the protocol finds out by itself.
    pub(crate) idle: Option<Duration>,
    /// For it to take in what was written.
    pub(crate) unread: Duration,
}
