//! The access rules: loaded before anything is served, and read again while the server runs.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

use crate::{
    access::AccessConfig,
    audit::{AuditLog, AuditSettings, Event},
    authority::{Authority, Rules, Visitor},
    metrics::{AccessMetrics, PortLabel, ReloadLabel},
    publisher::{Publisher, SnapshotEvent},
    revision::Origin,
    settings::Settings,
    transport::Xds,
};

/// Interval of reads of the config file, the tokens and the keys: a removed token works for at most this long.
const READ_EVERY: Duration = Duration::from_secs(2);

/// The source of the rules: the config file, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Source {
    access: AccessConfig,
    config: Option<PathBuf>,
}

// === impl Source ===

impl Source {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            access: settings.access.clone(),
            config: settings.config.clone(),
        }
    }

    /// Returns the authority with the rules as they are now.
    pub(super) async fn open(&self, audit: AuditSettings, tracker: &TaskTracker) -> anyhow::Result<Authority> {
        let (access, tasks) = (self.access.clone(), tracker.clone());
        let open = move || {
            let rules = Rules::load(&access)?;
            let authority = Authority::new(rules, AuditLog::open(audit)?, AccessMetrics::default(), tasks);
            authority.warn_of_gaps();
            Ok::<_, anyhow::Error>(authority)
        };
        tracker
            .spawn_blocking(open)
            .await
            .context("loading did not come to its end")?
    }

    fn load(&self) -> anyhow::Result<Rules> {
        let access = match &self.config {
            Some(config) => Settings::read_access(config)?,
            None => self.access.clone(),
        };
        Ok(Rules::load(&access)?)
    }

    /// Reads the rules again and again. Rules that cannot be used are reported, and the rules before them stay.
    pub(super) async fn follow(self, authority: Authority, xds: Xds, tracker: TaskTracker, stop: CancellationToken) {
        let mut failed = None;
        let follow = async {
            loop {
                tokio::time::sleep(READ_EVERY).await;
                let source = self.clone();
                let Ok(loaded) = tracker.spawn_blocking(move || source.load()).await else {
                    continue;
                };
                match loaded {
                    Ok(rules) => {
                        failed = None;
                        if authority.replace(rules) {
                            authority.metrics().reloaded(ReloadLabel::Loaded);
                            info!("the access rules changed: every stream is checked again");
                            xds.look_again();
                        }
                    }
                    Err(error) => {
                        let text = format!("{error:#}");
                        if failed.as_ref() != Some(&text) {
                            authority.metrics().reloaded(ReloadLabel::Failed);
                            error!(
                                error = text,
                                "the access rules cannot be read: the earlier ones stay in force"
                            );
                            failed = Some(text);
                        }
                    }
                }
            }
        };
        stop.run_until_cancelled(follow).await;
    }
}

/// Audits the publishes of the file source from now on, which come through no port.
pub(super) fn audit_files(
    publisher: &Publisher,
    authority: Authority,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let mut changes = publisher.subscribe();
    async move {
        loop {
            let change = match stop.run_until_cancelled(changes.recv()).await {
                Some(change) => change,
                // Publishes before the shutdown are audited too.
                None => match changes.try_recv() {
                    Ok(change) => Ok(change),
                    Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => return,
                },
            };
            match change {
                Ok(change) => audit_change(&change, &authority),
                Err(RecvError::Lagged(missed)) => {
                    audit(
                        &authority,
                        "",
                        None,
                        &format!("{missed} changes came too fast to be seen"),
                    );
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

fn audit_change(change: &SnapshotEvent, authority: &Authority) {
    match change {
        SnapshotEvent::Published(info) if info.origin == Origin::Files => {
            audit(authority, info.group.as_str(), Some(info.revision.0), "published");
        }
        // The admin API and the registry audit their own publishes.
        SnapshotEvent::Published(_) | SnapshotEvent::Deleted { .. } => {}
    }
}

fn audit(authority: &Authority, group: &str, revision: Option<u64>, came_to: &str) {
    let visitor = Visitor {
        port: PortLabel::Admin,
        from: "files".into(),
        identity: None,
    };
    let event = Event {
        action: "files",
        group,
        revision,
        allowed: true,
        reason: came_to,
        ..Event::default()
    };
    authority.audit(&visitor, event);
}
