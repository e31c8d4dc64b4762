//! The receiver of findings of a check.

use crate::admission::{Severity, path::Path};

/// Receives findings about the resource under check.
pub(in crate::admission) trait Report {
    /// Receives one finding.
    fn tell(&mut self, severity: Severity, code: &'static str, path: &Path<'_>, message: String);
}

/// Shorthands for each kind of finding.
impl dyn Report + '_ {
    /// Reports an error: the resource is refused.
    pub(super) fn error(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        self.tell(Severity::Error, code, path, message.into());
    }

    /// Reports a warning.
    pub(super) fn warn(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        self.tell(Severity::Warning, code, path, message.into());
    }

    /// Reports a warning that an Envoy would refuse the resource, for a reason outside its protos that another client
    /// need not share.
    pub(super) fn envoy_refuses(&mut self, code: &'static str, path: &Path<'_>, message: impl std::fmt::Display) {
        self.tell(Severity::Warning, code, path, format!("{message}: Envoy refuses it"));
    }
}
