//! The reasons why a request is not served.

use super::{ledger::Full, wire::Malformed};
use crate::{access::Denial, protocol::ProtocolError};

/// The reason why a request is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The bytes are not a request.
    #[error("the request cannot be decoded: {0}")]
    Malformed(#[from] Malformed),
    /// The node cannot be decoded.
    #[error("the request cannot be decoded: node: {0}")]
    Node(#[from] prost::DecodeError),
    /// The request exceeds a limit.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// The request's names do not fit beside those of the other streams.
    #[error(transparent)]
    Full(#[from] Full),
    /// The session refuses the request.
    #[error(transparent)]
    Refused(#[from] ProtocolError),
    /// The client may not be this node.
    #[error(transparent)]
    Denied(#[from] Denial),
}

/// A field that exceeds a limit. The scan finds it before the request is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    /// A field occurs too often.
    #[error("{0}: more than {1} of them in one request")]
    Count(&'static str, usize),
    /// A field is too long.
    #[error("{0} is {1} bytes long, more than {2}")]
    Bytes(&'static str, usize, usize),
}

/// Returns an error if there are more than `most` fields.
pub(super) const fn at_most(field: &'static str, count: usize, most: usize) -> Result<(), Excess> {
    if count > most {
        return Err(Excess::Count(field, most));
    }
    Ok(())
}

/// Returns an error if there are more than `most` bytes.
pub(super) const fn fits(field: &'static str, bytes: usize, most: usize) -> Result<(), Excess> {
    if bytes > most {
        return Err(Excess::Bytes(field, bytes, most));
    }
    Ok(())
}
