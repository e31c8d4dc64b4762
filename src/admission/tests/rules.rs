//! The rules in Envoy's protos, as publishers meet them.

use prost_reflect::{DynamicMessage, Value};

use super::*;
use crate::proto;

/// The findings of a document, as (code, place, field, message).
fn found(yaml: &str) -> Vec<(&'static str, (u32, u32), String, String)> {
    let rejection = admit_text("a.yaml", yaml).expect_err("the document is refused");
    // Other contradictions in small fixtures are warnings.
    let errors = rejection
        .findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error);
    let parts = errors.map(|finding| {
        let place = finding.place.unwrap();
        let field = finding.field.unwrap_or_default();
        (finding.code, (place.line, place.column), field, finding.message)
    });
    parts.collect()
}

#[test]
fn empty_cluster_name_is_refused_so_that_lost_options_are_noticed() {
    assert_eq!(
        refused(&cluster("  load_assignment: {}\n")),
        [
            "a.yaml:3:20: error[XDS0202] cluster: load_assignment.cluster_name: value \"\" must have at least 1 character \
             (validate.rules string.min_len)",
            "a.yaml:2:3: error[XDS0008] cluster: name: the name is empty",
        ]
    );
    let assignment = "resources:\n- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: a\n  \
                      load_assignment: {cluster_name: ''}\n";
    assert_eq!(
        refused(assignment),
        [
            "a.yaml:4:35: error[XDS0202] cluster \"a\": load_assignment.cluster_name: value \"\" must have at least 1 character \
             (validate.rules string.min_len)"
        ]
    );
}

#[test]
fn each_kind_of_rule_has_its_code_its_place_and_its_words() {
    let yaml = "
resources:
- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: c
  connect_timeout: 0s
  upstream_connection_options: {tcp_keepalive: {keepalive_probes: 0}}
  load_assignment:
    cluster_name: c
    policy: {overprovisioning_factor: 0}
    endpoints:
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: a, port_value: 80}}}
      - endpoint:
          address:
            socketAddress:
              address: a
              portValue: 70000
      - endpoint: {address: {}}
- '@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: r
  virtual_hosts:
  - name: v
    domains: []
    routes:
    - direct_response: {status: 200}
    - match: {path_separated_prefix: /a/}
      redirect: {path_redirect: \"/\\n\"}
    request_headers_to_add:
    - header: {key: \"x y\\n\"}
";
    let found = found(yaml);
    let expected = [
        (
            "XDS0205",
            (5, 20),
            "connect_timeout",
            "value 0s must be more than 0s (validate.rules duration.gt)",
        ),
        (
            "XDS0205",
            (17, 26),
            "load_assignment.endpoints[0].lb_endpoints[1].endpoint.address.socket_address.port_value",
            "value 70000 must be at most 65535 (validate.rules uint32.lte)",
        ),
        (
            "XDS0201",
            (18, 29),
            "load_assignment.endpoints[0].lb_endpoints[2].endpoint.address.address",
            "oneof needs one of socket_address, pipe, envoy_internal_address (validate.required)",
        ),
        (
            "XDS0205",
            (9, 39),
            "load_assignment.policy.overprovisioning_factor",
            "value 0 must be more than 0 (validate.rules uint32.gt)",
        ),
        (
            "XDS0208",
            (23, 14),
            "virtual_hosts[0].domains",
            "list of 0 items must have at least 1 item (validate.rules repeated.min_items)",
        ),
        (
            "XDS0201",
            (25, 7),
            "virtual_hosts[0].routes[0].match",
            "value is required and not given (validate.rules message.required)",
        ),
        (
            "XDS0203",
            (26, 38),
            "virtual_hosts[0].routes[1].match.path_separated_prefix",
            "value \"/a/\" must match the regular expression ^[^?#]+[^?#/]$ (validate.rules string.pattern)",
        ),
        (
            "XDS0204",
            (27, 33),
            "virtual_hosts[0].routes[1].redirect.path_redirect",
            "value \"/\\n\" must be without NUL, CR and LF, as what goes into an HTTP header (validate.rules \
             string.well_known_regex)",
        ),
        (
            "XDS0204",
            (29, 21),
            "virtual_hosts[0].request_headers_to_add[0].header.key",
            "value \"x y\\n\" must be without NUL, CR and LF, as what goes into an HTTP header (validate.rules \
             string.well_known_regex)",
        ),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(code, place, field, message)| (code, place, field.to_owned(), message.to_owned()))
        .collect();
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn rules_hold_inside_anys_and_for_items_keys_and_constants() {
    let yaml = "
resources:
- '@type': type.googleapis.com/envoy.config.listener.v3.Listener
  name: l
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        route_config:
          virtual_hosts:
          - {name: v, domains: [\"a\\0\"]}
        http_filters:
        - name: f
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.filters.http.file_server.v3.FileServerConfig
            content_types: {A: text/plain}
        - name: r
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
            rules: {policies: {p: {permissions: [{any: false}], principals: [{any: true}]}}}
        - name: r
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
            domain: d
            request_type: other
            rate_limit_service: {grpc_service: {}}
        - typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
";
    let found = found(yaml);
    let hcm = "filter_chains[0].filters[0].typed_config";
    let expected = [
        (
            "XDS0202",
            (9, 9),
            ".stat_prefix",
            "value \"\" must have at least 1 character (validate.rules string.min_len)",
        ),
        (
            "XDS0204",
            (12, 33),
            ".route_config.virtual_hosts[0].domains[0]",
            "value \"a\\0\" must be without NUL, CR and LF, as what goes into an HTTP header (validate.rules \
             repeated.items.string.well_known_regex)",
        ),
        (
            "XDS0203",
            (17, 32),
            ".http_filters[0].typed_config.content_types[\"A\"]",
            "value \"A\" must match the regular expression ^[a-z0-9_\\-]*$ (validate.rules map.keys.string.pattern)",
        ),
        (
            "XDS0206",
            (21, 56),
            ".http_filters[1].typed_config.rules.policies[\"p\"].permissions[0].any",
            "value false must be true (validate.rules bool.const)",
        ),
        (
            "XDS0206",
            (26, 27),
            ".http_filters[2].typed_config.request_type",
            "value \"other\" must be one of \"internal\", \"external\", \"both\", \"\" (validate.rules string.in)",
        ),
        (
            "XDS0201",
            (27, 48),
            ".http_filters[2].typed_config.rate_limit_service.grpc_service.target_specifier",
            "oneof needs one of envoy_grpc, google_grpc (validate.required)",
        ),
        (
            "XDS0202",
            (28, 11),
            ".http_filters[3].name",
            "value \"\" must have at least 1 character (validate.rules string.min_len)",
        ),
    ];
    for (code, place, field, message) in expected {
        let expected = (code, place, format!("{hcm}{field}"), message.to_owned());
        assert!(found.contains(&expected), "{expected:?} in {found:#?}");
    }
}

#[test]
fn encoded_enum_value_that_is_not_defined_is_refused() {
    let descriptor = proto::descriptors()
        .get_message_by_name("envoy.config.cluster.v3.Cluster")
        .unwrap();
    let mut message = DynamicMessage::new(descriptor);
    message.set_field_by_name("name", Value::String("a".to_owned()));
    message.set_field_by_name("lb_policy", Value::EnumNumber(99));
    let any = prost_types::Any {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        value: prost::Message::encode_to_vec(&message),
    };
    let rejection = admit_any(any).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "error[XDS0207] cluster \"a\": lb_policy: value 99 must be a value that envoy.config.cluster.v3.Cluster.LbPolicy has \
         (validate.rules enum.defined_only)"
    );
}

/// The field has the rules of an `Any`: Envoy requires it, and does not check its content.
#[test]
fn config_source_of_a_discovered_filter_is_checked_only_as_envoy_does() {
    let filter = |source: &str| {
        format!(
            "resources:\n- '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter\n  \
             name: f\n  config_discovery: {{type_urls: [x]{source}}}\n"
        )
    };
    let api = "api_type: REST, transport_api_version: V3, cluster_names: [c], request_timeout: 0s";
    admit_text(
        "a.yaml",
        filter(&format!(", config_source: {{api_config_source: {{{api}}}}}")),
    )
    .unwrap();
    let found = found(&filter(""));
    assert_eq!(
        (found[0].0, found[0].2.as_str()),
        ("XDS0201", "config_discovery.config_source"),
        "{found:?}"
    );
}

#[test]
fn names_are_looked_at_beside_broken_rules() {
    let yaml = format!(
        "{}- {}",
        cluster("  name: a\n  connect_timeout: 0s\n"),
        &cluster("  name: a\n")[13..]
    );
    let codes: Vec<_> = found(&yaml).into_iter().map(|(code, ..)| code).collect();
    assert_eq!(codes, ["XDS0205", "XDS0009"]);
}

#[test]
fn violations_may_be_warnings() {
    let limits = Limits {
        rules: Severity::Warning,
        ..Limits::default()
    };
    let candidate = Candidate {
        documents: vec![document("a.yaml", cluster("  name: a\n  connect_timeout: 0s\n"))],
        resources: Vec::new(),
    };
    let admitted = admit(&candidate, &limits).unwrap();
    let findings: Vec<_> = admitted
        .findings
        .iter()
        .map(|finding| (finding.severity, finding.code))
        .collect();
    assert_eq!(findings, [(Severity::Warning, codes::RANGE)]);
    assert_eq!(only(admitted).name.as_str(), "a");
}

#[test]
fn sensitive_values_are_not_quoted() {
    let rejection = admit_text(
        "a.yaml",
        "resources:\n- '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n  name: s\n  \
         tls_certificate: {private_key: {filename: ''}}\n",
    )
    .unwrap_err();
    assert_eq!(
        rejection.findings[0].to_string(),
        "a.yaml:4:45: error[XDS0202] secret \"s\": tls_certificate.private_key.filename: value must have at least 1 character \
         (validate.rules string.min_len)"
    );
}
