//! Whom a check tells what it found.

use crate::admission::{Severity, path::Path};

/// Takes findings about the resource that is being looked at.
pub(in crate::admission) trait Report {
    /// Called for each finding.
    fn tell(&mut self, severity: Severity, code: &'static str, path: &Path<'_>, message: String);
}

/// Words for what a check says.
impl dyn Report + '_ {
    /// It is refused.
    pub(super) fn error(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        self.tell(Severity::Error, code, path, message.into());
    }

    /// It is worth knowing.
    pub(super) fn warn(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        self.tell(Severity::Warning, code, path, message.into());
    }

    /// An Envoy would refuse it, for a reason that its protos do not give and that another client need not share.
    pub(super) fn envoy_refuses(&mut self, code: &'static str, path: &Path<'_>, message: impl std::fmt::Display) {
        self.tell(Severity::Warning, code, path, format!("{message}: Envoy refuses it"));
    }
}
