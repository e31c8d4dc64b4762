//! The state that a publish would make, with its findings. Nothing here is stored or served.

use super::{
    Publisher,
    change::{GroupEdits, Next, next},
    error::PublishError,
    exchange,
    guard::Removal,
    lineage::Lineage,
    request::PublishOptions,
    writer::Writer,
};
use crate::{
    admission::{Finding, GroupChecks, Places},
    node::NodeGroup,
    resource::Version,
    revision::StoredRevision,
    snapshot::{Revision, Types},
};

/// The state that would follow a group's head.
pub(super) struct Proposal {
    pub(super) revision: Revision,
    pub(super) next: Next,
    /// Findings in the whole state and in the step to it, errors included.
    pub(super) findings: Vec<Finding>,
    /// The checks of this state, kept for later publishes.
    pub(super) checks: GroupChecks,
}

impl Publisher {
    /// Applies edits to the head. `places` says where the given resources stand in their documents.
    pub(super) fn propose(
        &self,
        writer: &mut Writer,
        group: &NodeGroup,
        head: &Types,
        edits: GroupEdits,
        named: Option<&Version>,
        places: Option<&Places>,
    ) -> Result<Proposal, PublishError> {
        let nowhere = Places::default();
        let places = places.unwrap_or(&nowhere);
        let revision = writer.next_revision();
        let fresh = Lineage::default();
        let lineage = writer.lineages.get(group).unwrap_or(&fresh);
        let next = next(head, edits, lineage, revision, named).map_err(PublishError::Rejected)?;
        let (checks, mut findings) = self.check(writer, group, head, &next.types, places);
        findings.extend(exchange::check(head, &next.types, places));
        Ok(Proposal {
            revision,
            next,
            findings,
            checks,
        })
    }

    /// Removals that need a confirmation and lack it.
    pub(super) fn unconfirmed(
        &self,
        group: &NodeGroup,
        options: &PublishOptions,
        head: &Types,
        next: &Next,
    ) -> Vec<Finding> {
        if options.allow_removals {
            return Vec::new();
        }
        self.settings.removals.check(&Removal {
            group,
            owner: options.origin.owner(),
            before: head,
            after: &next.types,
            changes: &next.changes,
        })
    }

    /// Checks a group's next state as a whole; returns its checks and their findings.
    fn check(
        &self,
        writer: &mut Writer,
        group: &NodeGroup,
        head: &Types,
        next: &Types,
        places: &Places,
    ) -> (GroupChecks, Vec<Finding>) {
        let shared = self
            .head(&NodeGroup::from(NodeGroup::SHARED))
            .filter(|_| !group.is_shared());
        let shared = shared.as_deref().and_then(StoredRevision::types);
        let nothing = GroupChecks::default();
        // The head may have no checks yet in this process, and the shared group may have changed since the head was published.
        let known = writer.known(group).unwrap_or(&nothing);
        if self.head(group).is_some() && !known.is_of(head, shared) {
            let (known, _) = known.next(head, shared, &Places::default());
            writer.remember(group, known);
        }
        writer.known(group).unwrap_or(&nothing).next(next, shared, places)
    }
}
