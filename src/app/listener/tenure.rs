//! The lifetime of a connection: it ends when the certificate of its client is no longer valid. Certificates expire, are
//! revoked, and lose their CA; a handshake checks only once.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use rustls::pki_types::CertificateDer;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};
use tokio_stream::{Stream as _, wrappers::WatchStream};

use crate::{
    tls::{Tls, Withdrawn},
    transport::jitter,
};

/// The longest time between two checks, which finds a clock that was set.
const AT_LEAST_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// TLS of a port, with a signal for changed files.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) tls: Tls,
    /// Changes whenever new files are used.
    pub(crate) changed: watch::Receiver<()>,
    /// Connections end spread over this time.
    pub(crate) window: Duration,
}

/// Ends a connection once its certificate is no longer valid.
pub(super) struct Tenure {
    tls: Tls,
    changes: WatchStream<()>,
    window: Duration,
    /// The time at which the certificate expires.
    not_after: SystemTime,
    check: Pin<Box<Sleep>>,
}

// === impl Tenure ===

impl Tenure {
    /// `followed` must be the value that the handshake used, or changes since then are missed.
    pub(super) fn new(followed: Followed, not_after: SystemTime) -> Self {
        let Followed { tls, changed, window } = followed;
        Self {
            tls,
            changes: WatchStream::from_changes(changed),
            window,
            not_after,
            check: Box::pin(sleep(until(not_after, window))),
        }
    }

    /// Ready once the certificate is no longer valid.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, chain: &[CertificateDer<'_>]) -> Poll<Withdrawn> {
        while let Poll::Ready(Some(())) = Pin::new(&mut self.changes).poll_next(cx) {
            let soon = Instant::now() + jitter(self.window);
            if soon < self.check.deadline() {
                self.check.as_mut().reset(soon);
            }
        }
        while self.check.as_mut().poll(cx).is_ready() {
            if let Err(withdrawn) = self.tls.verify(chain, SystemTime::now()) {
                return Poll::Ready(withdrawn);
            }
            let next = Instant::now() + until(self.not_after, self.window);
            self.check.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// The time until the check of an expiring certificate: streams end before their connection, with a status that says why.
fn until(not_after: SystemTime, window: Duration) -> Duration {
    let left = not_after.duration_since(SystemTime::now()).unwrap_or_default();
    // One second more: at its very last second a certificate is still valid.
    left.saturating_add(window + jitter(window) + Duration::from_secs(1))
        .min(AT_LEAST_EVERY)
}
