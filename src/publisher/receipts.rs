//! Repeated publishes: the store keeps a receipt for each publish with an idempotency key.

use super::{
    Publisher, change::TypeChange, error::PublishError, idempotency::Ticket, intent::Intent, request::Published,
};
use crate::{node::NodeGroup, snapshot::Revision};

impl Publisher {
    /// Returns the answer of an earlier publish with the same ticket. Only the writer may ask: `None` holds as long as nobody
    /// else publishes.
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

    /// Keeps the receipt of a publish that changed nothing: its retry must not undo a later publish.
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
