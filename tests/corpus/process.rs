//! A part of the corpus through the binary: `chancery validate -o json`.

use std::{fs, process::Command};

use serde_json::Value;

use crate::cases::{BAD, Case, GOOD, written};

/// The binary runs one case in this many; the library runs them all.
const EVERY: usize = 5;

#[test]
fn the_command_line_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for case in GOOD.iter().chain(BAD.iter()).step_by(EVERY) {
        let path = dir.path().join(&case.file);
        fs::write(&path, &case.content).unwrap();
        let (code, said) = validate(&["-f", path.to_str().unwrap()]);
        let findings = said["findings"].as_array().unwrap();
        let refused = findings.iter().any(|finding| finding["severity"] == "SEVERITY_ERROR");
        assert_eq!(code, if refused { 3 } else { 0 }, "{}: {said}", case.name);
        assert_eq!(said["valid"], !refused, "{}: {said}", case.name);
        assert_eq!(
            sorted(findings.iter().map(of_json)),
            sorted(case.expect.iter().cloned()),
            "{}",
            case.name
        );
    }
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

fn of_json(finding: &Value) -> String {
    let line = u32::try_from(finding["line"].as_u64().unwrap()).unwrap();
    written(
        finding["code"].as_str().unwrap(),
        line,
        finding["field"].as_str().unwrap(),
    )
}

/// Runs the binary, and returns its exit code and its output as JSON.
pub(crate) fn validate(args: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["validate", "-o", "json"])
        .args(args)
        .output()
        .unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), said)
}

/// Writes a case to a folder of its own.
pub(crate) fn file_of(case: &Case, dir: &tempfile::TempDir) -> String {
    let path = dir.path().join(&case.file);
    fs::write(&path, &case.content).unwrap();
    path.to_str().unwrap().to_owned()
}
