//! Compares our checks of the rules in Envoy's protos with protoc-gen-validate's own validator for Python: for messages made from
//! the descriptors, both object to the same messages and to the same fields.

// The harness is test code as well, which clippy sees in test functions only.
#![allow(clippy::unwrap_used)]

mod cases;
mod envoy;
mod oracle;

use std::collections::BTreeSet;

use chancery::{
    admission::{Candidate, Finding, Limits, RawResource, admit, codes},
    resource::{ResourceName, ResourceType},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _};

/// Inputs for which the oracle is wrong, each with the reason.
const EXCEPTIONS: [(&str, &str); 5] = [
    ("envoy.extensions.filters.http.oauth2.v3.", NO_CODE),
    ("I64(4294967295), nanos I32(999999999)", FLOATS),
    ("I64(8999999999), nanos I32(999999999)", FLOATS),
    (
        "in envoy.service.auth.v3.OkHttpResponse.query_parameters_to_set",
        NO_MAP,
    ),
    (
        "in envoy.service.auth.v3.OkHttpResponse.query_parameters_to_remove",
        NO_MAP,
    ),
];
const FLOATS: &str = "the oracle compares durations as floats, which have no nanoseconds after some months";
const NO_CODE: &str = "the Python that it writes for these messages does not compile";
const NO_MAP: &str = "the oracle takes a list of messages with a key and a value for a map";

#[test]
fn both_implementations_object_to_the_same_messages_and_fields() {
    let cases = cases::some();
    let theirs = oracle::objections(cases.iter().map(|case| &case.message));
    assert_eq!(theirs.len(), cases.len());
    let (mut bad, mut good, mut differences) = (0, 0, Vec::new());
    for (case, theirs) in cases.iter().zip(theirs) {
        let ours = violations(&case.message);
        let excepted = EXCEPTIONS.iter().any(|(what, _)| case.what.contains(what));
        match differs(&ours, &theirs) {
            Some(_) if excepted => {}
            Some(difference) => differences.push(format!("{}: {difference}", case.what)),
            None if ours.is_empty() => good += 1,
            None => bad += 1,
        }
    }
    eprintln!("{bad} bad and {good} good messages, {} differences", differences.len());
    assert!(
        differences.is_empty(),
        "{}",
        differences[..differences.len().min(100)].join("\n")
    );
    assert!(bad >= 200 && good >= 200, "{bad} bad, {good} good");
}

/// Our findings about a message, as the only resource of a publish.
fn violations(message: &DynamicMessage) -> Vec<Finding> {
    let type_url = format!("type.googleapis.com/{}", message.descriptor().full_name());
    let names_itself = !matches!(
        ResourceType::from_type_url(&type_url),
        Some(ResourceType::Other(_)) | None
    );
    let resource = RawResource {
        name: (!names_itself).then(|| ResourceName::from("x")),
        aliases: Vec::new(),
        ttl: None,
        any: prost_types::Any {
            type_url,
            value: message.encode_to_vec(),
        },
    };
    let candidate = Candidate {
        documents: Vec::new(),
        resources: vec![resource],
    };
    let findings = match admit(&candidate, &Limits::default()) {
        Ok(admitted) => admitted.findings,
        Err(rejection) => rejection.findings,
    };
    findings
        .into_iter()
        .filter(|finding| finding.code.starts_with("XDS02") || finding.code == codes::NAME)
        .collect()
}

/// The last field of a path, without the index or key.
fn leaf(path: &str) -> &str {
    let path = path.rsplit_once('.').map_or(path, |(_, leaf)| leaf);
    path.split_once('[').map_or(path, |(leaf, _)| leaf)
}

/// The field in the oracle's message: `p.name length …`, `name is required.`, `Oneof name is required`; `None` for items and
/// keys, which the oracle does not name.
fn named(objection: &str) -> Option<&str> {
    let text = objection
        .strip_prefix("p.")
        .or_else(|| objection.strip_prefix("Oneof "))
        .unwrap_or(objection);
    let end = text.find([' ', '[', '.']).unwrap_or(text.len());
    Some(&text[..end]).filter(|name| !matches!(*name, "item" | "key"))
}

fn differs(ours: &[Finding], theirs: &Result<Vec<String>, String>) -> Option<String> {
    let theirs = match theirs {
        Ok(theirs) => theirs,
        Err(failure) => return Some(format!("the oracle failed: {failure}")),
    };
    let their_fields: BTreeSet<Option<&str>> = theirs.iter().map(|objection| named(objection)).collect();
    // We report an empty name as such, also for resources whose protos have no rule for it.
    let by_rule = |finding: &&Finding| {
        finding.code != codes::NAME || their_fields.contains(&finding.field.as_deref().map(leaf).or(Some("-")))
    };
    let ours: Vec<&Finding> = ours.iter().filter(by_rule).collect();
    let our_fields: BTreeSet<&str> = ours
        .iter()
        .filter_map(|finding| finding.field.as_deref())
        .map(leaf)
        .collect();
    let they_have = |field: &&str| their_fields.contains(&Some(*field)) || their_fields.contains(&None);
    let we_have = |field: &Option<&str>| field.is_none_or(|field| our_fields.contains(field));
    let agree =
        ours.is_empty() == theirs.is_empty() && our_fields.iter().all(they_have) && their_fields.iter().all(we_have);
    let ours: Vec<String> = ours.iter().map(ToString::to_string).collect();
    (!agree).then(|| format!("ours {ours:?}, theirs {theirs:?}"))
}
