//! Input of admission: documents in YAML, JSON and encoded, and encoded resources. The first byte selects one.

use std::sync::LazyLock;

use bytes::Bytes;
use chancery::{
    admission::{
        Admitted, Candidate, Document, Format, Limits, RawResource, Secrets, admit, check_group, redact, to_json,
    },
    resource::ResourceType,
};
use prost::Message as _;

use super::input::Input;

/// As in production, with smaller sizes.
static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits {
    document_bytes: 1 << 20,
    document_values: 20_000,
    resource_bytes: 1 << 16,
    resources: 1000,
    total_bytes: 1 << 20,
    findings: 100,
    ..Limits::default()
});

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let format = *input.pick(&[Some(Format::Yaml), Some(Format::Json), Some(Format::Binary), None]);
    let candidate = match format {
        Some(format) => Candidate {
            documents: vec![Document {
                name: "fuzzed".to_owned(),
                content: Bytes::copy_from_slice(input.rest()),
                format,
            }],
            ..Candidate::default()
        },
        None => {
            let types: Vec<&str> = ResourceType::KNOWN.iter().map(ResourceType::type_url).collect();
            let type_url = (*input.pick(&types)).to_owned();
            encoded(&type_url, input.rest())
        }
    };
    match admit(&candidate, &LIMITS) {
        Ok(admitted) => hold(&candidate, &admitted),
        Err(rejection) => assert!(!rejection.findings.is_empty(), "a refusal says why"),
    }
}

fn encoded(type_url: &str, value: &[u8]) -> Candidate {
    Candidate {
        resources: vec![RawResource {
            name: None,
            aliases: Vec::new(),
            ttl: None,
            any: prost_types::Any {
                type_url: type_url.to_owned(),
                value: value.to_vec(),
            },
        }],
        ..Candidate::default()
    }
}

/// Admitted resources can be shown, and are the same when admitted again.
fn hold(candidate: &Candidate, admitted: &Admitted) {
    let again = admit(candidate, &LIMITS).expect("an admitted candidate is admitted again");
    let versions = |admitted: &Admitted| -> Vec<_> {
        let resources = admitted.resources.values().flatten();
        resources
            .map(|resource| (resource.name.clone(), resource.content))
            .collect()
    };
    assert_eq!(versions(admitted), versions(&again), "equal content has equal versions");
    let _ = check_group(&admitted.resources, None, &admitted.places);
    for resource in admitted.resources.values().flatten() {
        let any = prost_types::Any::decode(resource.body.clone()).expect("a body is an encoded Any");
        let _ = to_json(&any, Secrets::Show);
        let hidden = redact(&any);
        assert_eq!(hidden, redact(&hidden), "redaction is idempotent");
        let _ = to_json(&any, Secrets::Redact);
        // Served bytes are admitted again: backups, exports and other replicas rely on this.
        let back = Candidate {
            resources: vec![RawResource {
                name: Some(resource.name.clone()),
                aliases: resource.aliases.to_vec(),
                ttl: resource.ttl,
                any,
            }],
            ..Candidate::default()
        };
        let back = admit(&back, &LIMITS).expect("served resources can be published");
        let back = back.resources.values().flatten().next().expect("the resource");
        assert_eq!((back.content, &back.body), (resource.content, &resource.body));
    }
}
