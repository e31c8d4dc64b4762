//! Secrets never leave redacted output, wherever they stand.

use super::*;

const SECRET: &str = "
resources:
- '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: s
  tls_certificate:
    certificate_chain: {inline_string: public}
    private_key: {inline_string: hunter2}
    password: {inline_bytes: aHVudGVyMg==}
";

#[test]
fn sensitive_fields_are_redacted_and_others_shown() {
    let any = any_of(&one(SECRET));
    let json = to_json(&any, Secrets::Redact);
    assert_eq!(json["tls_certificate"]["certificate_chain"]["inline_string"], "public");
    assert_eq!(json["tls_certificate"]["private_key"]["inline_string"], "[redacted]");
    assert!(!json.to_string().contains("aHVudGVyMg"));
    assert_eq!(
        to_json(&any, Secrets::Show)["tls_certificate"]["private_key"]["inline_string"],
        "hunter2"
    );
    let redacted = redact(&any);
    assert_eq!(redacted.type_url, any.type_url);
    assert!(!String::from_utf8_lossy(&redacted.value).contains("hunter2"));
}

#[test]
fn secrets_inside_anys_and_typed_structs_are_redacted() {
    for typed_config in [
        "{'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: \
         {tls_certificates: [{private_key: {inline_string: hunter2}}]}}",
        "{'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, value: {commonTlsContext: \
         {tls_certificates: [{private_key: {inline_string: hunter2}}]}}}",
        "{'@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig, name: n, typed_config: {'@type': \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.GenericSecret, secrets: {a: {inline_string: hunter2}}}}",
    ] {
        let yaml = cluster(&format!(
            "  name: a\n  transport_socket: {{name: tls, typed_config: {typed_config}}}\n"
        ));
        let any = any_of(&one(&yaml));
        let json = to_json(&any, Secrets::Redact).to_string();
        assert!(json.contains("[redacted]") && !json.contains("hunter2"), "{json}");
        assert!(!String::from_utf8_lossy(&redact(&any).value).contains("hunter2"));
    }
}

#[test]
fn type_without_descriptor_is_shown_as_bytes() {
    let any = prost_types::Any {
        type_url: "type.googleapis.com/foo.Bar".to_owned(),
        value: vec![1, 2, 3],
    };
    let json = serde_json::json!({"@type": "type.googleapis.com/foo.Bar", "value": "AQID"});
    assert_eq!(to_json(&any, Secrets::Show), json);
    assert_eq!(to_json(&any, Secrets::Redact), json);
    assert_eq!(redact(&any), any);
}
