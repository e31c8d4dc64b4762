//! Checks certificates, keys, CAs and revocation lists for changes every second: a check reads a few small files.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::tasks::Vital;
use crate::{
    metrics::{ConnectionMetrics, Label as _, PortLabel},
    tls::Tls,
};

/// TLS of a port, and the sender that signals changed files.
#[derive(Debug)]
pub(super) struct Renewing {
    pub(super) port: PortLabel,
    pub(super) tls: Tls,
    pub(super) changed: watch::Sender<()>,
}

const EVERY: Duration = Duration::from_secs(1);

/// Follows the files of all ports until `stop`.
pub(super) fn spawn(vital: &Vital, ports: Vec<Renewing>, metrics: ConnectionMetrics, stop: CancellationToken) {
    if ports.is_empty() {
        return;
    }
    let blocking = vital.tracker.clone();
    let following = stop.run_until_cancelled_owned(async move {
        let mut ticks = tokio::time::interval(EVERY);
        let mut reported: Vec<Option<String>> = vec![None; ports.len()];
        loop {
            ticks.tick().await;
            let checking: Vec<Tls> = ports.iter().map(|port| port.tls.clone()).collect();
            let checked = blocking.spawn_blocking(move || checking.iter().map(Tls::refresh).collect::<Vec<_>>());
            let Ok(checked) = checked.await else { continue };
            for ((Renewing { port, changed, .. }, outcome), reported) in ports.iter().zip(checked).zip(&mut reported) {
                match outcome {
                    Ok(None) => {}
                    Ok(Some(renewed)) => {
                        *reported = None;
                        metrics.files_changed(*port, true);
                        metrics.lists_until(*port, renewed.next_update);
                        changed.send_replace(());
                        let not_after = humantime::format_rfc3339_seconds(renewed.not_after);
                        info!(port = port.text(), %not_after, "TLS files changed and are used from now on");
                    }
                    Err(broken) => {
                        let text = broken.to_string();
                        // A file that stays missing is reported once.
                        if reported.as_ref() != Some(&text) {
                            metrics.files_changed(*port, false);
                            error!(port = port.text(), error = %text, "TLS files cannot be used: the earlier ones stay in use");
                            *reported = Some(text);
                        }
                    }
                }
            }
        }
    });
    vital.spawn("renewal", following);
}
