//! Files: a directory with a folder for each group, in the format of Envoy's own file-based discovery. The snapshot of a group
//! is the content of its folder.
//!
//! A folder is read when something in it changes, and published once two reads are equal, so that a half-written file is
//! not published. If a folder is refused, gone or empty, its last good revision stays, and the status reports the reason.

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

/// A handle on the file source. All clones share one source.
#[derive(Clone, Debug)]
pub struct Files {
    statuses: watch::Receiver<Arc<Vec<FolderStatus>>>,
    metrics: FilesMetrics,
}

/// The reason why the file source cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the directory {}: {source}", .path.display())]
pub struct FilesError {
    path: PathBuf,
    source: io::Error,
}

// === impl Files ===

impl Files {
    /// Returns a source that reads the folders of `root`, and its task, which must run.
    ///
    /// # Errors
    ///
    /// [`FilesError`] where `root` is not a readable directory.
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

    /// The counters of the source.
    #[must_use]
    pub const fn metrics(&self) -> &FilesMetrics {
        &self.metrics
    }

    /// The status of every folder, by group.
    #[must_use]
    pub fn statuses(&self) -> Arc<Vec<FolderStatus>> {
        Arc::clone(&self.statuses.borrow())
    }
}

#[cfg(test)]
mod tests;
