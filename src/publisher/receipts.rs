//! Publishes that were done before: the store keeps what those with a key came to.

use super::{
    Publisher, change::TypeChange, error::PublishError, idempotency::Ticket, intent::Intent, request::Published,
};
use crate::{node::NodeGroup, snapshot::Revision};

impl Publisher {
    /// The answer of the publish when it was done before. Only the writer may ask: an answer of `None` holds as long as nobody else
    /// publishes.
    pub(super) fn done_before(
        &self,
        group: &NodeGroup,
        ticket: Option<&Ticket>,
        intent: &Intent,
    ) -> Result<Option<Published>, PublishError> {
        let Some(ticket) = ticket else {
            return Ok(None);
        };
        let Some(receipt) = self.heard(self.store.receipt(group, &ticket.key))? else {
            return Ok(None);
        };
        if receipt.request != ticket.request {
            return Err(PublishError::KeyReused {
                group: group.clone(),
                key: receipt.key,
                revision: receipt.revision,
            });
        }
        Ok(Some(Published {
            group: group.clone(),
            revision: receipt.revision,
            changed: receipt.changed,
            dry_run: false,
            repeated: true,
            changes: receipt.changes.into_iter().map(TypeChange::from).collect(),
            warnings: intent.findings().to_vec(),
            unconfirmed: Vec::new(),
            outlook: None,
        }))
    }

    /// Keeps what a publish with a key came to that changed nothing: its retry must not undo what came in between.
    pub(super) fn keep_receipt(
        &self,
        group: &NodeGroup,
        ticket: Option<&Ticket>,
        head: Revision,
    ) -> Result<(), PublishError> {
        let Some(ticket) = ticket else {
            return Ok(());
        };
        let kept = self.store.keep_receipt(group, &ticket.receipt(head, false, &[]));
        Ok(self.heard(kept)?)
    }
}
