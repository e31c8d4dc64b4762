//! Compares a state of a group with another one, or with the state after a candidate.

use std::sync::Arc;

use super::{
    Publisher,
    change::{replacement, restoration, type_changes},
    error::{NotFound, PublishError},
    outlook::Outlook,
    request::{Comparison, DiffTarget, PublishOptions, check_group},
    types_of,
};
use crate::{
    admission::{Admitted, Rejection, Severity},
    node::NodeGroup,
    revision::StoredRevision,
    snapshot::Revision,
};

/// The later state of a comparison.
enum Wanted {
    /// A published revision.
    Stored(Arc<StoredRevision>),
    /// A candidate that would replace the head.
    Admitted(Box<Admitted>),
}

impl Publisher {
    /// Resolves the target of a comparison.
    fn wanted(&self, group: &NodeGroup, target: &DiffTarget) -> Result<Wanted, PublishError> {
        Ok(match target {
            DiffTarget::Revision(Some(revision)) => Wanted::Stored(self.stored(group, *revision)?),
            DiffTarget::Revision(None) => {
                let head = self.head(group).ok_or_else(|| NotFound::Group(group.clone()))?;
                Wanted::Stored(head)
            }
            DiffTarget::Candidate(candidate) => {
                check_group(group)?;
                Wanted::Admitted(Box::new(self.admit(group, candidate, None)?))
            }
        })
    }

    /// Compares a kept revision, or the head, with the later state.
    pub(super) fn compare(
        &self,
        group: &NodeGroup,
        from: Option<Revision>,
        to: &DiffTarget,
    ) -> Result<Comparison, PublishError> {
        let wanted = &self.wanted(group, to)?;
        let from = from.map(|revision| self.stored(group, revision)).transpose()?;
        let mut writer = self.writer();
        let head = self.head(group);
        let from = from.or_else(|| head.clone());
        let is_next = from.as_ref().map(|from| from.revision) == head.as_ref().map(|head| head.revision);
        let (head, before) = (types_of(head.as_deref()), types_of(from.as_deref()));
        let (edits, places) = match wanted {
            Wanted::Stored(to) => (restoration(&head, &types_of(Some(to))), None),
            Wanted::Admitted(admitted) => (replacement(&head, &admitted.resources), Some(&admitted.places)),
        };
        let proposal = self.propose(&mut writer, group, &head, edits, None, places)?;
        let (mut after, mut findings) = (proposal.next.types.clone(), Vec::new());
        match wanted {
            // Both states were published: no versions are made.
            Wanted::Stored(to) if !is_next => after = types_of(Some(to)),
            Wanted::Stored(_) => {}
            Wanted::Admitted(admitted) => {
                findings = [admitted.findings.clone(), proposal.findings].concat();
                if findings.iter().any(|finding| finding.severity == Severity::Error) {
                    return Err(PublishError::Rejected(Rejection { findings }));
                }
                if is_next {
                    let options = PublishOptions::default();
                    let asked = self.unconfirmed(group, &options, &head, &proposal.next);
                    findings.splice(..0, asked);
                }
            }
        }
        Ok(Comparison {
            changes: type_changes(&before, &after),
            findings,
            outlook: Outlook {
                group: group.clone(),
                revision: proposal.revision,
                before,
                after,
                is_next,
            },
        })
    }
}
