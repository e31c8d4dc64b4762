//! The terms of a port that serves HTTP/2.

use tokio_util::sync::CancellationToken;

use crate::{
    connection::Http2Limits,
    metrics::{ConnectionMetrics, PortLabel},
};

/// The terms of a server of HTTP/2.
#[derive(Clone, Debug)]
pub(in crate::app) struct Terms {
    pub(in crate::app) port: PortLabel,
    pub(in crate::app) limits: Http2Limits,
    pub(in crate::app) metrics: ConnectionMetrics,
    pub(in crate::app) stop: CancellationToken,
}
