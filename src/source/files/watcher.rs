//! Word from the file system that something in a directory changed. It may be late, and may be lost: the source reads the
//! directory now and then in any case.

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

/// How long a file counts as being written after the last that was written to it. Nobody who is still at it takes longer, and
/// whoever never closes a file does not hold up its folder for ever.
const WRITING: Duration = Duration::from_secs(30);

/// Whether the system says when a file is closed.
const TELLS_CLOSE: bool = cfg!(target_os = "linux");

/// Changes below a directory.
#[derive(Debug)]
pub(super) struct Changes {
    told: Arc<Told>,
    /// The directory that is watched; another of the same name is not.
    watched: Option<Identity>,
    /// Watches until it is dropped; `None` where the system lets us watch nothing more.
    _watcher: Option<RecommendedWatcher>,
}

/// A directory by itself, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

#[derive(Debug, Default)]
struct Told {
    news: Notify,
    /// Files that were written to and not closed since, and when they were written to last.
    writing: Mutex<HashMap<PathBuf, Instant>>,
}

// === impl Changes ===

impl Changes {
    /// Watches a directory and everything below it.
    pub(super) fn of(root: &Path) -> Self {
        let told = Arc::new(Told::default());
        let teller = Arc::clone(&told);
        let tell = move |event: notify::Result<Event>| teller.on_event(event);
        let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| {
            warn!(root = %root.display(), %error, "changes of files are not told by the system: they are looked for instead");
        });
        Self {
            told,
            watched: Identity::of(root).ok(),
            _watcher: watcher.ok(),
        }
    }

    /// Waits for the next change; one that came since the last call counts.
    pub(super) async fn next(&self) {
        self.told.news.notified().await;
    }

    /// Whether it is this directory that is watched. One that was removed and made again is another.
    pub(super) fn are_of(&self, root: Identity) -> bool {
        self.watched == Some(root)
    }

    /// Whether somebody is about to write a file of this folder, as far as the system tells: what is there is half of it.
    pub(super) fn is_written(&self, folder: &Path) -> bool {
        let mut writing = self.told.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.retain(|_, last| last.elapsed() < WRITING);
        writing.keys().any(|path| path.starts_with(folder))
    }
}

// === impl Told ===

impl Told {
    fn on_event(&self, event: notify::Result<Event>) {
        // An error may hide any change.
        if let Ok(event) = event {
            self.note_writing(&event);
            if !is_change(&event.kind) {
                return;
            }
        }
        self.news.notify_one();
    }

    fn note_writing(&self, event: &Event) {
        let begun = match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => TELLS_CLOSE,
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

/// Our own reading is told as well, and is no change.
const fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}
