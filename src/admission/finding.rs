//! Findings: errors and warnings in a candidate, with their places.

use std::fmt;

use super::{codes, path::Path};
use crate::resource::ResourceType;

/// The effect of a finding on its candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The finding refuses the candidate.
    Error,
    /// The finding does not refuse the candidate, unless the publisher is set to refuse warnings.
    Warning,
}

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The name of the document.
    pub document: String,
    /// The line, from 1; 0 if it is unknown, as in binary documents.
    pub line: u32,
    /// The column in characters, from 1; 0 if it is unknown.
    pub column: u32,
}

/// An error or warning about a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// One of [`codes`], for scripts and for looking it up.
    pub code: &'static str,
    /// The message for people, without the place.
    pub message: String,
    /// The place in a document; `None` for a resource from the API.
    pub place: Option<Place>,
    /// The type URL of the resource.
    pub type_url: Option<String>,
    /// The name of the resource.
    pub resource: Option<String>,
    /// The path of the field in proto names: `filter_chains[0].filters[1].typed_config.stat_prefix`.
    pub field: Option<String>,
}

/// A refused candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejection {
    /// All findings, errors first; at least one is an error.
    pub findings: Vec<Finding>,
}

/// A line and a column, from 1; 0 if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// The document and resource that findings are about, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subject<'a> {
    pub(super) document: Option<&'a str>,
    pub(super) type_url: Option<&'a str>,
    pub(super) resource: Option<&'a str>,
}

/// Collects findings up to a limit, and counts the rest.
#[derive(Debug)]
pub(super) struct Findings {
    limit: usize,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    more_errors: usize,
    more_warnings: usize,
}

// === impl Severity ===

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    /// Writes `eds.yaml:7:9: error[XDS0003] cluster "a": connect_timeoutt: unknown field`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}[{}]", self.severity, self.code)?;
        let resource_type = self.type_url.as_deref().and_then(ResourceType::from_type_url);
        if let Some(resource_type) = &resource_type {
            write!(f, " {resource_type}")?;
        }
        if let Some(resource) = &self.resource {
            write!(f, " {resource:?}")?;
        }
        if resource_type.is_some() || self.resource.is_some() {
            f.write_str(":")?;
        }
        if let Some(field) = &self.field {
            write!(f, " {field}:")?;
        }
        write!(f, " {}", self.message)
    }
}

// === impl Rejection ===

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

// === impl Position ===

impl Position {
    /// The position after `text`, counted in characters.
    pub(super) fn after(text: &str) -> Self {
        let last_line = text.rsplit('\n').next().unwrap_or_default();
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        Self {
            line: count(text.bytes().filter(|byte| *byte == b'\n').count()),
            column: count(last_line.chars().count()),
        }
    }
}

// === impl Subject ===

impl Subject<'_> {
    /// A finding about this subject, at the position `at` of its document.
    pub(super) fn finding(
        &self,
        severity: Severity,
        code: &'static str,
        at: Position,
        path: &Path<'_>,
        message: impl Into<String>,
    ) -> Finding {
        Finding {
            severity,
            code,
            message: message.into(),
            place: self.place(at),
            type_url: self.type_url.map(str::to_owned),
            resource: self.resource.map(str::to_owned),
            field: path.text(),
        }
    }

    /// A place in the document of this subject.
    pub(super) fn place(&self, at: Position) -> Option<Place> {
        self.document.map(|document| Place {
            document: document.to_owned(),
            line: at.line,
            column: at.column,
        })
    }
}

// === impl Findings ===

impl Findings {
    /// Keeps up to `limit` errors, and up to `limit` warnings.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            errors: Vec::new(),
            warnings: Vec::new(),
            more_errors: 0,
            more_warnings: 0,
        }
    }

    pub(super) fn push(&mut self, finding: Finding) {
        if self.is_full(finding.severity) {
            return self.leave_out(finding.severity);
        }
        match finding.severity {
            Severity::Error => self.errors.push(finding),
            Severity::Warning => self.warnings.push(finding),
        }
    }

    /// Returns true if a further finding would only be counted, so that its message need not be made.
    pub(super) const fn is_full(&self, severity: Severity) -> bool {
        let kept = match severity {
            Severity::Error => &self.errors,
            Severity::Warning => &self.warnings,
        };
        kept.len() >= self.limit
    }

    /// Counts a finding that is not kept.
    pub(super) const fn leave_out(&mut self, severity: Severity) {
        match severity {
            Severity::Error => self.more_errors += 1,
            Severity::Warning => self.more_warnings += 1,
        }
    }

    /// The number of errors, kept or not.
    pub(super) const fn errors(&self) -> usize {
        self.errors.len() + self.more_errors
    }

    /// All findings: `Err` with the errors and then the warnings if there is any error, else `Ok` with the warnings.
    pub(super) fn finish(mut self) -> Result<Vec<Finding>, Rejection> {
        let refused = self.errors() > 0;
        for (kept, more, severity) in [
            (&mut self.errors, self.more_errors, Severity::Error),
            (&mut self.warnings, self.more_warnings, Severity::Warning),
        ] {
            if more > 0 {
                let message = format!("{more} more {severity}s");
                kept.push(Subject::default().finding(
                    severity,
                    codes::TRUNCATED,
                    Position::default(),
                    &Path::ROOT,
                    message,
                ));
            }
        }
        if refused {
            self.errors.append(&mut self.warnings);
            return Err(Rejection { findings: self.errors });
        }
        Ok(self.warnings)
    }
}
