//! The rules over who may do what: loaded before anything is served, and read again while the server runs.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

use crate::{
    access::AccessConfig,
    audit::{AuditLog, AuditSettings},
    authority::{Authority, Rules},
    metrics::{AccessMetrics, ReloadLabel},
    settings::Settings,
    transport::Xds,
};

/// How often the config file, the tokens and the keys are looked at: a token that was taken out is good for so long.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the rules come from.
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

    /// The authority that decides by the rules as they are.
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

    /// Reads the rules again and again. What cannot be used changes nothing: the rules before hold.
    pub(super) async fn follow(self, authority: Authority, xds: Xds, tracker: TaskTracker, stop: CancellationToken) {
        let mut failed = None;
        let follow = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let source = self.clone();
                let Ok(loaded) = tracker.spawn_blocking(move || source.load()).await else {
                    continue;
                };
                match loaded {
                    Ok(rules) => {
                        failed = None;
                        if authority.replace(rules) {
                            authority.metrics().reloaded(ReloadLabel::Loaded);
                            info!("the access rules are others: every stream is looked at again");
                            xds.look_again();
                        }
                    }
                    Err(error) => {
                        let text = format!("{error:#}");
                        if failed.as_ref() != Some(&text) {
                            authority.metrics().reloaded(ReloadLabel::Failed);
                            error!(error = text, "the access rules cannot be read: those before hold");
                            failed = Some(text);
                        }
                    }
                }
            }
        };
        stop.run_until_cancelled(follow).await;
    }
}
