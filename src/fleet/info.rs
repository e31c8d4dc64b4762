//! The form of a stream: its protocol, its scope and its peer.

use std::sync::Arc;

use crate::{connection::Pace, metrics, protocol::Variant};

/// The protocol of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A stream of messages over gRPC.
    Grpc(Variant),
    /// Polls of one node over REST, recorded as one stream (H).
    Rest,
}

/// The form of a stream.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// The reading pace of the stream's client; `None` if it is not measured.
    pub pace: Option<Arc<Pace>>,
    /// SotW, delta or REST.
    pub protocol: Protocol,
    /// ADS, or a service of one type.
    pub aggregated: bool,
    /// The peer's address, as text for people.
    pub peer: String,
}

// === impl Protocol ===

impl From<Protocol> for metrics::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Grpc(Variant::Sotw) => Self::Sotw,
            Protocol::Grpc(Variant::Delta) => Self::Delta,
            Protocol::Rest => Self::Rest,
        }
    }
}
