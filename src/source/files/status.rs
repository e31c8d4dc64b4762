//! The status of folders: the published revision, or the reason why the folder is not published.

use std::{path::PathBuf, time::SystemTime};

use crate::{admission::Finding, metrics::FolderLabel, node::NodeGroup, snapshot::Revision};

/// The status of one folder, or of the directory.
#[derive(Clone, Debug)]
pub struct FolderStatus {
    /// The group of the folder; `None` for the directory, which has a status only if it has a problem.
    pub group: Option<NodeGroup>,
    /// The path of the folder.
    pub path: PathBuf,
    /// The state of the folder.
    pub state: FolderState,
    /// The last revision that was made of the folder, even if its files have changed since.
    pub revision: Option<Revision>,
    /// The time since when the folder has this status.
    pub since: SystemTime,
    /// The problem, in one line; empty without one.
    pub message: String,
    /// Findings of admission: errors where it refused the folder, else warnings.
    pub findings: Vec<Finding>,
}

/// The state of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// The group has the contents of the folder.
    Published,
    /// Admission refused the folder: the last good revision stays.
    Refused,
    /// The folder cannot be read or stored: the last good revision stays.
    Failed,
    /// The folder is gone or has no files: its last revision stays.
    Held,
    /// Another source publishes the group.
    Conflict,
}

// === impl FolderStatus ===

impl FolderStatus {
    /// Returns true if both are equal, apart from the time.
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
