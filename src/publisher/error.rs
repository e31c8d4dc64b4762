//! Reasons to refuse a publish, or a question about one.

use crate::{
    admission::Rejection,
    node::NodeGroup,
    resource::{ResourceName, ResourceType},
    revision::{Owner, StoreError},
    snapshot::Revision,
};

/// Characters of a name that an error quotes: enough to know it by, whatever was sent.
const QUOTED: usize = 64;

/// The reason why a publish, or a question about one, was refused. Nothing was kept or served.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Admission found errors, or warnings where they are denied.
    #[error("refused by validation:\n{0}")]
    Rejected(Rejection),
    /// It removes more than may go without [`PublishOptions::allow_removals`](super::PublishOptions::allow_removals).
    #[error("refused, since nobody confirmed what it removes:\n{0}")]
    Unconfirmed(Rejection),
    /// Somebody else published in between.
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
        /// The revision that the publish with this key came to.
        revision: Revision,
    },
    /// An idempotency key is empty, longer than 256 bytes, or has control characters.
    #[error("invalid idempotency key {}: expected 1 to 256 bytes without control characters", quoted(.0))]
    InvalidKey(String),
    /// The author or the message is longer than is kept, or has control characters where none belong.
    #[error("{field} has {bytes} bytes: expected at most {most}{}", if *.plain { " without control characters" } else { "" })]
    InvalidText {
        /// The field of the request.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest that is kept.
        most: usize,
        /// It must be one line of text.
        plain: bool,
    },
    /// Something that was named is not there.
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

/// Something that was named and is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// The group has no snapshot.
    #[error("group \"{0}\" has no snapshot")]
    Group(NodeGroup),
    /// The group has no such revision, or no longer; deletions have nothing to show.
    #[error("group \"{group}\" has no snapshot of revision {revision}{}", oldest_kept(.oldest))]
    Revision {
        /// The group.
        group: NodeGroup,
        /// The revision.
        revision: Revision,
        /// The oldest that is kept.
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

/// The beginning of a text, as it would be written in code.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{:?}… of {} bytes", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
