//! Reasons to refuse a publish or a query.

use crate::{
    admission::Rejection,
    node::NodeGroup,
    resource::{ResourceName, ResourceType},
    revision::{Owner, StoreError},
    snapshot::Revision,
};

/// Characters of a name that an error quotes: enough to recognize the name.
const QUOTED: usize = 64;

/// The reason why a publish or a query was refused. Nothing was stored or served.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Admission found errors, or warnings while warnings are denied.
    #[error("refused by validation:\n{0}")]
    Rejected(Rejection),
    /// The publish removes more than it may without [`PublishOptions::allow_removals`](super::PublishOptions::allow_removals).
    #[error("refused, since nobody confirmed what it removes:\n{0}")]
    Unconfirmed(Rejection),
    /// Another publish came first.
    #[error("expected revision {expected}, the group is at {current}")]
    Conflict {
        /// The revision that the publisher expected.
        expected: Revision,
        /// The revision of the group; 0 without a snapshot.
        current: Revision,
    },
    /// Another source publishes the group.
    #[error("group \"{group}\" is published by {owner}{}", remedy(*.owner))]
    Owned {
        /// The group.
        group: NodeGroup,
        /// The source that publishes it.
        owner: Owner,
    },
    /// The idempotency key belongs to another publish.
    #[error(
        "idempotency key \"{key}\" was used for another publish to group \"{group}\", which came to revision {revision}: a retry must \
         have the same content, and another publish another key"
    )]
    KeyReused {
        /// The group.
        group: NodeGroup,
        /// The key.
        key: String,
        /// The revision of the publish with this key.
        revision: Revision,
    },
    /// An idempotency key is empty, longer than 256 bytes, or has control characters.
    #[error("invalid idempotency key {}: expected 1 to 256 bytes without control characters", quoted(.0))]
    InvalidKey(String),
    /// The author or the message is too long, or has control characters that are not allowed.
    #[error("{field} has {bytes} bytes: expected at most {most}{}", if *.plain { " without control characters" } else { "" })]
    InvalidText {
        /// The field of the request.
        field: &'static str,
        /// The length of the field.
        bytes: usize,
        /// The largest length allowed.
        most: usize,
        /// `true` where the field must be one line of text.
        plain: bool,
    },
    /// The request names something that does not exist.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// A group's name is empty, longer than 256 bytes, or has control characters.
    #[error("invalid group {}: expected 1 to 256 bytes without control characters", quoted(.0))]
    InvalidGroup(String),
    /// A `version_info` is empty, longer than 256 bytes, or has control characters.
    #[error("invalid version_info {}: expected 1 to 256 bytes without control characters", quoted(.0))]
    InvalidVersion(String),
    /// The store could not read, or could not make the revision durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A named thing that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// The group has no snapshot.
    #[error("group \"{0}\" has no snapshot")]
    Group(NodeGroup),
    /// The group has no such revision, or no longer has it, or it is a deletion.
    #[error("group \"{group}\" has no snapshot of revision {revision}{}", oldest_kept(.oldest))]
    Revision {
        /// The group.
        group: NodeGroup,
        /// The revision.
        revision: Revision,
        /// The oldest revision that is kept.
        oldest: Option<Revision>,
    },
    /// The group has no such resource.
    #[error("group \"{group}\" has no {resource_type} \"{name}\"")]
    Resource {
        /// The group.
        group: NodeGroup,
        /// The type.
        resource_type: ResourceType,
        /// The name.
        name: ResourceName,
    },
}

const fn remedy(owner: Owner) -> &'static str {
    match owner {
        Owner::AdminApi => ": delete its snapshot to let another source have it",
        Owner::Files => ": change them, or remove its folder and delete its snapshot",
    }
}

fn oldest_kept(oldest: &Option<Revision>) -> String {
    oldest
        .map(|oldest| format!(", the oldest kept is {oldest}"))
        .unwrap_or_default()
}

/// The beginning of a text, quoted and escaped.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{:?}… of {} bytes", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
