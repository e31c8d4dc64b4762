//! Bad inputs, each with its expected findings: code, line and field.

use std::collections::BTreeSet;

use chancery::admission::codes;

use crate::cases::{BAD, Case, row};

/// Codes that no document can cause in this corpus, each with the reason.
const ELSEWHERE: [(&str, &str); 6] = [
    (codes::TRUNCATED, "takes more than 1000 findings: src/admission/tests"),
    (codes::NEWER_FIELD, "takes encoded resources: src/admission/tests"),
    (
        codes::EMPTIES_TYPE,
        "takes what was published before: tests/admin/guard.rs",
    ),
    (
        codes::REMOVES_MANY,
        "takes what was published before: tests/admin/guard.rs",
    ),
    (codes::EXCHANGE, "takes what was published before: tests/admin/plan.rs"),
    (codes::ENVOY_REFUSES, "takes a real Envoy: tests/corpus/envoy.rs"),
];

#[test]
fn each_bad_input_is_told_with_code_line_and_field() {
    assert!(BAD.len() >= 150, "{}", BAD.len());
    let differs = |case: &Case| {
        let mut found: Vec<String> = case.findings().iter().map(row).collect();
        let mut expected = case.expect.clone();
        found.sort();
        expected.sort();
        (found != expected).then(|| format!("{}:\n  expected {expected:?}\n  found    {found:?}", case.name))
    };
    let wrong: Vec<String> = BAD.iter().filter_map(differs).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        BAD.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_code_has_a_bad_input() {
    let expected: BTreeSet<&str> = BAD
        .iter()
        .flat_map(|case| &case.expect)
        .filter_map(|finding| finding.split(' ').next())
        .collect();
    let without = codes::ALL
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !expected.contains(code) && ELSEWHERE.iter().all(|(elsewhere, _)| elsewhere != code));
    assert_eq!(without.collect::<Vec<_>>(), Vec::<&str>::new());
}
