//! Files: a directory with a folder for each group, in the form of Envoy's own file-based discovery. What a folder says is
//! what its group is.
//!
//! A folder is read when something in it changes, and taken once it reads the same twice: a file that is being written is
//! not. What is refused leaves the last good in place, and so does a folder that is gone or empty; both are told in the
//! status.

mod folder;
mod status;
mod task;
mod watcher;

use std::{io, path::PathBuf, sync::Arc};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::watcher::Changes;
pub use self::{
    status::{FolderState, FolderStatus},
    task::FilesTask,
};
use crate::{admission::Limits, metrics::FilesMetrics, publisher::Publisher};

/// A handle on the file source. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Files {
    statuses: watch::Receiver<Arc<Vec<FolderStatus>>>,
    metrics: FilesMetrics,
}

/// Why the file source cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the directory {}: {source}", .path.display())]
pub struct FilesError {
    path: PathBuf,
    source: io::Error,
}

// === impl Files ===

impl Files {
    /// A source that reads the folders of `root`, and the task that must run for it to do so.
    ///
    /// # Errors
    ///
    /// [`FilesError`] where `root` is no directory that can be read.
    pub fn open(
        root: PathBuf,
        limits: &Limits,
        publisher: Arc<Publisher>,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<(Self, FilesTask), FilesError> {
        if let Err(source) = std::fs::read_dir(&root) {
            return Err(FilesError { path: root, source });
        }
        let changes = Changes::of(&root);
        let (published, statuses) = watch::channel(Arc::default());
        let reader = folder::Reader::new(root, limits.document_bytes);
        let metrics = FilesMetrics::default();
        let task = FilesTask::new(reader, publisher, tracker, shutdown, changes, published).counting(metrics.clone());
        Ok((Self { statuses, metrics }, task))
    }

    /// What is counted of what is read.
    #[must_use]
    pub const fn metrics(&self) -> &FilesMetrics {
        &self.metrics
    }

    /// How every folder stands, by group.
    #[must_use]
    pub fn statuses(&self) -> Arc<Vec<FolderStatus>> {
        Arc::clone(&self.statuses.borrow())
    }
}

#[cfg(test)]
mod tests;
