//! Comparisons: field paths, list items, and hidden secrets.

use super::*;
use crate::admission::{Candidate, Document, Format, Limits, admit};

const BOUNDS: Bounds = Bounds {
    fields: 50,
    value_bytes: 200,
};

/// The only resource of a YAML document.
fn resource(yaml: &str) -> Resource {
    let candidate = Candidate {
        documents: vec![Document {
            name: "test.yaml".to_owned(),
            content: format!("resources:\n{yaml}").into_bytes().into(),
            format: Format::Yaml,
        }],
        resources: Vec::new(),
    };
    let admitted = admit(&candidate, &Limits::default()).unwrap_or_else(|rejection| panic!("{rejection}"));
    let mut all = admitted.resources.into_values().flatten();
    all.next().expect("a resource").as_ref().clone()
}

fn cluster(fields: &str) -> Resource {
    resource(&format!(
        "- {{'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a, {fields}}}\n"
    ))
}

/// Differences as `path: before → after`, with `-` for an unset value.
fn lines(differences: &Differences) -> Vec<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let line = |field: &FieldChange| {
        let mark = if field.sensitive { " (secret)" } else { "" };
        format!(
            "{}: {} → {}{mark}",
            field.path,
            value(&field.before),
            value(&field.after)
        )
    };
    differences.fields.iter().map(line).collect()
}

fn changes(before: &Resource, after: &Resource) -> Vec<String> {
    lines(&compare(before, after, BOUNDS))
}

fn endpoints(ports: &[u16]) -> Resource {
    let item = |port: &u16| {
        format!("{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}")
    };
    let items: Vec<String> = ports.iter().map(item).collect();
    resource(&format!(
        "- {{'@type': type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, cluster_name: a, endpoints: \
         [{{lb_endpoints: [{}]}}]}}\n",
        items.join(", ")
    ))
}

fn lb_endpoint(port: u16) -> String {
    format!(
        "{{\"endpoint\":{{\"address\":{{\"socket_address\":{{\"address\":\"127.0.0.1\",\"port_value\":{port}}}}}}}}}"
    )
}

#[test]
fn fields_are_reported_by_their_proto_names() {
    assert_eq!(
        changes(
            &cluster("connect_timeout: 1s, lb_policy: RING_HASH"),
            &cluster("connectTimeout: 2s, alt_stat_name: x")
        ),
        [
            "connect_timeout: \"1s\" → \"2s\"",
            "lb_policy: \"RING_HASH\" → -",
            "alt_stat_name: - → \"x\"",
        ]
    );
    let same = cluster("connect_timeout: 1s");
    assert_eq!(compare(&same, &same, BOUNDS), Differences::default());
}

#[test]
fn nested_anys_are_entered() {
    let listener = |prefix: &str, router: &str| {
        resource(&format!(
            "- {{'@type': type.googleapis.com/envoy.config.listener.v3.Listener, name: l, filter_chains: [{{filters: [{{name: \
             http, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.\
             HttpConnectionManager, stat_prefix: {prefix}, route_config: {{name: r}}, http_filters: [{{name: router, typed_config: {{'@type': \
             type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: {router}}}}}]}}}}]}}]}}\n"
        ))
    };
    assert_eq!(
        changes(&listener("a", "true"), &listener("b", "false")),
        [
            "filter_chains[0].filters[0].typed_config.stat_prefix: \"a\" → \"b\"",
            "filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.suppress_envoy_headers: true → -",
        ]
    );
}

#[test]
fn keys_of_maps_are_told_apart_from_fields() {
    let with = |value: &str| {
        cluster(&format!(
            "metadata: {{filter_metadata: {{envoy.lb: {{canary: {value}}}}}}}"
        ))
    };
    assert_eq!(
        changes(&with("true"), &with("false")),
        ["metadata.filter_metadata[\"envoy.lb\"][\"canary\"]: true → false"]
    );
}

#[test]
fn list_items_are_matched_when_their_index_changes() {
    let path = |index: usize| format!("endpoints[0].lb_endpoints[{index}]");
    assert_eq!(
        changes(&endpoints(&[1, 2]), &endpoints(&[1, 2, 3])),
        [format!("{}: - → {}", path(2), lb_endpoint(3))]
    );
    assert_eq!(
        changes(&endpoints(&[1, 2, 3, 4, 5]), &endpoints(&[1, 3, 5])),
        [
            format!("{}: {} → -", path(1), lb_endpoint(2)),
            format!("{}: {} → -", path(3), lb_endpoint(4)),
        ]
    );
    assert_eq!(
        changes(&endpoints(&[1, 2, 3]), &endpoints(&[9, 1, 7, 3])),
        [
            format!("{}: - → {}", path(0), lb_endpoint(9)),
            format!("{}.endpoint.address.socket_address.port_value: 2 → 7", path(2)),
        ]
    );
    // A changed order is a difference.
    assert_eq!(changes(&endpoints(&[1, 2]), &endpoints(&[2, 1])).len(), 2);
}

#[test]
fn items_with_names_are_compared_by_them() {
    let route = |hosts: &[(&str, &str)]| {
        let item = |(name, domain): &(&str, &str)| format!("{{name: {name}, domains: [{domain}]}}");
        let items: Vec<String> = hosts.iter().map(item).collect();
        resource(&format!(
            "- {{'@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: r, virtual_hosts: [{}]}}\n",
            items.join(", ")
        ))
    };
    assert_eq!(
        changes(
            &route(&[("a", "a.x"), ("b", "b.x")]),
            &route(&[("new", "n.x"), ("b", "b.y")])
        ),
        [
            "virtual_hosts[0].name: \"a\" → \"new\"",
            "virtual_hosts[0].domains[0]: \"a.x\" → \"n.x\"",
            "virtual_hosts[1].domains[0]: \"b.x\" → \"b.y\"",
        ]
    );
}

#[test]
fn long_lists_are_compared_in_bounded_time() {
    let (old, new): (Vec<u16>, Vec<u16>) = ((1..2000).collect(), (2001..4000).collect());
    let differences = compare(&endpoints(&old), &endpoints(&new), BOUNDS);
    assert_eq!((differences.fields.len(), differences.more), (50, 1949));
}

#[test]
fn changed_secrets_are_reported_and_never_shown() {
    let secret = |chain: &str, key: &str| {
        resource(&format!(
            "- {{'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: s, generic_secret: {{secret: \
             {{inline_string: {key}}}, secrets: {{k: {{inline_string: {chain}}}}}}}}}\n"
        ))
    };
    let differences = compare(&secret("hunter1", "hunter2"), &secret("hunter3", "hunter4"), BOUNDS);
    assert_eq!(
        lines(&differences),
        [
            "generic_secret.secret.inline_string: \"[redacted]\" → \"[redacted]\" (secret)",
            "generic_secret.secrets[\"k\"].inline_string: \"[redacted]\" → \"[redacted]\" (secret)",
        ]
    );
    let tls = |typed: &str| cluster(&format!("transport_socket: {{name: tls, typed_config: {{{typed}}}}}"));
    let struct_of = |key: &str| {
        tls(&format!(
            "'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: \
             type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, value: {{common_tls_context: \
             {{tls_certificates: [{{private_key: {{inline_string: {key}}}}}]}}}}"
        ))
    };
    for (before, after) in [
        (struct_of("hunter5"), struct_of("hunter6")),
        (cluster("connect_timeout: 1s"), struct_of("hunter7")),
        (struct_of("hunter8"), cluster("connect_timeout: 1s")),
    ] {
        let differences = compare(&before, &after, BOUNDS);
        assert!(
            differences.fields.iter().any(|field| field.sensitive),
            "{differences:?}"
        );
        assert!(!format!("{differences:?}").contains("hunter"), "{differences:?}");
    }
}

#[test]
fn aliases_and_ttl_are_compared_too() {
    let wrapped = |fields: &str| {
        resource(&format!(
            "- {{'@type': type.googleapis.com/envoy.service.discovery.v3.Resource, name: a, {fields}, resource: {{'@type': \
             type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a}}}}\n"
        ))
    };
    assert_eq!(
        changes(&wrapped("ttl: 1.5s"), &wrapped("ttl: 2s, aliases: [b]")),
        ["ttl: \"1.5s\" → \"2s\"", "aliases: - → [\"b\"]"]
    );
}

#[test]
fn another_type_takes_the_place_of_one_as_a_whole() {
    let with = |typed: &str| cluster(&format!("transport_socket: {{name: t, typed_config: {{{typed}}}}}"));
    let raw = with("'@type': type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer");
    let tls = with("'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: x");
    let found = changes(&raw, &tls);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("transport_socket.typed_config: {\"@type\":"),
        "{found:?}"
    );
}

#[test]
fn long_values_are_cut_and_further_fields_counted() {
    let long = "ü".repeat(500);
    let differences = compare(
        &cluster("alt_stat_name: x"),
        &cluster(&format!("alt_stat_name: {long}")),
        BOUNDS,
    );
    let after = differences.fields[0].after.as_ref().unwrap();
    assert!(after.len() <= 200 + '…'.len_utf8() && after.ends_with('…'), "{after}");
    let tight = Bounds {
        fields: 1,
        value_bytes: 10,
    };
    let two = compare(&cluster("alt_stat_name: x"), &cluster("connect_timeout: 1s"), tight);
    assert_eq!((two.fields.len(), two.more), (1, 1));
}
