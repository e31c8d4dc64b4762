//! The one way to a new revision: from an intent and the head to a stored revision, or to the reason of a refusal.

use std::{sync::Arc, time::SystemTime};

use super::{
    Publisher,
    change::{GroupEdits, check_limits, patch, replacement, restoration},
    error::PublishError,
    intent::Intent,
    outlook::Outlook,
    proposal::Proposal,
    request::{PublishOptions, Published},
    types_of,
};
use crate::{
    admission::{Admitted, Candidate, Finding, Known, Rejection, Severity, admit_over},
    node::NodeGroup,
    resource::{ContentHash, Resource, ResourceType, Version},
    revision::{Content, StoredRevision},
    snapshot::{Revision, Types},
};

/// Findings that refuse a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deny {
    /// Nothing but what is impossible: content that was admitted once may be published again.
    Nothing,
    Errors,
    Warnings,
}

/// The findings of a publish that is not refused.
struct Accepted {
    warnings: Vec<Finding>,
    /// Removals that need a confirmation; empty unless this is a dry run.
    unconfirmed: Vec<Finding>,
}

impl Publisher {
    /// Admits a group's candidate, and keys the content hashes of its secrets for the group.
    pub(super) fn admit(
        &self,
        group: &NodeGroup,
        candidate: &Candidate,
        known: Option<&dyn Known>,
    ) -> Result<Admitted, PublishError> {
        let now = Some(SystemTime::now());
        let mut admitted = admit_over(candidate, &self.settings.limits, known, now).map_err(PublishError::Rejected)?;
        let secrets = admitted.resources.get_mut(&ResourceType::Secret);
        for secret in secrets.into_iter().flatten() {
            let content = self.content_key.of_secret(group.as_str(), secret.content);
            *secret = Arc::new(Resource {
                content,
                version: Version::from(content),
                ..Resource::clone(secret)
            });
        }
        Ok(admitted)
    }

    /// Publishes an intent, or tries it in a dry run.
    pub(super) fn publish(
        &self,
        group: &NodeGroup,
        options: &PublishOptions,
        intent: &Intent,
    ) -> Result<Published, PublishError> {
        let ticket = intent.ticket(options);
        let mut writer = self.writer();
        if !options.dry_run {
            // A publish that changes nothing writes nothing, so check that the store still holds the head.
            self.heard(self.store.probe(false))?;
        }
        let head = self.head(group);
        if let Some(done) = self.done_before(group, ticket.as_ref(), intent)? {
            return Ok(done);
        }
        check_owner(group, options, head.as_deref())?;
        expect(options.expected_revision, head.as_deref())?;
        let before = types_of(head.as_deref());
        let edits = self.edits(group, &before, intent)?;
        let named = options.version_info.as_deref().map(Version::from);
        let proposal = self.propose(&mut writer, group, &before, edits, named.as_ref(), intent.places())?;
        let verdict = self.judge(group, options, intent, &before, &proposal)?;
        let from = head.as_ref().map_or_else(Revision::default, |head| head.revision);
        let mut published = Published {
            group: group.clone(),
            revision: from,
            // The first publish counts as a change even if it is empty: from then on the group has a snapshot (S-9).
            changed: head.is_none() || !proposal.next.changes.is_empty(),
            dry_run: options.dry_run,
            repeated: false,
            changes: proposal.next.changes,
            warnings: verdict.warnings,
            unconfirmed: verdict.unconfirmed,
            outlook: None,
        };
        if options.dry_run {
            published.outlook = Some(Outlook {
                group: group.clone(),
                revision: proposal.revision,
                before,
                after: proposal.next.types,
                is_next: true,
            });
            return Ok(published);
        }
        if published.changed {
            published.revision = proposal.revision;
            let content = Content::Published(proposal.next.types);
            let stored = stored_revision(group, proposal.revision, options, content, proposal.next.replaced);
            let receipt = ticket.map(|ticket| ticket.receipt(proposal.revision, true, &published.changes));
            self.commit(&mut writer, stored, receipt.as_ref())?;
            writer.remember(group, proposal.checks);
        } else {
            self.keep_receipt(group, ticket.as_ref(), from)?;
        }
        self.note_vetting(group, from, published.revision, intent);
        Ok(published)
    }

    /// The edits of the head that carry out the intent.
    fn edits(&self, group: &NodeGroup, head: &Types, intent: &Intent) -> Result<GroupEdits, PublishError> {
        match intent {
            Intent::Replace { admitted, .. } => Ok(replacement(head, &admitted.resources)),
            Intent::Patch { admitted, deletions } => {
                let edits = patch(group, head, deletions, &admitted.resources)?;
                check_limits(head, &edits, &self.settings.limits).map_err(PublishError::Rejected)?;
                Ok(edits)
            }
            Intent::Restore(to) => Ok(restoration(head, &types_of(Some(&*self.stored(group, *to)?)))),
        }
    }

    /// Refuses a proposal, or returns its findings.
    fn judge(
        &self,
        group: &NodeGroup,
        options: &PublishOptions,
        intent: &Intent,
        head: &Types,
        proposal: &Proposal,
    ) -> Result<Accepted, PublishError> {
        let mut warnings = [intent.findings(), &proposal.findings].concat();
        warnings.sort_by_key(|finding| finding.severity);
        let denied = match self.denies(options, intent) {
            Deny::Nothing => false,
            Deny::Errors => warnings.iter().any(|finding| finding.severity == Severity::Error),
            Deny::Warnings => !warnings.is_empty(),
        };
        let unconfirmed = self.unconfirmed(group, options, head, &proposal.next);
        if denied || !(unconfirmed.is_empty() || options.dry_run) {
            return Err(refusal(denied, unconfirmed, warnings));
        }
        Ok(Accepted { warnings, unconfirmed })
    }

    const fn denies(&self, options: &PublishOptions, intent: &Intent) -> Deny {
        match intent {
            Intent::Restore(_) => Deny::Nothing,
            Intent::Replace { .. } | Intent::Patch { .. } => {
                if (self.settings.deny_warnings || options.deny_warnings) && !options.allow_warnings {
                    Deny::Warnings
                } else {
                    Deny::Errors
                }
            }
        }
    }

    /// Notes that the findings of the given resources hold for the head, which moved from revision `from` to `to`.
    fn note_vetting(&self, group: &NodeGroup, from: Revision, to: Revision, intent: &Intent) {
        match intent {
            Intent::Replace { admitted, vetted } => {
                self.vettings.replaced(group, to, &admitted.findings, vetted.as_ref());
            }
            Intent::Patch { admitted, deletions } => {
                let given = admitted
                    .resources
                    .iter()
                    .flat_map(|(kind, all)| all.iter().map(move |one| (kind, &one.name)));
                let gone = deletions.iter().map(|(kind, name)| (kind, name));
                self.vettings
                    .patched(group, from, to, given.chain(gone), &admitted.findings);
            }
            // Findings of another revision than the head are not used.
            Intent::Restore(_) => {}
        }
    }
}

/// The revision to store.
pub(super) fn stored_revision(
    group: &NodeGroup,
    revision: Revision,
    options: &PublishOptions,
    content: Content,
    replaced: Vec<ContentHash>,
) -> StoredRevision {
    StoredRevision {
        revision,
        group: group.clone(),
        time: SystemTime::now(),
        author: options.author.clone(),
        message: options.message.clone(),
        origin: options.origin,
        content,
        replaced,
    }
}

/// The error of a refused publish: first the removals to confirm, then the findings, which alone may refuse it too.
fn refusal(denied: bool, unconfirmed: Vec<Finding>, findings: Vec<Finding>) -> PublishError {
    let rejection = Rejection {
        findings: [unconfirmed, findings].concat(),
    };
    if denied {
        PublishError::Rejected(rejection)
    } else {
        PublishError::Unconfirmed(rejection)
    }
}

/// A group belongs to the source that published it, until its snapshot is deleted.
fn check_owner(group: &NodeGroup, options: &PublishOptions, head: Option<&StoredRevision>) -> Result<(), PublishError> {
    match head.map(|head| head.origin.owner()) {
        Some(owner) if owner != options.origin.owner() => Err(PublishError::Owned {
            group: group.clone(),
            owner,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a publish whose expected revision is not the current one.
pub(super) fn expect(expected: Option<u64>, head: Option<&StoredRevision>) -> Result<(), PublishError> {
    let current = head.map_or_else(Revision::default, |head| head.revision);
    match expected.map(Revision) {
        Some(expected) if expected != current => Err(PublishError::Conflict { expected, current }),
        Some(_) | None => Ok(()),
    }
}
