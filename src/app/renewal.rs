//! Certificates, keys, CAs and lists of revoked certificates are looked at every second: a look reads a few small files.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::tasks::Vital;
use crate::{
    metrics::{ConnectionMetrics, Label as _, PortLabel},
    tls::Tls,
};

/// TLS of a port, and whom to tell that its files changed.
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
        let mut told: Vec<Option<String>> = vec![None; ports.len()];
        loop {
            ticks.tick().await;
            let looking: Vec<Tls> = ports.iter().map(|port| port.tls.clone()).collect();
            let looked = blocking.spawn_blocking(move || looking.iter().map(Tls::refresh).collect::<Vec<_>>());
            let Ok(looked) = looked.await else { continue };
            for ((Renewing { port, changed, .. }, outcome), told) in ports.iter().zip(looked).zip(&mut told) {
                match outcome {
                    Ok(None) => {}
                    Ok(Some(renewed)) => {
                        *told = None;
                        metrics.files_changed(*port, true);
                        metrics.lists_until(*port, renewed.next_update);
                        changed.send_replace(());
                        let not_after = humantime::format_rfc3339_seconds(renewed.not_after);
                        info!(port = port.text(), %not_after, "TLS files changed and are used from now on");
                    }
                    Err(broken) => {
                        let text = broken.to_string();
                        // A file that is missing for a while is told once.
                        if told.as_ref() != Some(&text) {
                            metrics.files_changed(*port, false);
                            error!(port = port.text(), error = %text, "TLS files cannot be taken: those before them are used on");
                            *told = Some(text);
                        }
                    }
                }
            }
        }
    });
    vital.spawn("renewal", following);
}
