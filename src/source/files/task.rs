//! The one task that reads the folders and publishes what they say.

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

/// How long a folder must read the same before it is taken: longer than an editor or a copy takes between two writes.
const SETTLE: Duration = Duration::from_millis(300);
/// How often the folders are read where nothing was told of them: the net below lost notifications, and the next try after a
/// failed store.
const POLL: Duration = Duration::from_secs(10);
/// How long a start waits for folders that do not come to rest.
const BEGIN: Duration = Duration::from_secs(10);
/// How long a reading may take before the status says that it does: a file system of the network may not answer at all.
const SLOW: Duration = Duration::from_secs(30);
/// Who the source is in the history of revisions.
const AUTHOR: &str = "files";

/// Runs the file source: see [`FilesTask::run`].
#[derive(Debug)]
pub struct FilesTask {
    reader: Reader,
    publisher: Arc<Publisher>,
    /// Owns the reading and publishing, which block.
    tracker: TaskTracker,
    shutdown: CancellationToken,
    changes: Changes,
    events: broadcast::Receiver<SnapshotEvent>,
    /// What was taken of each folder last, be it published or refused.
    taken: BTreeMap<NodeGroup, Fingerprint>,
    /// Folders that are to be taken again though they say the same: the store failed.
    again: BTreeSet<NodeGroup>,
    /// How everything stands; `None` is the directory itself.
    standing: BTreeMap<Option<NodeGroup>, FolderStatus>,
    statuses: watch::Sender<Arc<Vec<FolderStatus>>>,
    metrics: FilesMetrics,
    slow: Duration,
}

/// What became of a folder that was taken.
struct Verdict {
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

    /// Reads no folder while somebody holds this, and says so at once.
    #[cfg(test)]
    pub(super) fn held_by(mut self, held: Arc<std::sync::Mutex<()>>) -> Self {
        self.reader.held = Some(held);
        self.slow = Duration::from_millis(10);
        self
    }

    /// Counts here.
    pub(super) fn counting(mut self, metrics: FilesMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Reads the folders for the first time, and publishes them: a server is ready when this was done.
    pub async fn begin(&mut self) {
        // A folder that somebody writes to all the time does not hold up the others.
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

    /// A group whose snapshot was deleted is what its folder says again, or free for it to have.
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

    /// Reads until every folder that changed was the same twice, and takes each then.
    async fn bring_up_to_date(&mut self) {
        let mut before = BTreeMap::new();
        loop {
            let Some(reading) = self.read().await else {
                return;
            };
            let mut waiting = reading.root.is_some_and(|root| self.watch_anew(root));
            self.stand_of_directory(reading.trouble);
            let Some(folders) = reading.folders else {
                return self.tell();
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
            self.stand_of_missing(&fingerprints);
            self.tell();
            if !waiting {
                return;
            }
            before = fingerprints;
            sleep(SETTLE).await;
        }
    }

    /// Reads everything, and says so where that takes long: what is published may be old by then. `None` where the process ends.
    async fn read(&mut self) -> Option<Reading> {
        let reader = self.reader.clone();
        let mut reading = self.tracker.spawn_blocking(move || reader.read());
        if let Ok(read) = timeout(self.slow, &mut reading).await {
            return read.ok();
        }
        let taken = humantime::format_duration(self.slow);
        let message = format!("is being read for longer than {taken}: changes in it are not seen until that ends");
        self.stand_of_directory(Some(message));
        self.tell();
        reading.await.ok()
    }

    /// Watches the directory that is there now, where it is another than before: a watch does not follow a name. Whether it was
    /// another: what happened to it before it was watched was not told.
    fn watch_anew(&mut self, root: Identity) -> bool {
        let another = !self.changes.are_of(root);
        if another {
            self.changes = Changes::of(self.reader.root());
        }
        another
    }

    /// Publishes what a folder says.
    async fn take(&mut self, group: NodeGroup, folder: Folder) {
        let Folder {
            path,
            content,
            fingerprint,
        } = folder;
        let verdict = match content {
            Content::Files(documents) => self.publish(&group, &path, documents).await,
            Content::Empty => Verdict::of(FolderState::Held, "has no files: what it published stays"),
            Content::Unreadable(reason) => Verdict::of(FolderState::Failed, reason),
        };
        self.metrics.reloaded(verdict.state.into());
        self.taken.insert(group.clone(), fingerprint);
        self.stand(Some(group), path, verdict);
    }

    async fn publish(&mut self, group: &NodeGroup, path: &Path, documents: Vec<Document>) -> Verdict {
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
        let outcome = self.tracker.spawn_blocking(move || publisher.replace(request)).await;
        match outcome {
            Ok(Ok(published)) => Verdict {
                revision: Some(published.revision),
                findings: published.warnings,
                ..Verdict::of(FolderState::Published, "")
            },
            Ok(Err(PublishError::Rejected(rejection))) => Verdict {
                findings: rejection.findings,
                ..Verdict::of(FolderState::Refused, "refused by validation: what it published stays")
            },
            Ok(Err(PublishError::Unconfirmed(rejection))) => Verdict {
                findings: rejection.findings,
                ..Verdict::of(
                    FolderState::Refused,
                    "refused for what it removes: what it published stays",
                )
            },
            Ok(Err(error @ PublishError::Owned { .. })) => Verdict::of(FolderState::Conflict, error.to_string()),
            Ok(Err(error)) => {
                self.again.insert(group.clone());
                Verdict::of(FolderState::Failed, error.to_string())
            }
            Err(error) => {
                self.again.insert(group.clone());
                Verdict::of(FolderState::Failed, error.to_string())
            }
        }
    }

    fn stand_of_directory(&mut self, trouble: Option<String>) {
        match trouble {
            Some(message) => {
                let root = self.reader.root().to_owned();
                self.stand(None, root, Verdict::of(FolderState::Failed, message));
            }
            None => {
                self.standing.remove(&None);
            }
        }
    }

    /// A group that files published and that has no folder any more keeps what it has: a folder that is gone is more often a
    /// mistake, or a mount that failed, than a wish.
    fn stand_of_missing(&mut self, present: &BTreeMap<NodeGroup, Fingerprint>) {
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
            self.stand(Some(group), path, Verdict::of(FolderState::Held, message));
        }
    }

    /// Notes how a folder stands, and logs it where that is new.
    fn stand(&mut self, group: Option<NodeGroup>, path: PathBuf, verdict: Verdict) {
        let before = self.standing.get(&group);
        let status = FolderStatus {
            revision: verdict.revision.or_else(|| before.and_then(|before| before.revision)),
            group: group.clone(),
            path,
            state: verdict.state,
            since: SystemTime::now(),
            message: verdict.message,
            findings: verdict.findings,
        };
        if before.is_some_and(|before| before.same_as(&status)) {
            return;
        }
        log(&status);
        self.standing.insert(group, status);
    }

    fn tell(&self) {
        let all = self.standing.values().cloned().collect();
        self.statuses.send_replace(Arc::new(all));
    }
}

// === impl Verdict ===

impl Verdict {
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
