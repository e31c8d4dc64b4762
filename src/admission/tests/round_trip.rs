//! Resources of real fleets, admitted, shown and admitted again: the content stays the same.

use super::*;

const RESOURCES: [&str; 12] = [
    "'@type': type.googleapis.com/envoy.config.listener.v3.Listener
name: https
address: {socket_address: {address: '::', port_value: 8443, ipv4_compat: true}}
enable_reuse_port: false
listener_filters:
- name: tls_inspector
  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
filter_chains:
- filter_chain_match: {server_names: [a.example, b.example]}
  transport_socket:
    name: tls
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
      require_client_certificate: true
      common_tls_context:
        alpn_protocols: [h2, http/1.1]
        tls_certificate_sds_secret_configs: [{name: cert, sds_config: {ads: {}, resource_api_version: V3}}]
  filters:
  - name: hcm
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: ingress
      codec_type: AUTO
      use_remote_address: true
      stream_idle_timeout: 300s
      access_log:
      - name: stdout
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
          log_format: {json_format: {path: '%REQ(:PATH)%', nested: {list: [1, 2.5, true, null, x]}}}
      tracing: {random_sampling: {value: 12.5}}
      route_config:
        name: inline
        virtual_hosts:
        - name: v
          domains: ['*']
          typed_per_filter_config:
            cors: {'@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, allow_credentials: true}
            csrf: {'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
          routes:
          - match: {safe_regex: {regex: '^/x'}}
            direct_response: {status: 404, body: {inline_bytes: AAEC/w==}}
      http_filters:
      - name: router
        typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}",
    "'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
name: a
type: STRICT_DNS
connect_timeout: 0.25s
lb_policy: RING_HASH
ring_hash_lb_config: {minimum_ring_size: '8388608'}
dns_lookup_family: V4_ONLY
outlier_detection: {consecutive_5xx: 5, interval: 10s, max_ejection_percent: 50}
circuit_breakers: {thresholds: [{priority: HIGH, max_connections: 0, retry_budget: {budget_percent: {value: 20.5}}}]}
health_checks:
- timeout: 1s
  interval: 5s
  unhealthy_threshold: 2
  healthy_threshold: 1
  http_health_check: {path: /, expected_statuses: [{start: '200', end: 300}]}
typed_extension_protocol_options:
  z.last: {'@type': type.googleapis.com/google.protobuf.Duration, value: 1.000000001s}
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 100}}
metadata: {filter_metadata: {b: {x: 1}, a: {y: [{}, []]}}}
transport_socket:
  name: tls
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: a.example
    common_tls_context: {validation_context: {trusted_ca: {filename: /ca.pem}}}",
    "'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
name: eds
type: EDS
eds_cluster_config: {service_name: s, eds_config: {ads: {}, initial_fetch_timeout: 0s}}
load_balancing_policy:
  policies:
  - typed_extension_config:
      name: custom
      typed_config:
        '@type': type.googleapis.com/xds.type.v3.TypedStruct
        type_url: type.googleapis.com/some.Policy
        value: {weight: 3, nested: {a: b}}",
    "'@type': type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
cluster_name: s
endpoints:
- locality: {region: r, zone: z}
  priority: 1
  load_balancing_weight: 1
  lb_endpoints:
  - health_status: DRAINING
    load_balancing_weight: 7
    endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}
policy: {overprovisioning_factor: 140, drop_overloads: [{category: c, drop_percentage: {numerator: 5, denominator: MILLION}}]}",
    "'@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration
name: r
max_direct_response_body_size_bytes: 0
virtual_hosts:
- name: v
  domains: [a.example, '*.b.example']
  routes:
  - match: {prefix: /, headers: [{name: x, range_match: {start: '-9223372036854775808', end: '9223372036854775807'}}]}
    route:
      weighted_clusters: {clusters: [{name: a, weight: 90}, {name: b, weight: 10}]}
      timeout: 0s
      hash_policy: [{cookie: {name: c, ttl: 3600s}}]
      retry_policy: {retry_on: 5xx, num_retries: 0, retriable_status_codes: [503, 504]}
    response_headers_to_add: [{header: {key: x, value: 'ä€😀'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]",
    "'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
name: cert
tls_certificate: {certificate_chain: {inline_string: \"-----BEGIN\\nx\"}, private_key: {inline_bytes: AAH/}}",
    "'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
name: tickets
session_ticket_keys: {keys: [{inline_bytes: AAAA}, {filename: /k}]}",
    "'@type': type.googleapis.com/envoy.service.runtime.v3.Runtime
name: rt
layer: {a.b: {numerator: 1, denominator: HUNDRED}, on: true, text: '1', none: null, list: [1.5, -2, 1e300], deep: {x: {y: {}}}}",
    "'@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
name: fault
typed_config:
  '@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
  delay: {fixed_delay: 1s, percentage: {numerator: 100}}",
    "'@type': type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration
name: s
on_demand: true
route_configuration_name: r
key: {fragments: [{string_key: k}]}",
    "'@type': type.googleapis.com/envoy.service.discovery.v3.Resource
name: r/host
aliases: [r/alias]
ttl: 2.5s
resource: {'@type': type.googleapis.com/envoy.config.route.v3.VirtualHost, name: v, domains: [x]}",
    "'@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
name: empty
typed_config: {'@type': type.googleapis.com/google.protobuf.Empty, value: {}}",
];

fn written(item: &str) -> String {
    format!("resources:\n- {}\n", item.replace('\n', "\n  "))
}

#[test]
fn shown_resources_are_admitted_as_the_same_content() {
    for item in RESOURCES {
        let first = one(&written(item));
        let mut shown = to_json(&any_of(&first), Secrets::Show);
        if !first.aliases.is_empty() || first.ttl.is_some() {
            shown = serde_json::json!({
                "@type": "type.googleapis.com/envoy.service.discovery.v3.Resource",
                "name": first.name.as_str(),
                "aliases": first.aliases.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "ttl": "2.500s",
                "resource": shown,
            });
        }
        let document = serde_json::json!({ "resources": [shown] });
        for text in [document.to_string(), format!("{document:#}")] {
            let again = admit_text("a.json", text).unwrap_or_else(|rejection| panic!("{document:#}\n{rejection}"));
            assert_eq!(only(again), first, "{document:#}");
        }
    }
}

#[test]
fn encoded_resources_are_admitted_as_the_same_content() {
    for item in RESOURCES {
        let first = one(&written(item));
        let again = admit_raw(vec![RawResource {
            name: Some(first.name.clone()),
            aliases: first.aliases.to_vec(),
            ttl: first.ttl,
            any: any_of(&first),
        }]);
        assert_eq!(only(again.unwrap()), first);
    }
}

#[test]
fn encoding_is_the_same_every_time() {
    for item in RESOURCES {
        let first = one(&written(item));
        for _ in 0..8 {
            assert_eq!(one(&written(item)).body, first.body);
        }
    }
}
