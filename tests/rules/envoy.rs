//! A real Envoy confirms each kind of rule: we refuse a violation under its code, and Envoy refuses it as a violated constraint;
//! both accept a message without violations.

use std::{fs, path::PathBuf, process::Command};

use chancery::admission::{Candidate, Document, Format, Limits, admit};
use serde_json::{Value, json};

const CONSTRAINT: &str = "Proto constraint validation failed";

/// The Envoy with the API of our protos.
fn envoy() -> PathBuf {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let installed =
        fs::read_dir(&tools).unwrap_or_else(|error| panic!("{}: {error}; run `make tools`", tools.display()));
    let mut envoys: Vec<PathBuf> = installed
        .map(|entry| entry.unwrap().path().join("envoy"))
        .filter(|path| {
            path.exists()
                && path
                    .components()
                    .any(|part| part.as_os_str().to_string_lossy().starts_with("envoy-"))
        })
        .collect();
    envoys.sort();
    envoys.pop().expect("an Envoy; run `make tools`")
}

/// Envoy's message about static resources, or `None` if it accepts them.
fn envoy_says(resources: &Value) -> Option<String> {
    let bootstrap = json!({ "static_resources": resources }).to_string();
    let output = Command::new(envoy())
        .args(["--mode", "validate", "-l", "critical", "--config-yaml", &bootstrap])
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (!output.status.success()).then_some(said)
}

/// The codes of our findings about the same resources.
fn our_codes(resources: &Value) -> Vec<&'static str> {
    let mut typed = Vec::new();
    for (list, kind) in [
        ("clusters", "cluster.v3.Cluster"),
        ("listeners", "listener.v3.Listener"),
    ] {
        for resource in resources[list].as_array().into_iter().flatten() {
            let mut resource = resource.clone();
            resource["@type"] = json!(format!("type.googleapis.com/envoy.config.{kind}"));
            typed.push(resource);
        }
    }
    let document = Document {
        name: "rules.json".to_owned(),
        content: json!({ "resources": typed }).to_string().into(),
        format: Format::Json,
    };
    let candidate = Candidate {
        documents: vec![document],
        resources: Vec::new(),
    };
    let rejection = admit(&candidate, &Limits::default()).err();
    let findings = rejection.into_iter().flat_map(|rejection| rejection.findings);
    findings.map(|finding| finding.code).collect()
}

fn cluster(fields: &Value) -> Value {
    let mut cluster = json!({ "name": "c" });
    merge(&mut cluster, fields);
    json!({ "clusters": [cluster] })
}

fn endpoint(lb_endpoint: &Value) -> Value {
    let endpoints = json!([{ "lb_endpoints": [lb_endpoint] }]);
    cluster(&json!({ "load_assignment": { "cluster_name": "c", "endpoints": endpoints } }))
}

/// A listener whose connection manager has these fields over valid ones.
fn manager(fields: &Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "s",
        "route_config": { "virtual_hosts": [] },
        "http_filters": [typed("router", "router.v3.Router", &json!({}))],
    });
    merge(&mut manager, fields);
    json!({ "listeners": [{
        "name": "l",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
    }] })
}

fn filter(kind: &str, fields: &Value) -> Value {
    let router = typed("router", "router.v3.Router", &json!({}));
    manager(&json!({ "http_filters": [typed("filter", kind, fields), router] }))
}

fn host(fields: &Value) -> Value {
    let mut host = json!({ "name": "v", "domains": ["*"] });
    merge(&mut host, fields);
    manager(&json!({ "route_config": { "virtual_hosts": [host] } }))
}

fn route(matching: &Value) -> Value {
    host(&json!({ "routes": [{ "match": matching, "direct_response": { "status": 200 } }] }))
}

fn typed(name: &str, kind: &str, fields: &Value) -> Value {
    let mut config = json!({ "@type": format!("type.googleapis.com/envoy.extensions.filters.http.{kind}") });
    merge(&mut config, fields);
    json!({ "name": name, "typed_config": config })
}

fn merge(into: &mut Value, fields: &Value) {
    for (key, value) in fields.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn violations() -> Vec<(&'static str, Value)> {
    let address = |address: Value| endpoint(&json!({ "endpoint": { "address": address } }));
    let grpc = json!({ "grpc_service": { "envoy_grpc": { "cluster_name": "c" } }, "transport_api_version": "V3" });
    let gzip = json!({ "@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip" });
    vec![
        ("XDS0201", address(json!({}))),
        (
            "XDS0201",
            host(&json!({ "routes": [{ "direct_response": { "status": 200 } }] })),
        ),
        (
            "XDS0202",
            cluster(&json!({ "load_assignment": { "cluster_name": "" } })),
        ),
        ("XDS0202", manager(&json!({ "stat_prefix": "" }))),
        ("XDS0203", route(&json!({ "path_separated_prefix": "/a/" }))),
        (
            "XDS0203",
            filter(
                "file_server.v3.FileServerConfig",
                &json!({ "manager_config": { "thread_pool": {} }, "content_types": { "A": "text/plain" } }),
            ),
        ),
        ("XDS0204", host(&json!({ "domains": ["a\0"] }))),
        (
            "XDS0204",
            host(&json!({ "request_headers_to_add": [{ "header": { "key": "x\n" } }] })),
        ),
        ("XDS0205", cluster(&json!({ "connect_timeout": "0s" }))),
        (
            "XDS0205",
            address(json!({ "socket_address": { "address": "127.0.0.1", "port_value": 70000 } })),
        ),
        (
            "XDS0205",
            cluster(&json!({ "lb_policy": "RING_HASH", "ring_hash_lb_config": { "minimum_ring_size": 8388609 } })),
        ),
        (
            "XDS0205",
            manager(&json!({ "tracing": { "random_sampling": { "value": 101 } } })),
        ),
        (
            "XDS0206",
            filter(
                "rbac.v3.RBAC",
                &json!({ "rules": { "policies": { "p": { "permissions": [{ "any": false }], "principals": [{ "any": true }] } } } }),
            ),
        ),
        (
            "XDS0206",
            filter(
                "ratelimit.v3.RateLimit",
                &json!({ "domain": "d", "request_type": "other", "rate_limit_service": grpc }),
            ),
        ),
        // As a document this is no value of the enum; the rule applies to encoded resources.
        ("XDS0004", cluster(&json!({ "lb_policy": 99 }))),
        ("XDS0208", host(&json!({ "domains": [] }))),
        (
            "XDS0209",
            filter(
                "compressor.v3.Compressor",
                &json!({
                    "compressor_library": { "name": "gzip", "typed_config": gzip },
                    "response_direction_config": { "uncompressible_response_codes": [503, 503] },
                }),
            ),
        ),
    ]
}

#[test]
fn envoy_refuses_what_violates_a_rule_of_each_kind() {
    for (code, resources) in violations() {
        assert_eq!(our_codes(&resources), [code], "{resources:#}");
        let said = envoy_says(&resources).unwrap_or_else(|| panic!("Envoy takes {resources:#}"));
        assert!(said.contains(CONSTRAINT), "{resources:#}\n{said}");
    }
}

#[test]
fn envoy_takes_what_is_just_within_the_rules() {
    let socket = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 65535 } });
    for resources in [
        cluster(&json!({ "connect_timeout": "0.001s" })),
        endpoint(&json!({ "load_balancing_weight": 1, "endpoint": { "address": socket } })),
        route(&json!({ "path_separated_prefix": "/a" })),
        // The rule is not strict: a name need not be a token.
        host(&json!({ "request_headers_to_add": [{ "header": { "key": "x y", "value": "a" } }] })),
        manager(&json!({ "tracing": { "random_sampling": { "value": 100 } } })),
    ] {
        assert_eq!(our_codes(&resources), [""; 0], "{resources:#}");
        assert_eq!(envoy_says(&resources), None, "{resources:#}");
    }
}
