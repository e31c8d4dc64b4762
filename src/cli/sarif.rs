//! Findings as SARIF 2.1.0, the format of code scanning: a rule for each code, a result for each finding.

use serde_json::{Value, json};

use super::findings::short_type;
use crate::{
    admission::codes,
    proto::admin::{Finding, finding::Severity},
};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// A log of one run of `chancery validate`.
pub(super) fn log(findings: &[Finding]) -> Value {
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "chancery",
                    "version": env!("CARGO_PKG_VERSION"),
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": codes::ALL.map(|(code, text)| rule(code, text)).to_vec(),
                },
            },
            "invocations": [{"executionSuccessful": true}],
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn rule(code: &str, text: &str) -> Value {
    let (plain, level) = match text.strip_suffix(" (warning)") {
        Some(plain) => (plain, "warning"),
        None => (text, "error"),
    };
    json!({
        "id": code,
        "shortDescription": {"text": sentence(plain)},
        "help": {"text": format!("{} docs/admission.md of Chancery explains {code}.", sentence(text))},
        "defaultConfiguration": {"level": level},
    })
}

/// The text as a sentence, with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

fn result(finding: &Finding) -> Value {
    let level = match finding.severity() {
        Severity::Warning => "warning",
        Severity::Error | Severity::Unspecified => "error",
    };
    let mut result = json!({
        "ruleId": finding.code,
        "level": level,
        "message": {"text": message(finding)},
    });
    if let Some(index) = codes::ALL.iter().position(|(code, _)| *code == finding.code) {
        result["ruleIndex"] = index.into();
    }
    let mut location = serde_json::Map::new();
    if !finding.document.is_empty() {
        location.insert("physicalLocation".to_owned(), place(finding));
    }
    if let Some(logical) = logical(finding) {
        location.insert("logicalLocations".to_owned(), json!([logical]));
    }
    if !location.is_empty() {
        result["locations"] = json!([location]);
    }
    result
}

/// The resource and the problem: viewers of code do not show the resource otherwise.
fn message(finding: &Finding) -> String {
    let mut text = String::new();
    if !finding.type_url.is_empty() {
        text.push_str(&short_type(&finding.type_url));
    }
    if !finding.resource.is_empty() {
        text.push_str(&format!(" \"{}\"", finding.resource));
    }
    for part in [&finding.field, &finding.message] {
        if !part.is_empty() {
            let separator = if text.is_empty() { "" } else { ": " };
            text.push_str(&format!("{separator}{part}"));
        }
    }
    text.trim_start().to_owned()
}

fn place(finding: &Finding) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(&finding.document)}});
    if finding.line > 0 {
        place["region"] = json!({"startLine": finding.line});
        if finding.column > 0 {
            place["region"]["startColumn"] = finding.column.into();
        }
    }
    place
}

/// The resource, and the field in it.
fn logical(finding: &Finding) -> Option<Value> {
    if finding.resource.is_empty() && finding.field.is_empty() {
        return None;
    }
    let mut parts = Vec::new();
    if !finding.type_url.is_empty() {
        parts.push(short_type(&finding.type_url));
    }
    for part in [&finding.resource, &finding.field] {
        if !part.is_empty() {
            parts.push(part.clone());
        }
    }
    let (name, kind) = if finding.field.is_empty() {
        (&finding.resource, "resource")
    } else {
        (&finding.field, "property")
    };
    Some(json!({"name": name, "fullyQualifiedName": parts.join("/"), "kind": kind}))
}

/// A path as a URI reference: relative paths stay relative to the working directory.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests;
