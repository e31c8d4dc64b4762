//! Why a request is not served.

use super::{ledger::Full, wire::Malformed};
use crate::{access::Denial, protocol::ProtocolError};

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// Its bytes are no request.
    #[error("the request is not what its method takes: {0}")]
    Malformed(#[from] Malformed),
    /// The node in it is none.
    #[error("the request is not what its method takes: node: {0}")]
    Node(#[from] prost::DecodeError),
    /// It is more than is read of a stranger.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// What it asks for is more than there is room for beside the other streams.
    #[error(transparent)]
    Full(#[from] Full),
    /// The session refuses it.
    #[error(transparent)]
    Refused(#[from] ProtocolError),
    /// Whoever sends it may not be its node.
    #[error(transparent)]
    Denied(#[from] Denial),
}

/// A request that holds more than a limit lets it: found by the scan, before anything is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    /// A field is there too often.
    #[error("{0}: more than {1} of them in one request")]
    Count(&'static str, usize),
    /// A field is too long.
    #[error("{0} is {1} bytes long, more than {2}")]
    Bytes(&'static str, usize, usize),
}

/// Refuses more fields than this.
pub(super) const fn at_most(field: &'static str, count: usize, most: usize) -> Result<(), Excess> {
    if count > most {
        return Err(Excess::Count(field, most));
    }
    Ok(())
}

/// Refuses more bytes than this.
pub(super) const fn fits(field: &'static str, bytes: usize, most: usize) -> Result<(), Excess> {
    if bytes > most {
        return Err(Excess::Bytes(field, bytes, most));
    }
    Ok(())
}
