//! Word from the file system that something in a directory changed. It may be late, and may be lost: the source reads the
//! directory now and then in any case.

use std::{path::Path, sync::Arc};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;
use tracing::warn;

/// Changes below a directory.
#[derive(Debug)]
pub(super) struct Changes {
    told: Arc<Notify>,
    /// Watches until it is dropped; `None` where the system lets us watch nothing more.
    _watcher: Option<RecommendedWatcher>,
}

// === impl Changes ===

impl Changes {
    /// Watches a directory and everything below it.
    pub(super) fn of(root: &Path) -> Self {
        let told = Arc::new(Notify::new());
        let teller = Arc::clone(&told);
        let tell = move |event: notify::Result<Event>| {
            // An error may hide any change.
            if event.is_ok_and(|event| !is_change(&event.kind)) {
                return;
            }
            teller.notify_one();
        };
        let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| {
            warn!(root = %root.display(), %error, "changes of files are not told by the system: they are looked for instead");
        });
        Self {
            told,
            _watcher: watcher.ok(),
        }
    }

    /// Waits for the next change; one that came since the last call counts.
    pub(super) async fn next(&self) {
        self.told.notified().await;
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
