//! Requests of publishers, and their answers.

use std::collections::BTreeMap;

use super::{change::TypeChange, error::PublishError, outlook::Outlook};
use crate::{
    admission::{Candidate, Finding},
    node::NodeGroup,
    resource::{ResourceName, ResourceType},
    revision::{Origin, RevisionInfo},
    snapshot::Revision,
};

/// Bytes of a group's name or a named version: they travel in every response and name rows of the store.
const TEXT_BYTES: usize = 256;

/// Bytes of who publishes: a name for people, kept with every revision.
const AUTHOR_BYTES: usize = 256;
/// Bytes of why: a commit's message, kept with every revision.
const MESSAGE_BYTES: usize = 4096;

/// The snapshot of the group becomes exactly this.
#[derive(Clone, Debug)]
pub struct ReplaceRequest {
    /// The group.
    pub group: NodeGroup,
    /// All of its own resources.
    pub candidate: Candidate,
    /// Its options.
    pub options: PublishOptions,
}

/// Adds, updates and deletes single resources. A group without a snapshot gets one of what is added.
#[derive(Clone, Debug)]
pub struct PatchRequest {
    /// The group.
    pub group: NodeGroup,
    /// Resources to add, or to put in the place of those of the same type and name.
    pub candidate: Candidate,
    /// Resources that go; each must be there. What is deleted and given at once is replaced.
    pub deletions: Vec<(ResourceType, ResourceName)>,
    /// Its options.
    pub options: PublishOptions,
}

/// Options of a publish.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Check everything and say what would change; keep and serve nothing.
    pub dry_run: bool,
    /// The revision the group must be at; 0 for a group without a snapshot. Without it the last publisher wins.
    pub expected_revision: Option<u64>,
    /// Names the version of the types that change. A text that names another state already gets the revision behind it.
    pub version_info: Option<String>,
    /// The reason, for people.
    pub message: String,
    /// The author's name, for people: nothing is decided by it.
    pub author: String,
    /// Accepts warnings where [`PublisherSettings::deny_warnings`](super::PublisherSettings::deny_warnings) is set.
    pub allow_warnings: bool,
    /// Refuses warnings, as [`PublisherSettings::deny_warnings`](super::PublisherSettings::deny_warnings) does for every publish.
    pub deny_warnings: bool,
    /// Confirms that a type may become empty, and that much may go at once.
    pub allow_removals: bool,
    /// Names the publish within its group: one with the same key and content is this one, sent again.
    pub idempotency_key: Option<String>,
    /// The way by which it comes. A group that another source owns is not touched.
    pub origin: Origin,
}

/// The answer to a publish, or to a dry run of one.
#[derive(Clone, Debug)]
pub struct Published {
    /// The group.
    pub group: NodeGroup,
    /// The revision that is now current; 0 where a dry run found none.
    pub revision: Revision,
    /// A new revision was made, or would be.
    pub changed: bool,
    /// It was only tried.
    pub dry_run: bool,
    /// It was done before, under the same idempotency key: this is the answer of then.
    pub repeated: bool,
    /// The changes, per type in send order.
    pub changes: Vec<TypeChange>,
    /// Warnings that were accepted.
    pub warnings: Vec<Finding>,
    /// Findings that would refuse it unless confirmed by [`PublishOptions::allow_removals`]; only where this was tried.
    pub unconfirmed: Vec<Finding>,
    /// The step that it would be; only where this was tried.
    pub outlook: Option<Outlook>,
}

/// The state that another one is compared with.
#[derive(Clone, Debug)]
pub enum DiffTarget {
    /// Another kept revision of the group; `None` for the current one.
    Revision(Option<Revision>),
    /// The state that the candidate would make.
    Candidate(Candidate),
}

/// The difference between two states of a group.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The changes, per type in send order.
    pub changes: Vec<TypeChange>,
    /// Findings in a candidate: warnings, and removals that would have to be confirmed.
    pub findings: Vec<Finding>,
    /// The two states.
    pub outlook: Outlook,
}

/// Counts of everything that is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Groups with a snapshot.
    pub groups: usize,
    /// The newest revision of any group that is published.
    pub revision: Revision,
    /// Resources by type, over all groups.
    pub resources: BTreeMap<ResourceType, usize>,
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotEvent {
    /// It has a new revision.
    Published(RevisionInfo),
    /// It was deleted.
    Deleted {
        /// The group.
        group: NodeGroup,
        /// The revision that deleted it.
        revision: Revision,
    },
}

/// Refuses what could not be stored or sent under its name.
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

/// Refuses groups that could not be stored under their name.
pub(super) fn check_group(group: &NodeGroup) -> Result<(), PublishError> {
    if is_sound(group.as_str()) {
        return Ok(());
    }
    Err(PublishError::InvalidGroup(group.as_str().to_owned()))
}

fn is_sound(text: &str) -> bool {
    (1..=TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
