//! Findings as lines for people and editors: `file:line:col: error[XDS0003] cluster "a": field: message`.

use std::io::{self, Write as _};

use super::output::{count, escape};
use crate::{
    proto::admin::{Finding, Rejection, finding::Severity},
    resource::ResourceType,
};

/// One finding as a line, without its line end.
pub(super) fn line(finding: &Finding) -> String {
    let mut line = String::new();
    if !finding.document.is_empty() {
        line.push_str(&finding.document);
        if finding.line > 0 {
            line.push_str(&format!(":{}:{}", finding.line, finding.column));
        }
        line.push_str(": ");
    }
    let severity = match finding.severity() {
        Severity::Warning => "warning",
        Severity::Error | Severity::Unspecified => "error",
    };
    line.push_str(&format!("{severity}[{}]", finding.code));
    if !finding.type_url.is_empty() {
        line.push_str(&format!(" {}", short_type(&finding.type_url)));
    }
    if !finding.resource.is_empty() {
        line.push_str(&format!(" \"{}\"", finding.resource));
    }
    line.push_str(": ");
    if !finding.field.is_empty() {
        line.push_str(&format!("{}: ", finding.field));
    }
    line.push_str(&finding.message);
    escape(&line)
}

/// The number of findings, for the line after them.
pub(super) fn summary(rejection: &Rejection) -> String {
    let findings = count(rejection.findings.len(), "finding");
    match rejection.left_off {
        0 => format!("refused: {findings}; nothing was published"),
        more => format!("refused: {findings} and {more} more that are not shown; nothing was published"),
    }
}

/// Prints warnings to stderr.
pub(super) fn warn(findings: &[Finding]) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    findings
        .iter()
        .try_for_each(|finding| writeln!(stderr, "{}", line(finding)))
}

/// The short name for a type URL of Envoy, such as `cluster`; an unknown URL stays.
pub(super) fn short_type(type_url: &str) -> String {
    ResourceType::from_type_url(type_url).map_or_else(|| type_url.to_owned(), |known| known.short_name().to_owned())
}
