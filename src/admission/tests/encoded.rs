//! Encoded resources: bytes are kept, content is compared by meaning.

use prost::Message as _;

use super::*;
use crate::proto::discovery;

fn any(message: &str, value: Vec<u8>) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/{message}"),
        value,
    }
}

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const EXTENSION: &str = "envoy.config.core.v3.TypedExtensionConfig";

#[test]
fn bytes_are_served_exactly_as_given() {
    // Field 28 (alt_stat_name, a two-byte key) before field 1 (name): no encoder writes this order.
    let value = [b"\xe2\x01\x01x".to_vec(), field(1, b"a")].concat();
    let given = any(CLUSTER, value);
    let resource = only(admit_any(given.clone()).unwrap());
    assert_eq!(resource.body, given.encode_to_vec());
    // The content equals that of the written-out form.
    assert_eq!(
        resource.content,
        one(&cluster("  name: a\n  alt_stat_name: x\n")).content
    );
}

#[test]
fn map_order_does_not_change_the_content() {
    let entry = |key: &[u8]| field(1, &[field(1, key), field(2, b"")].concat());
    let metadata = |keys: [&[u8]; 2]| {
        // Field 25 is metadata.
        let maps = keys.map(entry).concat();
        let mut value = field(1, b"a");
        value.extend_from_slice(b"\xca\x01");
        prost::encoding::encode_varint(maps.len() as u64, &mut value);
        value.extend(maps);
        only(admit_any(any(CLUSTER, value)).unwrap())
    };
    let (one, other) = (metadata([b"x", b"y"]), metadata([b"y", b"x"]));
    assert_ne!(one.body, other.body);
    assert_eq!(one.content, other.content);
    assert_eq!(one.version, other.version);
}

#[test]
fn order_inside_a_nested_any_does_not_change_the_content() {
    let nested = |inner: Vec<u8>| {
        let value = [field(1, b"n"), field(2, &any(CLUSTER, inner).encode_to_vec())].concat();
        only(admit_any(any(EXTENSION, value)).unwrap())
    };
    let (a, b) = (field(1, b"a"), b"\xe2\x01\x01x".to_vec());
    assert_eq!(
        nested([a.clone(), b.clone()].concat()).content,
        nested([b, a].concat()).content
    );
}

#[test]
fn newer_fields_survive_with_a_warning() {
    // Field 9999, varint 1.
    let newer = b"\xf8\xf0\x04\x01".to_vec();
    let value = [field(1, b"a"), newer].concat();
    let given = any(CLUSTER, value);
    let admitted = admit_any(given.clone()).unwrap();
    assert_eq!(
        admitted.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "warning[XDS0013] cluster \"a\": field 9999 of envoy.config.cluster.v3.Cluster is newer than this server: served as \
             it is, not checked"
        ]
    );
    let resource = only(admitted);
    assert_eq!(resource.body, given.encode_to_vec());
    assert_ne!(resource.content, one(&cluster("  name: a\n")).content);
}

#[test]
fn undecodable_and_unknown_resources_are_refused() {
    for (given, expected) in [
        (
            any(CLUSTER, vec![0x0a, 0x7f]),
            "error[XDS0007] resource 0 of the request: not a envoy.config.cluster.v3.Cluster: ",
        ),
        (
            any("foo.Bar", Vec::new()),
            "error[XDS0006] resource 0 of the request: unknown type \"type.googleapis.com/foo.Bar\"",
        ),
        (
            prost_types::Any::default(),
            "error[XDS0006] resource 0 of the request: the type URL is empty",
        ),
        (
            prost_types::Any {
                type_url: format!("other.com/{CLUSTER}"),
                value: field(1, b"a"),
            },
            "error[XDS0006] @type: resource 0 of the request: \"other.com/envoy.config.cluster.v3.Cluster\": the type URL of a",
        ),
        (
            any(
                EXTENSION,
                [field(1, b"n"), field(2, &any("foo.Bar", Vec::new()).encode_to_vec())].concat(),
            ),
            "error[XDS0006] extension_config \"n\": typed_config: unknown type \"type.googleapis.com/foo.Bar\": no descriptor",
        ),
        (
            any(
                EXTENSION,
                [field(1, b"n"), field(2, &any(CLUSTER, vec![0xff]).encode_to_vec())].concat(),
            ),
            "error[XDS0007] extension_config \"n\": typed_config: not a envoy.config.cluster.v3.Cluster: ",
        ),
    ] {
        let rejection = admit_any(given).unwrap_err();
        assert_eq!(rejection.findings.len(), 1, "{rejection}");
        assert!(rejection.to_string().starts_with(expected), "{rejection}");
    }
}

fn nested(levels: usize) -> prost_types::Any {
    (1..levels).fold(any("google.protobuf.Empty", Vec::new()), |inner, _| {
        any(EXTENSION, [field(1, b"n"), field(2, &inner.encode_to_vec())].concat())
    })
}

#[test]
fn nested_anys_are_refused_beyond_sixteen_without_exhausting_the_stack() {
    on_a_small_stack(|| {
        admit_any(nested(16)).unwrap();
        for levels in [17, 10_000] {
            let given = nested(levels);
            let rejection = admit_any(given.clone()).unwrap_err();
            assert_eq!(rejection.findings[0].code, codes::NESTING, "{rejection}");
            assert_eq!(
                rejection.findings[0].field.as_deref(),
                Some(&*vec!["typed_config"; 16].join("."))
            );
            // Showing the resource is as safe as refusing it.
            assert!(to_json(&given, Secrets::Redact).to_string().len() < 20_000);
            let response = discovery::DiscoveryResponse {
                resources: vec![given],
                ..Default::default()
            };
            assert!(refused_as("a.pb", response.encode_to_vec())[0].starts_with("a.pb: error[XDS0011]"));
        }
    });
}

#[test]
fn nested_messages_are_refused_without_exhausting_the_stack() {
    on_a_small_stack(|| {
        // google.protobuf.Value { list_value: ListValue { values: … } }, 10 000 deep, in Runtime.layer.
        let mut value = Vec::new();
        for _ in 0..10_000 {
            let mut out = vec![0x0a];
            prost::encoding::encode_varint(value.len() as u64, &mut out);
            out.extend(&value);
            value = field(6, &out);
        }
        let layer = field(1, &[field(1, b"k"), field(2, &value)].concat());
        let runtime = any(
            "envoy.service.runtime.v3.Runtime",
            [field(1, b"r"), field(2, &layer)].concat(),
        );
        let rejection = admit_any(runtime).unwrap_err();
        assert_eq!(rejection.findings[0].code, codes::UNDECODABLE, "{rejection}");
    });
}

#[test]
fn binary_documents_hold_a_discovery_response() {
    let wrapper = discovery::Resource {
        name: "r/v".to_owned(),
        aliases: vec!["b".to_owned()],
        resource: Some(any(
            "envoy.config.route.v3.VirtualHost",
            [field(1, b"v"), field(2, b"*")].concat(),
        )),
        ..Default::default()
    };
    let response = discovery::DiscoveryResponse {
        resources: vec![
            any(CLUSTER, field(1, b"a")),
            any("envoy.service.discovery.v3.Resource", wrapper.encode_to_vec()),
        ],
        ..Default::default()
    };
    let admitted = admit_text("a.pb", response.encode_to_vec()).unwrap();
    assert_eq!(admitted.resources[&ResourceType::Cluster][0].name.as_str(), "a");
    assert_eq!(admitted.resources[&ResourceType::VirtualHost][0].name.as_str(), "r/v");
    assert!(refused_as("a.pb", vec![0xff])[0].starts_with("a.pb: error[XDS0001] not an encoded DiscoveryResponse"));
}

#[test]
fn name_beside_a_resource_must_be_its_own() {
    let raw = |name: &str, any| RawResource {
        name: Some(name.into()),
        aliases: Vec::new(),
        ttl: None,
        any,
    };
    let rejection = admit_raw(vec![raw("b", any(CLUSTER, field(1, b"a")))]).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "error[XDS0008] cluster \"a\": name: resource 0 of the request: the wrapper names it \"b\", the resource itself \"a\""
    );
    let host = any(
        "envoy.config.route.v3.VirtualHost",
        [field(1, b"v"), field(2, b"*")].concat(),
    );
    assert_eq!(only(admit_raw(vec![raw("r/v", host)]).unwrap()).name.as_str(), "r/v");
}

#[test]
fn an_encoded_document_of_nothing_but_empty_resources_is_not_decoded() {
    let most = Limits::default().resources;
    let of = |count: usize| [0x12, 0].repeat(count);
    let refused = |count: usize| admit_text("a.pb", of(count)).unwrap_err().findings[0].to_string();
    let told = refused(most + 1_001);
    assert!(
        told.contains("XDS0010") && told.contains("holds more resources than the 250000"),
        "{told}"
    );
    assert!(!refused(1_000).contains("holds more resources"));
    // The bytes are truncated.
    assert!(refused(1).contains("error["));
}
