//! How the folders stand, for people: what of a folder is published, and if not, why.

use std::{path::PathBuf, time::SystemTime};

use crate::{admission::Finding, metrics::FolderLabel, node::NodeGroup, snapshot::Revision};

/// One folder, or the directory of all.
#[derive(Clone, Debug)]
pub struct FolderStatus {
    /// The group it is for; `None` for the directory itself, which has a status only where something is wrong with it.
    pub group: Option<NodeGroup>,
    /// Where it is.
    pub path: PathBuf,
    /// How it stands.
    pub state: FolderState,
    /// The revision that was made of it last, also where it says something else by now.
    pub revision: Option<Revision>,
    /// Since when it stands so.
    pub since: SystemTime,
    /// What is wrong, in one line; empty where nothing is.
    pub message: String,
    /// What admission has to say: errors where it is refused, else warnings.
    pub findings: Vec<Finding>,
}

/// How a folder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// The group is what the folder says.
    Published,
    /// Admission refused it: the last good stays.
    Refused,
    /// It cannot be read, or what it says could not be stored: the last good stays.
    Failed,
    /// It is gone or has no files: what it said last stays.
    Held,
    /// Another source publishes the group.
    Conflict,
}

// === impl FolderStatus ===

impl FolderStatus {
    /// Whether both say the same, whenever they were made.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        (self.state, &self.message, self.revision, &self.findings)
            == (other.state, &other.message, other.revision, &other.findings)
    }
}

// === impl FolderState ===

impl From<FolderState> for FolderLabel {
    fn from(state: FolderState) -> Self {
        match state {
            FolderState::Published => Self::Published,
            FolderState::Refused => Self::Refused,
            FolderState::Failed => Self::Failed,
            FolderState::Held => Self::Held,
            FolderState::Conflict => Self::Conflict,
        }
    }
}
