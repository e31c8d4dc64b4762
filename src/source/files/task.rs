//! The one task that reads the folders and publishes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    FolderState, FolderStatus,
    folder::{Content, Fingerprint, Folder, Reader, Reading},
    watcher::{Changes, Identity},
};
use crate::{
    admission::{Candidate, Document, Finding},
    metrics::FilesMetrics,
    node::NodeGroup,
    publisher::{PublishError, PublishOptions, Publisher, ReplaceRequest, SnapshotEvent},
    revision::Origin,
    snapshot::Revision,
};

/// Time for which a folder must not change before it is published: longer than an editor or a copy pauses between writes.
const SETTLE: Duration = Duration::from_millis(300);
/// Interval of reads without a reported change: they find changes whose report was lost, and retry after a failed store.
const POLL: Duration = Duration::from_secs(10);
/// Time that a start waits for folders that keep changing.
const BEGIN: Duration = Duration::from_secs(10);
/// Time after which the status reports that a read takes long: a network file system may not answer at all.
const SLOW: Duration = Duration::from_secs(30);
/// The author of the source's revisions.
const AUTHOR: &str = "files";

/// Runs the file source: see [`FilesTask::run`].
#[derive(Debug)]
pub struct FilesTask {
    reader: Reader,
    publisher: Arc<Publisher>,
    /// Owns reads and publishes, which block.
    tracker: TaskTracker,
    shutdown: CancellationToken,
    changes: Changes,
    events: broadcast::Receiver<SnapshotEvent>,
    /// The last fingerprint of each folder that was published or refused.
    taken: BTreeMap<NodeGroup, Fingerprint>,
    /// Folders to publish again without a change, since the store failed.
    again: BTreeSet<NodeGroup>,
    /// The status of every folder; `None` is the directory itself.
    standing: BTreeMap<Option<NodeGroup>, FolderStatus>,
    statuses: watch::Sender<Arc<Vec<FolderStatus>>>,
    metrics: FilesMetrics,
    slow: Duration,
}

/// The result of publishing a folder.
struct Outcome {
    state: FolderState,
    revision: Option<Revision>,
    message: String,
    findings: Vec<Finding>,
}

// === impl FilesTask ===

impl FilesTask {
    pub(super) fn new(
        reader: Reader,
        publisher: Arc<Publisher>,
        tracker: TaskTracker,
        shutdown: CancellationToken,
        changes: Changes,
        statuses: watch::Sender<Arc<Vec<FolderStatus>>>,
    ) -> Self {
        let events = publisher.subscribe();
        Self {
            reader,
            publisher,
            tracker,
            shutdown,
            changes,
            events,
            taken: BTreeMap::new(),
            again: BTreeSet::new(),
            standing: BTreeMap::new(),
            statuses,
            metrics: FilesMetrics::default(),
            slow: SLOW,
        }
    }

    /// Makes every read wait while somebody holds the lock, and reports slow reads at once.
    #[cfg(test)]
    pub(super) fn held_by(mut self, held: Arc<std::sync::Mutex<()>>) -> Self {
        self.reader.held = Some(held);
        self.slow = Duration::from_millis(10);
        self
    }

    /// Sets the counters.
    pub(super) fn counting(mut self, metrics: FilesMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Reads and publishes the folders for the first time: the server is ready afterwards.
    pub async fn begin(&mut self) {
        // A folder that somebody writes to all the time must not delay the others.
        timeout(BEGIN, self.bring_up_to_date()).await.ok();
    }

    /// Follows the folders until shutdown.
    pub async fn run(mut self) {
        let mut polls = interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.shutdown.clone();
        let follow = async {
            loop {
                tokio::select! {
                    () = self.changes.next() => {}
                    _ = polls.tick() => {
                        for group in std::mem::take(&mut self.again) {
                            self.taken.remove(&group);
                        }
                    }
                    event = self.events.recv() => if !self.concerns_us(event) {
                        continue;
                    },
                }
                self.bring_up_to_date().await;
            }
        };
        shutdown.run_until_cancelled(follow).await;
    }

    /// Returns true if an event needs a new read: a group whose snapshot was deleted is published from its folder again.
    fn concerns_us(&mut self, event: Result<SnapshotEvent, RecvError>) -> bool {
        match event {
            Ok(SnapshotEvent::Deleted { group, .. }) => {
                self.taken.remove(&group);
                true
            }
            Ok(SnapshotEvent::Published(_)) | Err(RecvError::Closed) => false,
            Err(RecvError::Lagged(_)) => {
                self.taken.clear();
                true
            }
        }
    }

    /// Reads until every changed folder was the same twice, and publishes each then.
    async fn bring_up_to_date(&mut self) {
        let mut before = BTreeMap::new();
        loop {
            let Some(reading) = self.read().await else {
                return;
            };
            let mut waiting = reading.root.is_some_and(|root| self.watch_anew(root));
            self.set_directory_status(reading.trouble);
            let Some(folders) = reading.folders else {
                return self.publish_status();
            };
            let fingerprints: BTreeMap<NodeGroup, Fingerprint> = folders
                .iter()
                .map(|(group, folder)| (group.clone(), folder.fingerprint))
                .collect();
            for (group, folder) in folders {
                if self.taken.get(&group) == Some(&folder.fingerprint) {
                    continue;
                }
                let same = before.get(&group) == Some(&folder.fingerprint);
                if same && !self.changes.is_written(&folder.path) {
                    self.take(group, folder).await;
                } else {
                    waiting = true;
                }
            }
            self.keep_missing(&fingerprints);
            self.publish_status();
            if !waiting {
                return;
            }
            before = fingerprints;
            sleep(SETTLE).await;
        }
    }

    /// Reads all folders, and reports it if that takes long, since published folders may be outdated. `None` at shutdown.
    async fn read(&mut self) -> Option<Reading> {
        let reader = self.reader.clone();
        let mut reading = self.tracker.spawn_blocking(move || reader.read());
        if let Ok(read) = timeout(self.slow, &mut reading).await {
            return read.ok();
        }
        let taken = humantime::format_duration(self.slow);
        let message = format!("is being read for longer than {taken}: changes in it are not seen until that ends");
        self.set_directory_status(Some(message));
        self.publish_status();
        reading.await.ok()
    }

    /// Watches the directory again if another one is at its path: a watch stays with the old one. Returns true if it was
    /// another one, since changes before the new watch were not reported.
    fn watch_anew(&mut self, root: Identity) -> bool {
        let another = !self.changes.are_of(root);
        if another {
            self.changes = Changes::of(self.reader.root());
        }
        another
    }

    /// Publishes a folder.
    async fn take(&mut self, group: NodeGroup, folder: Folder) {
        let Folder {
            path,
            content,
            fingerprint,
        } = folder;
        let outcome = match content {
            Content::Files(documents) => self.publish(&group, &path, documents).await,
            Content::Empty => Outcome::of(FolderState::Held, "has no files: what it published stays"),
            Content::Unreadable(reason) => Outcome::of(FolderState::Failed, reason),
        };
        self.metrics.reloaded(outcome.state.into());
        self.taken.insert(group.clone(), fingerprint);
        self.set_status(Some(group), path, outcome);
    }

    async fn publish(&mut self, group: &NodeGroup, path: &Path, documents: Vec<Document>) -> Outcome {
        let request = ReplaceRequest {
            group: group.clone(),
            candidate: Candidate {
                documents,
                resources: Vec::new(),
            },
            options: PublishOptions {
                author: AUTHOR.to_owned(),
                message: path.display().to_string(),
                origin: Origin::Files,
                ..PublishOptions::default()
            },
        };
        let publisher = Arc::clone(&self.publisher);
        let result = self.tracker.spawn_blocking(move || publisher.replace(request)).await;
        match result {
            Ok(Ok(published)) => Outcome {
                revision: Some(published.revision),
                findings: published.warnings,
                ..Outcome::of(FolderState::Published, "")
            },
            Ok(Err(PublishError::Rejected(rejection))) => Outcome {
                findings: rejection.findings,
                ..Outcome::of(FolderState::Refused, "refused by validation: what it published stays")
            },
            Ok(Err(PublishError::Unconfirmed(rejection))) => Outcome {
                findings: rejection.findings,
                ..Outcome::of(
                    FolderState::Refused,
                    "refused for what it removes: what it published stays",
                )
            },
            Ok(Err(error @ PublishError::Owned { .. })) => Outcome::of(FolderState::Conflict, error.to_string()),
            Ok(Err(error)) => {
                self.again.insert(group.clone());
                Outcome::of(FolderState::Failed, error.to_string())
            }
            Err(error) => {
                self.again.insert(group.clone());
                Outcome::of(FolderState::Failed, error.to_string())
            }
        }
    }

    fn set_directory_status(&mut self, trouble: Option<String>) {
        match trouble {
            Some(message) => {
                let root = self.reader.root().to_owned();
                self.set_status(None, root, Outcome::of(FolderState::Failed, message));
            }
            None => {
                self.standing.remove(&None);
            }
        }
    }

    /// Keeps the snapshot of a group whose folder is gone: that is more often a mistake or a failed mount than intended.
    fn keep_missing(&mut self, present: &BTreeMap<NodeGroup, Fingerprint>) {
        let published = self.publisher.list();
        let ours = published
            .into_iter()
            .filter(|info| info.origin == Origin::Files)
            .map(|info| info.group);
        let missing: BTreeSet<NodeGroup> = ours.filter(|group| !present.contains_key(group)).collect();
        self.taken.retain(|group, _| present.contains_key(group));
        self.standing.retain(|group, _| {
            group
                .as_ref()
                .is_none_or(|group| present.contains_key(group) || missing.contains(group))
        });
        for group in missing {
            let message = format!(
                "the folder is gone: what it published stays until `chancery delete-snapshot -g '{group}' --yes`"
            );
            let path = self.reader.folder_of(&group);
            self.set_status(Some(group), path, Outcome::of(FolderState::Held, message));
        }
    }

    /// Sets the status of a folder, and logs a new one.
    fn set_status(&mut self, group: Option<NodeGroup>, path: PathBuf, outcome: Outcome) {
        let before = self.standing.get(&group);
        let status = FolderStatus {
            revision: outcome.revision.or_else(|| before.and_then(|before| before.revision)),
            group: group.clone(),
            path,
            state: outcome.state,
            since: SystemTime::now(),
            message: outcome.message,
            findings: outcome.findings,
        };
        if before.is_some_and(|before| before.same_as(&status)) {
            return;
        }
        log(&status);
        self.standing.insert(group, status);
    }

    fn publish_status(&self) {
        let all = self.standing.values().cloned().collect();
        self.statuses.send_replace(Arc::new(all));
    }
}

// === impl Outcome ===

impl Outcome {
    fn of(state: FolderState, message: impl Into<String>) -> Self {
        Self {
            state,
            revision: None,
            message: message.into(),
            findings: Vec::new(),
        }
    }
}

fn log(status: &FolderStatus) {
    let path = status.path.display();
    match status.state {
        FolderState::Published => {
            let revision = status.revision.unwrap_or_default();
            info!(%path, %revision, warnings = status.findings.len(), "folder published");
        }
        FolderState::Refused => {
            let first = status.findings.first().map(ToString::to_string).unwrap_or_default();
            warn!(%path, findings = status.findings.len(), first, "folder refused: what it published before stays");
        }
        FolderState::Failed | FolderState::Held | FolderState::Conflict => {
            warn!(%path, reason = status.message, "folder not published");
        }
    }
}
