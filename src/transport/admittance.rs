//! Who a stream's client is, whether it may be the node it says it is, and that this is asked again when it may have changed.

use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use http::{Extensions, HeaderMap, header};
use tokio::time::Sleep;
use tonic::Status;

use super::{peer, shared::Shared, timer::jitter};
use crate::{
    authority::{Admitted, Authority, Dismissal, Purpose, Sight, Visitor},
    connection::Connection,
    metrics::PortLabel,
    snapshot::Snapshot,
};

/// A node that was let in, and the next moment that this is looked at.
pub(super) struct Admittance {
    admitted: Admitted,
    action: Arc<str>,
    /// The rules that a look is planned for, or was taken by.
    generation: u64,
    /// Looks are spread over this time, so that not every stream ends at once.
    window: Duration,
    next: Option<Pin<Box<Sleep>>>,
}

impl Shared {
    /// Who sends a request, as far as it was verified.
    pub(super) async fn visitor(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
        action: &str,
    ) -> Result<Visitor, Status> {
        let authorization = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap_or_default());
        let connection = extensions.get::<Connection>();
        let from = peer::address(extensions).map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        let identified =
            self.authority
                .identify(PortLabel::Xds, Purpose::Node, &from, connection, authorization, action);
        Ok(identified.await?)
    }
}

// === impl Admittance ===

impl Admittance {
    pub(super) fn new(admitted: Admitted, action: Arc<str>, window: Duration) -> Self {
        let mut admittance = Self {
            generation: admitted.generation(),
            admitted,
            action,
            window,
            next: None,
        };
        admittance.await_expiry();
        admittance
    }

    /// Looks again where it is time to. The task must be woken when the rules change.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, authority: &Authority) -> Result<(), Dismissal> {
        let generation = authority.generation();
        if self.generation != generation {
            self.generation = generation;
            self.next = Some(Box::pin(tokio::time::sleep(jitter(self.window))));
        }
        while let Some(next) = &mut self.next
            && let Poll::Ready(()) = next.as_mut().poll(cx)
        {
            authority.readmit(&mut self.admitted, &self.action)?;
            self.generation = self.admitted.generation();
            self.await_expiry();
        }
        Ok(())
    }

    fn await_expiry(&mut self) {
        self.next = self.admitted.expires().map(|expires| {
            let left = expires.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
            Box::pin(tokio::time::sleep(left + jitter(self.window)))
        });
    }

    /// What the node sees of its group's snapshot.
    pub(super) fn view(&self, snapshot: Arc<Snapshot>, authority: &Authority) -> Arc<Snapshot> {
        authority.view(snapshot, &self.admitted)
    }

    /// What tells what the node sees from what others see; `None` where nothing is hidden from anybody.
    pub(super) fn sight(&self) -> Option<Sight> {
        self.admitted.sight()
    }

    /// Whether some secrets may be hidden from the node.
    pub(super) const fn is_restricted(&self) -> bool {
        self.admitted.is_restricted()
    }

    /// Notes that the node asks for secrets that it may not have.
    pub(super) fn note_secrets<'a>(&self, names: impl IntoIterator<Item = &'a str>, authority: &Authority) {
        authority.note_secrets(&self.admitted, names, &self.action);
    }
}
