//! Why a stream is ended by us.

use crate::{resource::ResourceType, text::Shown};

/// A request that no correct client sends, or that passes a limit. The stream ends; the text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// L-2.
    #[error("the first request of a stream must name its node")]
    MissingNode,
    /// L-2.
    #[error("the node names no group: node.id and node.cluster are empty")]
    NoGroup,
    /// L-12: what a node is known by is kept as long as the node is remembered.
    #[error("node.{0} is {1} bytes long, more than {2}")]
    NodeTextTooLong(&'static str, usize, usize),
    /// L-3.
    #[error("node.id changed from \"{}\" to \"{}\" within a stream", Shown(.0), Shown(.1))]
    NodeChanged(String, String),
    /// L-4.
    #[error("type_url is empty")]
    MissingTypeUrl,
    /// L-4.
    #[error("type_url \"{}\" is malformed: expected \"type.googleapis.com/message.Name\"", Shown(.0))]
    MalformedTypeUrl(String),
    /// L-4.
    #[error("type_url \"{}\" on a stream that serves {} only", Shown(.0), .1)]
    ForeignType(String, ResourceType),
    /// L-12.
    #[error("more than {0} streams of one node are open")]
    TooManyStreams(usize),
    /// L-12.
    #[error("more than {0} types on one stream")]
    TooManyTypes(usize),
    /// L-12.
    #[error("more than {0} names of type {1} subscribed on one stream")]
    TooManyNames(usize, ResourceType),
    /// L-12.
    #[error("names of more than {0} bytes together subscribed on one stream")]
    TooManyNameBytes(usize),
    /// L-12.
    #[error("a resource name is {0} bytes long, more than {1}")]
    NameTooLong(usize, usize),
}

/// What kind of mistake a [`ProtocolError`] is, for the transport to choose a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    Invalid,
    /// The request is too much.
    Exhausted,
}

// === impl ProtocolError ===

impl ProtocolError {
    /// What kind of mistake it is.
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
