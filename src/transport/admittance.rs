//! The admission of a stream's node: checked at the start, and again when rules change or credentials expire.

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

/// A node that was admitted, and the time of the next check.
pub(super) struct Admittance {
    admitted: Admitted,
    action: Arc<str>,
    /// The generation of the rules that the last check used or the next check will use.
    generation: u64,
    /// Checks are spread over this time, so that not all streams end at once.
    window: Duration,
    next: Option<Pin<Box<Sleep>>>,
}

impl Shared {
    /// The client of a request, as far as its credentials were verified.
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

    /// Checks the node again if it is time. The caller must wake the task when the rules change.
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

    /// The node's view of its group's snapshot.
    pub(super) fn view(&self, snapshot: Arc<Snapshot>, authority: &Authority) -> Arc<Snapshot> {
        authority.view(snapshot, &self.admitted)
    }

    /// The key of the node's view; `None` if every node sees everything.
    pub(super) fn sight(&self) -> Option<Sight> {
        self.admitted.sight()
    }

    /// Returns true if some secrets may be hidden from the node.
    pub(super) const fn is_restricted(&self) -> bool {
        self.admitted.is_restricted()
    }

    /// Audits requests for secrets that the node may not have.
    pub(super) fn note_secrets<'a>(&self, names: impl IntoIterator<Item = &'a str>, authority: &Authority) {
        authority.note_secrets(&self.admitted, names, &self.action);
    }
}
