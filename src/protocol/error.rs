//! Errors of a client that end its stream.

use crate::{resource::ResourceType, text::Shown};

/// A request that no correct client sends, or that exceeds a limit. The stream ends; the text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// L-2: the first request has no node.
    #[error("the first request of a stream must name its node")]
    MissingNode,
    /// L-2: neither the node's id nor its cluster names a group.
    #[error("the node names no group: node.id and node.cluster are empty")]
    NoGroup,
    /// L-12: a text by which the server remembers the node is too long. Field, bytes and limit.
    #[error("node.{0} is {1} bytes long, more than {2}")]
    NodeTextTooLong(&'static str, usize, usize),
    /// L-3: the node's id changed. Old and new id.
    #[error("node.id changed from \"{}\" to \"{}\" within a stream", Shown(.0), Shown(.1))]
    NodeChanged(String, String),
    /// L-4: an ADS request has no type URL.
    #[error("type_url is empty")]
    MissingTypeUrl,
    /// L-4: the type URL is malformed.
    #[error("type_url \"{}\" is malformed: expected \"type.googleapis.com/message.Name\"", Shown(.0))]
    MalformedTypeUrl(String),
    /// L-4: the type URL is not that of the stream. The request's type URL and the stream's type.
    #[error("type_url \"{}\" on a stream that serves {} only", Shown(.0), .1)]
    ForeignType(String, ResourceType),
    /// L-12: the node has too many streams. The limit.
    #[error("more than {0} streams of one node are open")]
    TooManyStreams(usize),
    /// L-12: the stream has too many types. The limit.
    #[error("more than {0} types on one stream")]
    TooManyTypes(usize),
    /// L-12: the stream has too many names of one type. The limit and the type.
    #[error("more than {0} names of type {1} subscribed on one stream")]
    TooManyNames(usize, ResourceType),
    /// L-12: the names of the stream are too long together. The limit in bytes.
    #[error("names of more than {0} bytes together subscribed on one stream")]
    TooManyNameBytes(usize),
    /// L-12: a resource name is too long. Bytes and limit.
    #[error("a resource name is {0} bytes long, more than {1}")]
    NameTooLong(usize, usize),
}

/// The kind of a [`ProtocolError`], from which the transport chooses a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is invalid.
    Invalid,
    /// The request exceeds a limit.
    Exhausted,
}

// === impl ProtocolError ===

impl ProtocolError {
    /// The kind of this error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooManyStreams(_) | Self::TooManyTypes(_) | Self::TooManyNames(..) | Self::TooManyNameBytes(_) => {
                ErrorKind::Exhausted
            }
            Self::MissingNode
            | Self::NoGroup
            | Self::NodeTextTooLong(..)
            | Self::NodeChanged(..)
            | Self::MissingTypeUrl
            | Self::MalformedTypeUrl(_)
            | Self::ForeignType(..)
            | Self::NameTooLong(..) => ErrorKind::Invalid,
        }
    }
}
