//! A stream's timer, and random delays that spread the streams.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use tokio::time::Sleep;

/// Wakes the stream at a set time. The inner timer is made on first use.
#[derive(Debug, Default)]
pub(super) struct Timer {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Timer ===

impl Timer {
    pub(super) fn set(&mut self, at: Option<Instant>) {
        if self.at == at {
            return;
        }
        self.at = at;
        match (at, &mut self.sleep) {
            // Drops the inner timer, since most streams never wait again.
            (None, _) => self.sleep = None,
            (Some(at), Some(sleep)) => sleep.as_mut().reset(at.into()),
            (Some(at), None) => self.sleep = Some(Box::pin(tokio::time::sleep_until(at.into()))),
        }
    }

    /// Returns true if a time is set.
    pub(super) const fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Ready once, when the set time has come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(_), Some(sleep)) = (self.at, &mut self.sleep) else {
            return Poll::Pending;
        };
        ready!(sleep.as_mut().poll(cx));
        self.at = None;
        Poll::Ready(())
    }
}

/// A random delay within `window`. The nanoseconds of the wall clock are random enough.
pub(crate) fn jitter(window: Duration) -> Duration {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    window.mul_f64(f64::from(nanos % 1_000_000) / 1_000_000.0)
}
