//! The receiver of findings of a check.

use crate::admission::{Severity, path::Path};

/// Receives findings about the resource under check.
pub(in crate::admission) trait Report {
    fn report(&mut self, severity: Severity, code: &'static str, path: &Path<'_>, message: String);
}

/// Shorthands for each kind of finding.
impl dyn Report + '_ {
    pub(super) fn error(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        self.report(Severity::Error, code, path, message.into());
    }

    pub(super) fn warn(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        self.report(Severity::Warning, code, path, message.into());
    }

    /// Reports a warning that an Envoy would refuse the resource, for a reason that is not in its protos.
    pub(super) fn envoy_refuses(&mut self, code: &'static str, path: &Path<'_>, message: impl std::fmt::Display) {
        self.report(Severity::Warning, code, path, format!("{message}: Envoy refuses it"));
    }
}
