//! Requests of publishers, and the answers.

use std::collections::BTreeMap;

use super::{change::TypeChange, error::PublishError, outlook::Outlook};
use crate::{
    admission::{Candidate, Finding},
    node::NodeGroup,
    resource::{ResourceName, ResourceType},
    revision::{Origin, RevisionInfo},
    snapshot::Revision,
};

/// Bytes of a group's name or a named version: both travel in every response and are keys of the store.
const TEXT_BYTES: usize = 256;

/// Bytes of the author's name, which is kept with every revision.
const AUTHOR_BYTES: usize = 256;
/// Bytes of the message, which is kept with every revision.
const MESSAGE_BYTES: usize = 4096;

/// Makes the snapshot of a group exactly the candidate.
#[derive(Clone, Debug)]
pub struct ReplaceRequest {
    /// The group.
    pub group: NodeGroup,
    /// All resources of the group itself.
    pub candidate: Candidate,
    /// Options of the publish.
    pub options: PublishOptions,
}

/// Adds, updates and deletes single resources. A group without a snapshot gets a new one of the added resources.
#[derive(Clone, Debug)]
pub struct PatchRequest {
    /// The group.
    pub group: NodeGroup,
    /// Resources to add, or to replace those of the same type and name.
    pub candidate: Candidate,
    /// Resources to delete; each must exist. A resource that is both deleted and given is replaced.
    pub deletions: Vec<(ResourceType, ResourceName)>,
    /// Options of the publish.
    pub options: PublishOptions,
}

/// Options of a publish.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Checks everything and reports the changes; stores and serves nothing.
    pub dry_run: bool,
    /// The current revision that the group must have; 0 for a group without a snapshot. Without it the last publisher wins.
    pub expected_revision: Option<u64>,
    /// The version of the types that change. If it already names another state, the revision is added as a suffix.
    pub version_info: Option<String>,
    /// The reason for the publish, for people.
    pub message: String,
    /// The author's name, for people: no decision depends on it.
    pub author: String,
    /// Accepts warnings where [`PublisherSettings::deny_warnings`](super::PublisherSettings::deny_warnings) is set.
    pub allow_warnings: bool,
    /// Refuses warnings, as [`PublisherSettings::deny_warnings`](super::PublisherSettings::deny_warnings) does for all.
    pub deny_warnings: bool,
    /// Confirms all removals: those that empty a type, and those of a large share.
    pub allow_removals: bool,
    /// Identifies the publish within its group: a publish with the same key and content is a repetition of it.
    pub idempotency_key: Option<String>,
    /// The source of the publish. A group that another source owns is refused.
    pub origin: Origin,
}

/// The answer to a publish or to a dry run.
#[derive(Clone, Debug)]
pub struct Published {
    /// The group.
    pub group: NodeGroup,
    /// The revision that is now current; 0 for a dry run on a group without a snapshot.
    pub revision: Revision,
    /// A new revision was made, or would be made by a dry run.
    pub changed: bool,
    /// This was a dry run.
    pub dry_run: bool,
    /// The publish was done before, under the same idempotency key: this is the earlier answer.
    pub repeated: bool,
    /// The changes, per type in send order.
    pub changes: Vec<TypeChange>,
    /// Warnings that were accepted.
    pub warnings: Vec<Finding>,
    /// Removals that need [`PublishOptions::allow_removals`]; in a dry run only.
    pub unconfirmed: Vec<Finding>,
    /// The effect of the publish; in a dry run only.
    pub outlook: Option<Outlook>,
}

/// The later state of a comparison.
#[derive(Clone, Debug)]
pub enum DiffTarget {
    /// Another kept revision of the group; `None` for the current one.
    Revision(Option<Revision>),
    /// The state that a publish of the candidate would make.
    Candidate(Candidate),
}

/// The difference between two states of a group.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The changes, per type in send order.
    pub changes: Vec<TypeChange>,
    /// Findings in a candidate: warnings, and removals that need a confirmation.
    pub findings: Vec<Finding>,
    /// The two states.
    pub outlook: Outlook,
}

/// Counts of everything that is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Groups with a snapshot.
    pub groups: usize,
    /// The newest current revision of all groups.
    pub revision: Revision,
    /// Resources by type, over all groups.
    pub resources: BTreeMap<ResourceType, usize>,
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotEvent {
    /// The group has a new revision.
    Published(RevisionInfo),
    /// The snapshot of the group was deleted.
    Deleted {
        /// The group.
        group: NodeGroup,
        /// The revision of the deletion.
        revision: Revision,
    },
}

/// Refuses a request whose texts are too long or malformed.
pub(super) fn check_request(group: &NodeGroup, options: &PublishOptions) -> Result<(), PublishError> {
    check_group(group)?;
    if let Some(key) = options.idempotency_key.as_ref().filter(|key| !is_sound(key)) {
        return Err(PublishError::InvalidKey(key.clone()));
    }
    let control = options.author.chars().any(char::is_control);
    for (field, text, most, plain) in [
        ("author", &options.author, AUTHOR_BYTES, true),
        ("message", &options.message, MESSAGE_BYTES, false),
    ] {
        if text.len() > most || (plain && control) {
            let bytes = text.len();
            return Err(PublishError::InvalidText {
                field,
                bytes,
                most,
                plain,
            });
        }
    }
    match &options.version_info {
        Some(version) if !is_sound(version) => Err(PublishError::InvalidVersion(version.clone())),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a group whose name is empty, too long or malformed.
pub(super) fn check_group(group: &NodeGroup) -> Result<(), PublishError> {
    if is_sound(group.as_str()) {
        return Ok(());
    }
    Err(PublishError::InvalidGroup(group.as_str().to_owned()))
}

fn is_sound(text: &str) -> bool {
    (1..=TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
