//! Redacted output never holds a secret, at any place.

use super::*;
use crate::admission::sensitive::REDACTED;

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

/// The only resource of a YAML document, which may have warnings.
fn built(yaml: &str) -> Arc<Resource> {
    only(admit_text("a.yaml", yaml).unwrap_or_else(|rejection| panic!("{yaml}: {rejection}")))
}

/// A resource with `CANARY` in the place of a secret, and the part of it that is shown.
struct Canary {
    what: &'static str,
    fields: String,
    shown: &'static str,
}

/// A cluster with this message in an `Any`.
fn within(what: &'static str, typed_config: &str, shown: &'static str) -> Canary {
    Canary {
        what,
        fields: format!("  name: a\n  transport_socket: {{name: x, typed_config: {{{typed_config}}}}}\n"),
        shown,
    }
}

const EXTENSIONS: &str = "'@type': type.googleapis.com/envoy.extensions";
const HTTP: &str = "filters.http";

fn canaries() -> Vec<Canary> {
    let key_set = |keys: &str| {
        format!(
            "{EXTENSIONS}.{HTTP}.jwt_authn.v3.JwtAuthentication, providers: {{p: {{issuer: shown, local_jwks: {{{keys}}}}}}}"
        )
    };
    let inline = |text: &str| format!("inline_string: '{text}'");
    let encoded = |text: &str| {
        use base64::Engine as _;
        format!(
            "inline_bytes: {}",
            base64::engine::general_purpose::STANDARD.encode(text)
        )
    };
    let grpc = |credentials: &str| {
        format!(
            "{EXTENSIONS}.{HTTP}.ext_authz.v3.ExtAuthz, grpc_service: {{google_grpc: {{target_uri: shown, stat_prefix: s, \
             call_credentials: [{{{credentials}}}]}}}}"
        )
    };
    let plugin = |name: &str, fields: &str| {
        format!(
            "{EXTENSIONS}.{HTTP}.ext_authz.v3.ExtAuthz, stat_prefix: shown, grpc_service: {{google_grpc: {{target_uri: u, \
             stat_prefix: s, call_credentials_plugin: [{{{EXTENSIONS}.grpc_service.call_credentials.{name}, {fields}}}]}}}}"
        )
    };
    let header = |name: &str| {
        format!(
            "{EXTENSIONS}.{HTTP}.ext_authz.v3.ExtAuthz, grpc_service: {{envoy_grpc: {{cluster_name: shown}}, initial_metadata: \
             [{{key: {name}, value: CANARY}}]}}"
        )
    };
    let mut all = vec![
        within(
            "a symmetric key",
            &key_set(&inline(r#"{"keys":[{"kty":"oct","k":"CANARY"}]}"#)),
            "shown",
        ),
        within(
            "a symmetric key of no type",
            &key_set(&inline(r#"{"keys":[{"k":"CANARY"}]}"#)),
            "shown",
        ),
        within(
            "a private key among public ones",
            &key_set(&encoded(
                r#"{"keys":[{"kty":"EC","x":"x"},{"kty":"RSA","n":"n","e":"AQAB","d":"CANARY","p":"CANARY","q":"CANARY"}]}"#,
            )),
            "shown",
        ),
        within("a key by itself", &key_set(&inline(r#"{"kty":"oct","k":"CANARY"}"#)), "shown"),
        within("a key set that cannot be read", &key_set(&inline(r#"{"keys":[{"k":"CANARY""#)), "shown"),
        within("an access token", &grpc("access_token: CANARY"), "shown"),
        within("a refresh token", &grpc("google_refresh_token: CANARY"), "shown"),
        within(
            "an IAM token",
            &grpc("google_iam: {authorization_token: CANARY, authority_selector: shown}"),
            "shown",
        ),
        within(
            "a service account's key",
            &grpc("service_account_jwt_access: {json_key: CANARY}"),
            "shown",
        ),
        within(
            "an access token of a plugin",
            &plugin("access_token.v3.AccessTokenCredentials", "token: CANARY"),
            "shown",
        ),
        within(
            "a refresh token of a plugin",
            &plugin("google_refresh_token.v3.GoogleRefreshTokenCredentials", "token: CANARY"),
            "shown",
        ),
        within(
            "an IAM token of a plugin",
            &plugin("google_iam.v3.GoogleIamCredentials", "authorization_token: CANARY"),
            "shown",
        ),
        within(
            "a service account's key of a plugin",
            &plugin(
                "service_account_jwt_access.v3.ServiceAccountJwtAccessCredentials",
                "json_key: CANARY",
            ),
            "shown",
        ),
        within(
            "a list of users",
            &format!("{EXTENSIONS}.{HTTP}.basic_auth.v3.BasicAuth, forward_username_header: shown, users: {{inline_string: CANARY}}"),
            "shown",
        ),
        within(
            "an API key",
            &format!("{EXTENSIONS}.{HTTP}.api_key_auth.v3.ApiKeyAuth, credentials: [{{key: CANARY, client: c}}], key_sources: [{{header: shown}}]"),
            "shown",
        ),
        within(
            "credentials of AWS",
            &format!(
                "{EXTENSIONS}.{HTTP}.aws_lambda.v3.Config, arn: shown, credentials: {{access_key_id: i, secret_access_key: CANARY, \
                 session_token: CANARY}}"
            ),
            "shown",
        ),
        within(
            "credentials of AWS that sign",
            &format!(
                "{EXTENSIONS}.common.aws.v3.AwsCredentialProvider, inline_credential: {{access_key_id: shown, secret_access_key: \
                 CANARY, session_token: CANARY}}"
            ),
            "shown",
        ),
        within(
            "a secret of OAuth or HMAC",
            &format!("{EXTENSIONS}.transport_sockets.tls.v3.Secret, name: shown, generic_secret: {{secret: {{inline_string: CANARY}}}}"),
            "shown",
        ),
        within(
            "keys of session tickets",
            &format!("{EXTENSIONS}.transport_sockets.tls.v3.Secret, name: shown, session_ticket_keys: {{keys: [{{inline_string: CANARY}}]}}"),
            "shown",
        ),
        within(
            "a tracer's token",
            "'@type': type.googleapis.com/envoy.config.trace.v3.LightstepConfig, collector_cluster: shown, access_token: \
             {inline_string: CANARY}",
            "shown",
        ),
        within(
            "a private key in a place for certificates",
            &format!(
                "{EXTENSIONS}.transport_sockets.tls.v3.Secret, name: shown, tls_certificate: {{certificate_chain: {{inline_string: \
                 '-----BEGIN EC PRIVATE KEY-----CANARY-----END EC PRIVATE KEY-----'}}}}"
            ),
            "shown",
        ),
        within(
            "a password in a URL",
            &format!(
                "{EXTENSIONS}.{HTTP}.ext_authz.v3.ExtAuthz, http_service: {{path_prefix: /shown, server_uri: {{uri: \
                 'https://user:CANARY@host/path', cluster: c, timeout: 1s}}}}"
            ),
            "/shown",
        ),
        within(
            "a header of a TypedStruct",
            &format!(
                "'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: \
                 type.googleapis.com/envoy.extensions.{HTTP}.ext_authz.v3.ExtAuthz, value: {{grpc_service: {{envoy_grpc: \
                 {{cluster_name: shown}}, initial_metadata: [{{key: Authorization, value: CANARY}}]}}}}"
            ),
            "shown",
        ),
        within(
            "a key set of a TypedStruct",
            &format!(
                "'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: \
                 type.googleapis.com/envoy.extensions.{HTTP}.jwt_authn.v3.JwtAuthentication, value: {{providers: {{p: {{issuer: \
                 shown, localJwks: {{inlineString: '{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"CANARY\"}}]}}'}}}}}}}}"
            ),
            "shown",
        ),
        within(
            "a configuration of no descriptor",
            "'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/no.Such, value: {cluster: shown, \
             client_secret: CANARY, nested: [{api_key: CANARY, password: CANARY}]}",
            "shown",
        ),
        Canary {
            what: "metadata",
            fields: "  name: a\n  metadata: {filter_metadata: {f: {kept: shown, access_token: CANARY, deep: {password: {a: CANARY, b: 1}}}}}\n"
                .to_owned(),
            shown: "shown",
        },
        Canary {
            what: "a health check's header",
            fields: "  name: a\n  health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, \
                     http_health_check: {path: /shown, request_headers_to_add: [{header: {key: Authorization, value: CANARY}}]}}]\n"
                .to_owned(),
            shown: "/shown",
        },
    ];
    let names = [
        "authorization",
        "Proxy-Authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "X-Vault-Token",
        "x-client-secret",
    ];
    all.extend(names.map(|name| within("a header", &header(name), "shown")));
    all
}

#[test]
fn no_secret_is_shown_whatever_field_it_is_in() {
    for Canary { what, fields, shown } in canaries() {
        let any = any_of(&built(&cluster(&fields)));
        let open = to_json(&any, Secrets::Show).to_string();
        assert!(open.contains(shown), "{what}: {open}");
        let json = to_json(&any, Secrets::Redact).to_string();
        assert_ne!(json, open, "{what}");
        assert!(json.contains(shown), "{what}: {json}");
        assert!(!json.contains("CANARY"), "{what}: {json}");
        let bytes = redact(&any).value;
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("CANARY"), "{what}: {text}");
    }
}

#[test]
fn secrets_of_routes_are_not_shown() {
    let route = "
resources:
- '@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: r
  request_headers_to_add: [{header: {key: authorization, value: CANARY}}, {header: {key: x-kept, value: shown}}]
  response_headers_to_add: [{header: {key: set-cookie, raw_value: Q0FOQVJZ}}, {header: {key: x-request-authorization, value: '%REQ(authorization)%'}}]
  virtual_hosts:
  - name: v
    domains: ['*']
    routes:
    - match:
        prefix: /
        headers: [{name: x-api-key, string_match: {exact: CANARY}}, {name: x-kept, string_match: {exact: shown}}]
        query_parameters: [{name: token, string_match: {exact: CANARY}}]
      direct_response: {status: 200}
";
    let any = any_of(&built(route));
    let json = to_json(&any, Secrets::Redact);
    let text = json.to_string();
    assert!(!text.contains("CANARY") && !text.contains("Q0FOQVJZ"), "{text}");
    let headers = &json["response_headers_to_add"];
    assert_eq!(headers[1]["header"]["value"], "%REQ(authorization)%");
    assert_eq!(json["request_headers_to_add"][1]["header"]["value"], "shown");
    let matched = &json["virtual_hosts"][0]["routes"][0]["match"];
    assert_eq!(matched["headers"][0]["name"], "x-api-key");
    assert_eq!(matched["headers"][1]["string_match"]["exact"], "shown");
}

#[test]
fn public_keys_are_shown() {
    let keys = r#"{"keys":[{"kty":"RSA","n":"shown","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"x","y":"y"}]}"#;
    let yaml = cluster(&format!(
        "  name: a\n  transport_socket: {{name: x, typed_config: {{{EXTENSIONS}.{HTTP}.jwt_authn.v3.JwtAuthentication, providers: \
         {{p: {{issuer: i, local_jwks: {{inline_string: '{keys}'}}}}}}}}}}\n"
    ));
    let json = to_json(&any_of(&built(&yaml)), Secrets::Redact).to_string();
    assert!(json.contains("shown") && !json.contains(REDACTED), "{json}");
}

#[test]
fn findings_do_not_quote_secrets() {
    let tls = |key: &str| {
        format!(
            "resources:\n- '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n  name: s\n  \
             tls_certificate: {{private_key: {key}}}\n"
        )
    };
    let health = |header: &str| {
        cluster(&format!(
            "  name: a\n  health_checks: [{{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, \
             http_health_check: {{path: /, request_headers_to_add: [{{header: {header}}}]}}}}]\n"
        ))
    };
    let long = format!("{{value: 'CANARY{}', key: authorization}}", "x".repeat(20_000));
    for yaml in [
        tls("{inline_string: 4711471147}"),
        tls("{inline_bytes: 4711471147}"),
        health("{key: x-api-key, value: 4711471147}"),
        health("{value: 4711471147, key: x-api-key}"),
        health("{key: authorization, value: \"CANARY\\n\"}"),
        health(&long),
    ] {
        let told = refused(&yaml);
        assert!(!told.is_empty());
        let quotes = told
            .iter()
            .any(|told| told.contains("CANARY") || told.contains("4711471147"));
        assert!(!quotes, "{told:?}");
    }
}

/// Secrets in the place of a name, because a space, a quote or the field around them was forgotten.
#[test]
fn secrets_in_the_place_of_names_are_not_quoted() {
    let tls = |key: &str| {
        format!(
            "resources:\n- '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n  name: s\n  \
             tls_certificate: {key}\n"
        )
    };
    let header = |header: &str| {
        cluster(&format!(
            "  name: a\n  health_checks: [{{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, \
             http_health_check: {{path: /, request_headers_to_add: [{{header: {header}}}]}}}}]\n"
        ))
    };
    for yaml in [
        tls("{private_key: {inline_string:CANARY}}"),
        tls("{private_key: {CANARY}}"),
        tls("{private_key: {CANARY: x}}"),
        tls("{private_key:CANARY}"),
        tls("{passwort:CANARY}"),
        tls("{private_key: {inline_string: !CANARY}}"),
        tls("{private_key: {inline_string: !CANARY x}}"),
        tls("{private_key: {inline_string: *CANARY}}"),
        header("{key: authorization, value:CANARY}"),
        header("{key: authorization, CANARY: x}"),
        "resources: []\npassword:CANARY: x\n".to_owned(),
    ] {
        let told = refused(&yaml);
        assert!(
            !told.is_empty() && !told.iter().any(|told| told.contains("CANARY")),
            "{yaml}: {told:?}"
        );
    }
    let told = refused(&tls("{private_key: {inline_string:CANARY}}")).concat();
    assert!(told.contains("inline_string") && told.contains("space"), "{told}");
    let told = refused(&tls("{private_key: {inline_strin: CANARY}}")).concat();
    assert!(told.contains("did you mean \"inline_string\""), "{told}");
}
