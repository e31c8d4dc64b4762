//! Counts publishes by outcome and by findings.

use std::time::Instant;

use super::{Publisher, error::PublishError, request::Published};
use crate::{
    admission::{self, Finding},
    metrics::{Operation, PublishOutcome, Severity},
    snapshot::Revision,
};

/// The answer of a call that succeeded, as the counters see it.
pub(super) trait Counted {
    fn outcome(&self) -> PublishOutcome;

    /// The findings that were accepted.
    fn findings(&self) -> &[Finding];
}

impl Publisher {
    /// Runs a call of the publisher and counts its outcome.
    pub(super) fn counted<T: Counted>(
        &self,
        operation: Operation,
        call: impl FnOnce() -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        let begun = Instant::now();
        let result = call();
        let (outcome, findings) = match &result {
            Ok(done) => (done.outcome(), done.findings()),
            Err(error) => (outcome_of_error(error), findings_of(error)),
        };
        let is_error = |finding: &&Finding| finding.severity == admission::Severity::Error;
        let errors = findings.iter().filter(is_error).count();
        self.metrics.found(Severity::Error, errors);
        self.metrics.found(Severity::Warning, findings.len() - errors);
        self.metrics.published(operation, outcome, begun.elapsed());
        result
    }
}

impl Counted for Published {
    fn outcome(&self) -> PublishOutcome {
        match (self.dry_run, self.changed && !self.repeated) {
            (true, _) => PublishOutcome::DryRun,
            (false, true) => PublishOutcome::Ok,
            // A repeated publish was counted the first time.
            (false, false) => PublishOutcome::Unchanged,
        }
    }

    fn findings(&self) -> &[Finding] {
        &self.warnings
    }
}

/// The revision that a deletion ended.
impl Counted for Revision {
    fn outcome(&self) -> PublishOutcome {
        PublishOutcome::Ok
    }

    fn findings(&self) -> &[Finding] {
        &[]
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
