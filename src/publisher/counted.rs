//! The ways to publish, each counted with what became of it.

use std::time::Instant;

use super::{PatchRequest, PublishError, PublishOptions, Published, Publisher, ReplaceRequest};
use crate::{
    admission::{self, Finding},
    metrics::{Operation, PublishMetrics, PublishOutcome, Severity},
    node::NodeGroup,
    snapshot::Revision,
};

impl Publisher {
    /// Makes a group's snapshot exactly the candidate. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing changed then.
    pub fn replace(&self, request: ReplaceRequest) -> Result<Published, PublishError> {
        self.counted(Operation::Replace, || self.replace_one(request))
    }

    /// Adds, updates and deletes single resources of a group's snapshot. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with [`NotFound::Resource`](super::NotFound::Resource) for a deletion of what is not there; nothing
    /// changed then.
    pub fn patch(&self, request: PatchRequest) -> Result<Published, PublishError> {
        self.counted(Operation::Patch, || self.patch_one(request))
    }

    /// Makes a new revision with the content of a kept one, also of a deleted group. What returns gets new versions, and what
    /// was admitted once is not refused for warnings. It may remove whatever it does: going back is one step. Blocks on the
    /// store.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with [`NotFound::Revision`](super::NotFound::Revision) where `to` is not kept or is a deletion; nothing
    /// changed then.
    pub fn rollback(
        &self,
        group: &NodeGroup,
        to: Revision,
        options: &PublishOptions,
    ) -> Result<Published, PublishError> {
        self.counted(Operation::Rollback, || self.rollback_one(group, to, options))
    }

    /// Forgets a group: its nodes keep what they have and hear nothing until the next publish. Where it is the shared group,
    /// published groups lose its resources. Gives the revision that was current. Blocks on the store.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing changed then.
    pub fn delete(&self, group: &NodeGroup, expected_revision: Option<u64>) -> Result<Revision, PublishError> {
        let begun = Instant::now();
        let deleted = self.delete_one(group, expected_revision);
        let outcome = deleted.as_ref().map_or_else(outcome_of_error, |_| PublishOutcome::Ok);
        self.note(Operation::Delete, outcome, &[], begun);
        deleted
    }

    /// What is counted of what is published.
    #[must_use]
    pub const fn metrics(&self) -> &PublishMetrics {
        &self.metrics
    }

    fn counted(
        &self,
        operation: Operation,
        publish: impl FnOnce() -> Result<Published, PublishError>,
    ) -> Result<Published, PublishError> {
        let begun = Instant::now();
        let published = publish();
        let (outcome, findings) = match &published {
            Ok(published) => (outcome_of(published), published.warnings.as_slice()),
            Err(error) => (outcome_of_error(error), findings_of(error)),
        };
        self.note(operation, outcome, findings, begun);
        published
    }

    fn note(&self, operation: Operation, outcome: PublishOutcome, findings: &[Finding], begun: Instant) {
        let is_error = |finding: &&Finding| finding.severity == admission::Severity::Error;
        let errors = findings.iter().filter(is_error).count();
        self.metrics.found(Severity::Error, errors);
        self.metrics.found(Severity::Warning, findings.len() - errors);
        self.metrics.published(operation, outcome, begun.elapsed());
    }
}

const fn outcome_of(published: &Published) -> PublishOutcome {
    match (published.dry_run, published.changed && !published.repeated) {
        (true, _) => PublishOutcome::DryRun,
        (false, true) => PublishOutcome::Ok,
        // A publish that is sent again was done before.
        (false, false) => PublishOutcome::Unchanged,
    }
}

const fn outcome_of_error(error: &PublishError) -> PublishOutcome {
    match error {
        PublishError::Rejected(_)
        | PublishError::Unconfirmed(_)
        | PublishError::InvalidGroup(_)
        | PublishError::InvalidVersion(_)
        | PublishError::InvalidKey(_)
        | PublishError::InvalidText { .. } => PublishOutcome::Refused,
        PublishError::Conflict { .. } | PublishError::Owned { .. } | PublishError::KeyReused { .. } => {
            PublishOutcome::Conflict
        }
        PublishError::NotFound(_) => PublishOutcome::NotFound,
        PublishError::Store(_) => PublishOutcome::Failed,
    }
}

fn findings_of(error: &PublishError) -> &[Finding] {
    match error {
        PublishError::Rejected(rejection) | PublishError::Unconfirmed(rejection) => &rejection.findings,
        PublishError::Conflict { .. }
        | PublishError::Owned { .. }
        | PublishError::KeyReused { .. }
        | PublishError::NotFound(_)
        | PublishError::InvalidGroup(_)
        | PublishError::InvalidVersion(_)
        | PublishError::InvalidKey(_)
        | PublishError::InvalidText { .. }
        | PublishError::Store(_) => &[],
    }
}
