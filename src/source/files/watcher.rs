//! Watches a directory for changes. The system may report them late or not at all: the source also reads the directory
//! from time to time.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::Notify;
use tracing::warn;

use crate::input;

/// A file counts as being written for this long after its last write. Nobody needs longer between two writes, and a file
/// that is never closed must not block its folder for ever.
const WRITING: Duration = Duration::from_secs(30);

/// True if the system reports when a file is closed.
const REPORTS_CLOSE: bool = cfg!(target_os = "linux");

/// Changes below a directory.
#[derive(Debug)]
pub(super) struct Changes {
    signals: Arc<Signals>,
    /// The directory that is watched, which may have been replaced at its path.
    watched: Option<Identity>,
    /// Watches until it is dropped; `None` where the system refuses further watches.
    _watcher: Option<RecommendedWatcher>,
}

/// Identifies a directory on its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

#[derive(Debug, Default)]
struct Signals {
    changed: Notify,
    /// Files that were written and not closed since, with the time of the last write.
    writing: Mutex<HashMap<PathBuf, Instant>>,
}

// === impl Changes ===

impl Changes {
    /// Watches a directory and everything below it.
    pub(super) fn of(root: &Path) -> Self {
        let signals = Arc::new(Signals::default());
        let reporter = Arc::clone(&signals);
        let report = move |event: notify::Result<Event>| reporter.on_event(event);
        let watcher = notify::recommended_watcher(report).and_then(|mut watcher| {
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| {
            warn!(root = %root.display(), %error, "changes of files are not reported by the system: the directory is only read from time to time");
        });
        Self {
            signals,
            watched: Identity::of(root).ok(),
            _watcher: watcher.ok(),
        }
    }

    /// Waits for the next change; a change since the last call counts.
    pub(super) async fn next(&self) {
        self.signals.changed.notified().await;
    }

    /// Returns true if this directory is watched. A directory that was removed and made again is another one.
    pub(super) fn are_of(&self, root: Identity) -> bool {
        self.watched == Some(root)
    }

    /// Returns true if a file of this folder is being written, as far as the system reports: its content may be incomplete.
    pub(super) fn is_written(&self, folder: &Path) -> bool {
        let mut writing = self.signals.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.retain(|_, last| last.elapsed() < WRITING);
        writing.keys().any(|path| path.starts_with(folder))
    }
}

// === impl Signals ===

impl Signals {
    fn on_event(&self, event: notify::Result<Event>) {
        // An error may hide any change.
        if let Ok(event) = event {
            self.note_writing(&event);
            if !is_change(&event.kind) {
                return;
            }
        }
        self.changed.notify_one();
    }

    fn note_writing(&self, event: &Event) {
        let begun = match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => REPORTS_CLOSE,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => false,
            EventKind::Access(_) | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
                return;
            }
        };
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for path in event.paths.iter().filter(|path| input::is_configuration(path)) {
            if begun {
                writing.insert(path.clone(), Instant::now());
            } else {
                writing.remove(path);
            }
        }
    }
}

// === impl Identity ===

impl Identity {
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(root)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// Reads are reported too, ours among them, and are no change.
const fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}
