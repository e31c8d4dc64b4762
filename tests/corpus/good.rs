//! Good configurations are admitted without a finding.

use crate::cases::GOOD;

#[test]
fn good_configurations_are_admitted_without_a_finding() {
    assert!(GOOD.len() >= 45, "{}", GOOD.len());
    let found: Vec<String> = GOOD
        .iter()
        .flat_map(|case| {
            case.findings()
                .into_iter()
                .map(|finding| format!("{}: {finding}", case.name))
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
