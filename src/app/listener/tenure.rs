//! How long a connection may last: as long as the certificate of its client is good. Certificates expire, are revoked, and lose
//! the CA that vouched for them; a handshake looks once.

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

/// The longest time between two looks: a clock that was set is noticed.
const AT_LEAST_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// TLS of a port, and when its files change.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) tls: Tls,
    /// Changes whenever files were taken.
    pub(crate) changed: watch::Receiver<()>,
    /// Connections end spread over this time.
    pub(crate) window: Duration,
}

/// The time that a connection has left.
pub(super) struct Tenure {
    tls: Tls,
    changes: WatchStream<()>,
    window: Duration,
    /// When the certificate expires.
    not_after: SystemTime,
    look: Pin<Box<Sleep>>,
}

// === impl Tenure ===

impl Tenure {
    /// `followed` is to be what the handshake began with, or changes behind it are missed.
    pub(super) fn new(followed: Followed, not_after: SystemTime) -> Self {
        let Followed { tls, changed, window } = followed;
        Self {
            tls,
            changes: WatchStream::from_changes(changed),
            window,
            not_after,
            look: Box::pin(sleep(until(not_after, window))),
        }
    }

    /// Ready once the certificate is good no longer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, chain: &[CertificateDer<'_>]) -> Poll<Withdrawn> {
        while let Poll::Ready(Some(())) = Pin::new(&mut self.changes).poll_next(cx) {
            let soon = Instant::now() + jitter(self.window);
            if soon < self.look.deadline() {
                self.look.as_mut().reset(soon);
            }
        }
        while self.look.as_mut().poll(cx).is_ready() {
            if let Err(withdrawn) = self.tls.verify(chain, SystemTime::now()) {
                return Poll::Ready(withdrawn);
            }
            let next = Instant::now() + until(self.not_after, self.window);
            self.look.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// The time until a certificate that expires is looked at: streams end before their connection, with a status that says why.
fn until(not_after: SystemTime, window: Duration) -> Duration {
    let left = not_after.duration_since(SystemTime::now()).unwrap_or_default();
    // A second more: what is good until now was good when it was looked at.
    left.saturating_add(window + jitter(window) + Duration::from_secs(1))
        .min(AT_LEAST_EVERY)
}
