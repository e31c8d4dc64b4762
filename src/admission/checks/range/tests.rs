//! Ranges that a real Envoy accepts, and ranges that it refuses. `tests/corpus/bad/checks.yaml` has them in the messages that contain ranges.

use super::*;
use crate::{admission::Severity, proto};

#[derive(Default)]
struct Said(Vec<(Severity, &'static str, String, String)>);

impl Report for Said {
    fn report(&mut self, severity: Severity, code: &'static str, path: &Path<'_>, message: String) {
        self.0.push((severity, code, path.text().unwrap_or_default(), message));
    }
}

fn said_of(json: serde_json::Value) -> Vec<(Severity, &'static str, String, String)> {
    said_at(&Path::ROOT, json)
}

fn said_at(path: &Path<'_>, json: serde_json::Value) -> Vec<(Severity, &'static str, String, String)> {
    let descriptor = proto::descriptors().get_message_by_name("envoy.config.core.v3.CidrRange");
    let range = DynamicMessage::deserialize(descriptor.unwrap(), json).unwrap();
    let mut said = Said::default();
    check(&range, path, &mut said);
    said.0
}

#[test]
fn addresses_of_both_kinds_are_ranges_whatever_their_length() {
    for (address, length) in [
        ("10.0.0.0", 8),
        ("10.1.2.3", 8),
        ("10.0.0.0", 33),
        ("0.0.0.0", 0),
        ("fd00::", 8),
        ("::ffff:10.0.0.1", 96),
        ("fe80::1%1", 64),
        ("fe80::1%lo", 64),
    ] {
        let range = serde_json::json!({"address_prefix": address, "prefix_len": length});
        assert_eq!(said_of(range), [], "{address}");
    }
    assert_eq!(said_of(serde_json::json!({"address_prefix": "10.0.0.0"})), []);
}

#[test]
fn text_that_is_no_address_is_no_range() {
    for address in [
        "10.0.0",
        "010.0.0.0",
        "0x7f.0.0.1",
        " 10.0.0.0",
        "1::2::3",
        "[::1]",
        "fe80::1%",
        "10.0.0.1%1",
        "localhost",
        "10.0.0/24",
    ] {
        let range = serde_json::json!({"address_prefix": address, "prefix_len": 8});
        let message = format!("\"{address}\" is not an IP address");
        let expected = (Severity::Error, "XDS0315", "address_prefix".to_owned(), message);
        assert_eq!(said_of(range), [expected], "{address}");
    }
}

#[test]
fn length_in_the_address_is_told_with_its_place() {
    let said = said_of(serde_json::json!({"address_prefix": "fd00::/8"}));
    let messages: Vec<&str> = said.iter().map(|(_, _, _, message)| message.as_str()).collect();
    assert_eq!(
        messages,
        ["\"fd00::/8\" is not an IP address: write \"fd00::\" here, and the length 8 as prefix_len"]
    );
}

#[test]
fn empty_address_is_left_to_the_rules_of_the_protos() {
    assert_eq!(said_of(serde_json::json!({"prefix_len": 8})), []);
}

#[test]
fn ranges_that_envoy_passes_over_are_warned_of() {
    let trusted = Path::ROOT.field("xff_trusted_cidrs");
    let said = said_at(
        &trusted,
        serde_json::json!({"address_prefix": "proxy.internal", "prefix_len": 8}),
    );
    let [(severity, code, path, message)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((*severity, *code), (Severity::Warning, codes::RANGE_ADDRESS));
    assert_eq!(path, "xff_trusted_cidrs.address_prefix");
    assert!(
        message.ends_with("is not an IP address: Envoy passes over the range"),
        "{message}"
    );
}
