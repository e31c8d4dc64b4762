//! Contradictions inside one resource. `tests/corpus/` has a real Envoy's verdict on each.

use std::time::{Duration, SystemTime};

use super::*;

/// Findings as `CODE severity field`.
fn told(yaml: &str) -> Vec<String> {
    let findings = match admit_text("a.yaml", yaml) {
        Ok(admitted) => admitted.findings,
        Err(rejection) => rejection.findings,
    };
    let line = |finding: &Finding| {
        let place = finding.place.as_ref().unwrap();
        assert!(place.line > 0 && place.column > 0, "{finding}");
        format!(
            "{} {} {}",
            finding.code,
            finding.severity,
            finding.field.as_deref().unwrap_or("-")
        )
    };
    findings.iter().map(line).collect()
}

fn resource(kind: &str, fields: &str) -> String {
    format!("resources:\n- '@type': type.googleapis.com/envoy.{kind}\n{fields}")
}

fn routes(hosts: &str) -> String {
    resource(
        "config.route.v3.RouteConfiguration",
        &format!("  name: r\n  virtual_hosts:\n{hosts}"),
    )
}

/// One route of one virtual host.
fn route(fields: &str) -> String {
    routes(&format!(
        "  - name: v\n    domains: ['*']\n    routes:\n    - {fields}\n"
    ))
}

fn listener(fields: &str) -> String {
    let address = "  name: l\n  address: {socket_address: {address: 127.0.0.1, port_value: 80}}\n";
    resource("config.listener.v3.Listener", &format!("{address}{fields}"))
}

const TCP: &str = "{name: tcp, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, \
                   stat_prefix: s, cluster: c}}";
const LIMIT: &str = "{name: limit, typed_config: {'@type': \
                     type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: s, \
                     max_connections: 1}}";
const ROUTER: &str =
    "{name: router, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";
const CORS: &str =
    "{name: cors, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}";

fn manager(filters: &str) -> String {
    listener(&format!(
        "  filter_chains:\n  - filters:\n    - name: hcm\n      typed_config:\n        '@type': \
         type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n        \
         stat_prefix: s\n        rds: {{route_config_name: r, config_source: {{ads: {{}}}}}}\n        http_filters: [{filters}]\n"
    ))
}

fn chains(chains: &[String]) -> String {
    let chains: Vec<String> = chains.iter().map(|chain| format!("  - {chain}\n")).collect();
    listener(&format!("  filter_chains:\n{}", chains.concat()))
}

#[test]
fn domains_of_a_route_configuration_differ_whatever_their_case() {
    for (first, second) in [
        ("a.com", "a.com"),
        ("a.com", "A.com"),
        ("'*'", "'*'"),
        ("'*.a'", "'*.A'"),
        ("'a.*'", "'A.*'"),
    ] {
        let hosts = format!("  - name: v\n    domains: [{first}]\n  - name: w\n    domains: [x, {second}]\n");
        assert_eq!(
            told(&routes(&hosts)),
            ["XDS0302 error virtual_hosts[1].domains[1]"],
            "{first} {second}"
        );
    }
    let within = "  - name: v\n    domains: [a, b, a]\n";
    assert_eq!(told(&routes(within)), ["XDS0302 error virtual_hosts[0].domains[2]"]);
    let fine = "  - name: v\n    domains: [a.com, 'a.com:80', '*.a.com', 'a.com*']\n  - name: w\n    domains: ['*']\n";
    assert_eq!(told(&routes(fine)), [""; 0]);
}

#[test]
fn virtual_hosts_of_one_name_are_warned_of() {
    let hosts = "  - name: v\n    domains: [a]\n  - name: v\n    domains: [b]\n";
    assert_eq!(told(&routes(hosts)), ["XDS0303 warning virtual_hosts[1].name"]);
}

#[test]
fn regular_expressions_are_those_of_re2() {
    let bad = route("{match: {safe_regex: {regex: '/(?!a).*'}}, route: {cluster: c}}");
    assert_eq!(
        told(&bad),
        ["XDS0313 error virtual_hosts[0].routes[0].match.safe_regex.regex"]
    );
    let rewrite =
        route("{match: {prefix: /}, route: {cluster: c, regex_rewrite: {pattern: {regex: 'a('}, substitution: b}}}");
    assert_eq!(
        told(&rewrite),
        ["XDS0313 error virtual_hosts[0].routes[0].route.regex_rewrite.pattern.regex"]
    );
    let good = route("{match: {safe_regex: {regex: '/{id}/[]a]\\Q(\\E'}}, route: {cluster: c}}");
    assert_eq!(told(&good), [""; 0]);
    let large = route(&format!(
        "{{match: {{safe_regex: {{regex: '{}'}}}}, route: {{cluster: c}}}}",
        "a".repeat(97)
    ));
    assert_eq!(
        told(&large),
        ["XDS0314 warning virtual_hosts[0].routes[0].match.safe_regex.regex"]
    );
}

#[test]
fn routes_do_not_contradict_themselves() {
    for (fields, expected) in [
        (
            "route: {cluster: c, prefix_rewrite: /x, regex_rewrite: {pattern: {regex: a}, substitution: b}}",
            "XDS0311 warning route.regex_rewrite",
        ),
        (
            "route: {cluster: c, upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: WebSocket}]}",
            "XDS0311 warning route.upgrade_configs[1]",
        ),
        (
            "route: {cluster: c, retry_policy: {retry_back_off: {base_interval: 2s, max_interval: 1s}}}",
            "XDS0311 warning route.retry_policy.retry_back_off.max_interval",
        ),
        (
            "route: {cluster: c}, request_headers_to_remove: [host]",
            "XDS0311 warning request_headers_to_remove[0]",
        ),
        (
            "route: {cluster: c}, response_headers_to_add: [{header: {key: ':status', value: x}}]",
            "XDS0311 warning response_headers_to_add[0].header.key",
        ),
        (
            "route: {cluster_specifier_plugin: p}",
            "XDS0108 warning route.cluster_specifier_plugin",
        ),
        (
            "route: {weighted_clusters: {clusters: [{name: a, weight: 0}]}}",
            "XDS0310 warning route.weighted_clusters.clusters",
        ),
        (
            "route: {weighted_clusters: {clusters: [{name: a, weight: 4294967295}, {name: b, weight: 1}]}}",
            "XDS0310 warning route.weighted_clusters.clusters",
        ),
        (
            "route: {weighted_clusters: {clusters: [{name: a, cluster_header: x, weight: 1}]}}",
            "XDS0310 warning route.weighted_clusters.clusters[0]",
        ),
        (
            "route: {weighted_clusters: {clusters: [{weight: 1}]}}",
            "XDS0310 warning route.weighted_clusters.clusters[0]",
        ),
    ] {
        let (code, field) = expected.rsplit_once(' ').unwrap();
        let yaml = route(&format!("{{match: {{prefix: /}}, {fields}}}"));
        assert_eq!(
            told(&yaml),
            [format!("{code} virtual_hosts[0].routes[0].{field}")],
            "{fields}"
        );
    }
    let matcher =
        "  - name: v\n    domains: ['*']\n    matcher: {}\n    routes: [{match: {prefix: /}, route: {cluster: c}}]\n";
    assert_eq!(told(&routes(matcher)), ["XDS0311 warning virtual_hosts[0].matcher"]);
}

#[test]
fn the_last_filter_and_only_the_last_ends_a_chain() {
    for (filters, expected) in [
        (format!("{CORS}, {ROUTER}"), None),
        (String::new(), Some("http_filters")),
        (CORS.to_owned(), Some("http_filters[0]")),
        (format!("{ROUTER}, {CORS}"), Some("http_filters[0]")),
        (
            ROUTER.replace("name:", "disabled: true, name:"),
            Some("http_filters[0]"),
        ),
    ] {
        let expected =
            expected.map(|field| format!("XDS0306 warning filter_chains[0].filters[0].typed_config.{field}"));
        assert_eq!(told(&manager(&filters)).first(), expected.as_ref(), "{filters}");
    }
    for (filters, expected) in [
        (format!("{LIMIT}, {TCP}"), None),
        (String::new(), Some("XDS0306 warning filter_chains[0].filters")),
        (LIMIT.to_owned(), Some("XDS0306 warning filter_chains[0].filters[0]")),
        (
            format!("{TCP}, {TCP}"),
            Some("XDS0306 warning filter_chains[0].filters[0]"),
        ),
        (
            "{name: own, config_discovery: {config_source: {ads: {}}, type_urls: [x]}}".to_owned(),
            None,
        ),
    ] {
        let yaml = chains(&[format!("filters: [{filters}]")]);
        assert_eq!(told(&yaml).first().map(String::as_str), expected, "{filters}");
    }
}

#[test]
fn filter_chains_match_different_connections() {
    let chain = |found: &str| format!("{{filter_chain_match: {found}, filters: [{TCP}]}}");
    for (first, second) in [
        ("{}", "{}"),
        ("{server_names: [a.com]}", "{server_names: [b.com, A.com]}"),
        ("{server_names: ['*.a.com']}", "{server_names: ['*.A.com']}"),
        (
            "{prefix_ranges: [{address_prefix: 10.0.0.1, prefix_len: 8}]}",
            "{prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}",
        ),
        (
            "{application_protocols: [h2]}",
            "{application_protocols: [http/1.1, h2]}",
        ),
        ("{destination_port: 80}", "{destination_port: 80}"),
    ] {
        assert_eq!(
            told(&chains(&[chain(first), chain(second)])),
            ["XDS0305 warning filter_chains[1]"],
            "{first} {second}"
        );
    }
    for (first, second) in [
        (
            "{transport_protocol: tls}",
            "{transport_protocol: tls, server_names: [a]}",
        ),
        ("{source_type: EXTERNAL}", "{}"),
        ("{server_names: [a.com]}", "{server_names: ['*.a.com']}"),
    ] {
        assert_eq!(
            told(&chains(&[chain(first), chain(second)])),
            [""; 0],
            "{first} {second}"
        );
    }
    let partial = chain("{server_names: ['*w.a.com']}");
    let field = "filter_chains[0].filter_chain_match.server_names[0]";
    assert_eq!(told(&chains(&[partial])), [format!("XDS0305 warning {field}")]);
}

#[test]
fn listeners_have_an_address_and_filter_chains() {
    assert_eq!(told(&listener("")), ["XDS0304 warning filter_chains"]);
    assert_eq!(
        told(&listener(&format!("  default_filter_chain: {{filters: [{TCP}]}}\n"))),
        [""; 0]
    );
    let named = chains(&[format!("filters: [{TCP}]")]);
    assert_eq!(
        told(&named.replace("127.0.0.1", "localhost")),
        ["XDS0308 warning address.socket_address.address"]
    );
    assert_eq!(
        told(&named.replace("address: 127", "protocol: UDP, address: 127")),
        ["XDS0304 warning filter_chains"]
    );
    let bare = resource(
        "config.listener.v3.Listener",
        &format!("  name: l\n  filter_chains: [{{filters: [{TCP}]}}]\n"),
    );
    assert_eq!(told(&bare), ["XDS0304 warning address"]);
    let client = "  name: l\n  api_listener: {api_listener: {'@type': \
                  type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n";
    assert_eq!(told(&resource("config.listener.v3.Listener", client)), [""; 0]);
}

#[test]
fn clusters_do_not_contradict_themselves() {
    let endpoint = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}}";
    let named = endpoint.replace("127.0.0.1", "example.com");
    let endpoints =
        |all: &str| format!("  load_assignment: {{cluster_name: a, endpoints: [{{lb_endpoints: [{all}]}}]}}\n");
    let eds = "  eds_cluster_config: {eds_config: {ads: {}}}\n";
    let aggregate = "  cluster_type: {name: x, typed_config: {'@type': \
                     type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: [b]}}\n";
    for (fields, expected) in [
        (format!("  type: EDS\n{eds}"), None),
        ("  type: EDS\n".to_owned(), Some("XDS0307 warning eds_cluster_config")),
        (
            "  type: EDS\n  eds_cluster_config: {service_name: x}\n".to_owned(),
            Some("XDS0307 warning eds_cluster_config"),
        ),
        (
            format!("  type: EDS\n{eds}{}", endpoints(endpoint)),
            Some("XDS0307 warning load_assignment"),
        ),
        (
            format!("  type: STATIC\n{eds}"),
            Some("XDS0307 warning eds_cluster_config"),
        ),
        (endpoints(endpoint), None),
        (
            endpoints(&named),
            Some(
                "XDS0308 warning load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address",
            ),
        ),
        (format!("  type: STRICT_DNS\n{}", endpoints(&named)), None),
        (format!("  type: LOGICAL_DNS\n{}", endpoints(&named)), None),
        (
            "  type: LOGICAL_DNS\n".to_owned(),
            Some("XDS0307 warning load_assignment"),
        ),
        (
            format!("  type: LOGICAL_DNS\n{}", endpoints(&format!("{named}, {named}"))),
            Some("XDS0307 warning load_assignment"),
        ),
        ("  type: ORIGINAL_DST\n  lb_policy: CLUSTER_PROVIDED\n".to_owned(), None),
        ("  type: ORIGINAL_DST\n".to_owned(), Some("XDS0307 warning lb_policy")),
        (
            format!(
                "  type: ORIGINAL_DST\n  lb_policy: CLUSTER_PROVIDED\n{}",
                endpoints(endpoint)
            ),
            Some("XDS0307 warning load_assignment"),
        ),
        (
            "  lb_policy: CLUSTER_PROVIDED\n".to_owned(),
            Some("XDS0307 warning lb_policy"),
        ),
        (
            "  lb_policy: LOAD_BALANCING_POLICY_CONFIG\n".to_owned(),
            Some("XDS0307 warning load_balancing_policy"),
        ),
        (
            "  lb_policy: RING_HASH\n  ring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}\n".to_owned(),
            Some("XDS0307 warning ring_hash_lb_config"),
        ),
        (aggregate.to_owned(), Some("XDS0307 warning lb_policy")),
        (format!("  lb_policy: CLUSTER_PROVIDED\n{aggregate}"), None),
    ] {
        let told = told(&cluster(&format!("  name: a\n{fields}")));
        assert_eq!(
            told.iter().map(String::as_str).collect::<Vec<_>>(),
            expected.into_iter().collect::<Vec<_>>(),
            "{fields}"
        );
    }
}

#[test]
fn endpoints_need_no_resolver_and_have_priorities_without_a_gap() {
    let assignment = |endpoints: &str| {
        let fields = format!("  cluster_name: a\n  endpoints: [{endpoints}]\n");
        told(&resource("config.endpoint.v3.ClusterLoadAssignment", &fields))
    };
    assert_eq!(assignment("{priority: 1}, {priority: 0}, {priority: 1}"), [""; 0]);
    assert_eq!(
        assignment("{priority: 0}, {priority: 2}"),
        ["XDS0309 warning endpoints"]
    );
    assert_eq!(assignment("{priority: 1}"), ["XDS0309 warning endpoints"]);
    let named = "{lb_endpoints: [{endpoint: {address: {socket_address: {address: a.com, port_value: 1}}}}]}";
    let field = "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address";
    assert_eq!(assignment(named), [format!("XDS0308 warning {field}")]);
    assert_eq!(assignment(&named.replace("a.com", "a.com, resolver_name: r")), [""; 0]);
}

#[test]
fn config_sources_that_cannot_be_used_are_warned_of() {
    let source = |fields: &str| {
        let config = format!("eds_cluster_config: {{eds_config: {{api_config_source: {{{fields}}}}}}}");
        told(&cluster(&format!("  name: a\n  type: EDS\n  {config}\n")))
    };
    let at = |field: &str| format!("warning eds_cluster_config.eds_config.api_config_source.{field}");
    assert_eq!(source("api_type: REST, cluster_names: [x], refresh_delay: 5s"), [""; 0]);
    assert_eq!(
        source("api_type: REST, cluster_names: [x]"),
        [format!("XDS0312 {}", at("refresh_delay"))]
    );
    assert_eq!(
        source("api_type: GRPC, cluster_names: [x], grpc_services: [{envoy_grpc: {cluster_name: x}}]"),
        [format!("XDS0312 {}", at("cluster_names"))]
    );
    assert_eq!(source("cluster_names: [x]"), [format!("XDS0331 {}", at("api_type"))]);
}

#[test]
fn deprecated_fields_and_values_are_warned_of() {
    assert_eq!(
        told(&cluster("  name: a\n  dns_refresh_rate: 5s\n")),
        ["XDS0330 warning dns_refresh_rate"]
    );
    let listener = chains(&[format!("filters: [{TCP}]")]);
    assert_eq!(
        told(&format!("{listener}  reuse_port: true\n")),
        ["XDS0330 warning reuse_port"]
    );
    assert_eq!(told(&format!("{listener}  reuse_port: false\n")), [""; 0]);
    let disallowed = route(
        "{match: {prefix: /}, route: {cluster: c, rate_limits: [{actions: [{dynamic_metadata: {descriptor_key: k, metadata_key: \
         {key: k, path: [{key: p}]}}}]}]}}",
    );
    let field = "virtual_hosts[0].routes[0].route.rate_limits[0].actions[0].dynamic_metadata";
    assert_eq!(told(&disallowed), [format!("XDS0331 warning {field}")]);
}

#[test]
fn certificates_are_held_to_the_time_that_is_given() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let indented = |pem: String| pem.replace('\n', "\n        ");
    let yaml = resource(
        "extensions.transport_sockets.tls.v3.Secret",
        &format!(
            "  name: s\n  tls_certificate:\n    certificate_chain:\n      inline_string: |\n        {}\n    private_key:\n      \
             inline_string: |\n        {}\n",
            indented(params.self_signed(&key).unwrap().pem()),
            indented(key.serialize_pem())
        ),
    );
    let candidate = Candidate {
        documents: vec![document("a.yaml", yaml)],
        resources: Vec::new(),
    };
    let told = |now| admit_over(&candidate, &Limits::default(), None, now).unwrap().findings;
    assert_eq!(told(None), []);
    assert_eq!(
        told(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000))),
        []
    );
    let late = told(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    assert_eq!(
        late[0].to_string(),
        "a.yaml:6:7: warning[XDS0323] secret \"s\": tls_certificate.certificate_chain: certificate 1 of it expired at \
         2020-01-01T00:00:00Z"
    );
}
