//! The references of resources, and dangling ones.

use super::*;
use crate::snapshot::TypeResources;

fn referred(yaml: &str) -> Vec<(ResourceType, String)> {
    let references = &one(yaml).references;
    assert!(references.is_sorted());
    references
        .iter()
        .map(|reference| (reference.resource_type.clone(), reference.name.to_string()))
        .collect()
}

fn to(resource_type: &ResourceType, names: &[&str]) -> Vec<(ResourceType, String)> {
    names
        .iter()
        .map(|name| (resource_type.clone(), (*name).to_owned()))
        .collect()
}

const ROUTE: &str = "
resources:
- '@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: r
  virtual_hosts:
  - name: v
    domains: ['*']
    request_mirror_policies: [{cluster: mirror}]
    routes:
    - match: {prefix: /a}
      route: {cluster: a}
    - match: {prefix: /b}
      route:
        weighted_clusters: {clusters: [{name: b, weight: 1}, {name: a, weight: 1}, {cluster_header: x, weight: 1}]}
    - match: {prefix: /c}
      route: {cluster_header: x}
";

#[test]
fn routes_refer_to_clusters_once_and_sorted() {
    assert_eq!(referred(ROUTE), to(&ResourceType::Cluster, &["a", "b", "mirror"]));
}

#[test]
fn eds_clusters_refer_to_their_endpoints() {
    let eds = "  name: a\n  type: EDS\n  eds_cluster_config:\n    eds_config: {ads: {}}\n";
    assert_eq!(referred(&cluster(eds)), to(&ResourceType::Endpoint, &["a"]));
    let named = format!("{eds}    service_name: s\n");
    assert_eq!(referred(&cluster(&named)), to(&ResourceType::Endpoint, &["s"]));
    assert_eq!(referred(&cluster("  name: a\n  type: STATIC\n")), []);
    let file = "  name: a\n  type: EDS\n  eds_cluster_config: {eds_config: {path_config_source: {path: /eds}}}\n";
    assert_eq!(referred(&cluster(file)), []);
}

#[test]
fn secrets_and_aggregates_are_found_inside_anys() {
    let tls = "
  name: a
  cluster_type:
    name: x
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig
      clusters: [b, c]
  transport_socket:
    name: tls
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      common_tls_context:
        tls_certificate_sds_secret_configs:
        - {name: cert, sds_config: {ads: {}}}
        - {name: in_bootstrap}
        validation_context_sds_secret_config: {name: ca, sds_config: {ads: {}}}
";
    let mut expected = to(&ResourceType::Cluster, &["b", "c"]);
    expected.extend(to(&ResourceType::Secret, &["ca", "cert"]));
    assert_eq!(referred(&cluster(tls)), expected);
}

const LISTENER: &str = "
resources:
- '@type': type.googleapis.com/envoy.config.listener.v3.Listener
  name: l
  address: {socket_address: {address: 127.0.0.1, port_value: 80}}
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: s
        rds: {route_config_name: r, config_source: {ads: {}}}
        http_filters:
        - name: discovered
          config_discovery: {config_source: {ads: {}}, type_urls: [x]}
        - name: authz
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
            grpc_service: {envoy_grpc: {cluster_name: authz}}
        - name: router
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  - filters:
    - name: tcp
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: s
        weighted_clusters: {clusters: [{name: t, weight: 1}]}
";

#[test]
fn listeners_refer_to_routes_clusters_and_filters() {
    let mut expected = to(&ResourceType::Cluster, &["authz", "t"]);
    expected.extend(to(&ResourceType::Route, &["r"]));
    expected.extend(to(&ResourceType::ExtensionConfig, &["discovered"]));
    assert_eq!(referred(LISTENER), expected);
}

#[test]
fn scoped_routes_and_leds_are_references() {
    let scoped = "resources:\n- '@type': type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration\n  name: s\n  \
                  route_configuration_name: r\n  key: {fragments: [{string_key: k}]}\n";
    assert_eq!(referred(scoped), to(&ResourceType::Route, &["r"]));
    let leds = "resources:\n- '@type': type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: c\n  \
                endpoints:\n  - leds_cluster_locality_config: {leds_config: {ads: {}}, leds_collection_name: n}\n";
    assert_eq!(referred(leds), to(&ResourceType::LbEndpoint, &["n"]));
}

#[test]
fn dangling_references_are_warned_of_where_they_are_made() {
    let admitted = admit_text("a.yaml", LISTENER).unwrap();
    let findings = check_group(&admitted.resources, None, &admitted.places);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning));
    let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let filter = "filter_chains[0].filters[0].typed_config";
    assert_eq!(
        said,
        [
            format!(
                "a.yaml:19:55: warning[XDS0101] listener \"l\": {filter}.http_filters[1].typed_config.grpc_service.envoy_grpc.cluster_name: \
                 refers to cluster \"authz\", which is not published: every node needs it in its bootstrap"
            ),
            "a.yaml:28:47: warning[XDS0101] listener \"l\": \
             filter_chains[1].filters[0].typed_config.weighted_clusters.clusters[0].name: refers to cluster \"t\", which is not \
             published: every node needs it in its bootstrap"
                .to_owned(),
            format!(
                "a.yaml:12:34: warning[XDS0102] listener \"l\": {filter}.rds.route_config_name: refers to route \"r\", which is not \
                 published: the listener waits for it"
            ),
            format!(
                "a.yaml:14:17: warning[XDS0105] listener \"l\": {filter}.http_filters[0].name: refers to extension_config \
                 \"discovered\", which is not published: the listener waits for it"
            ),
        ]
    );
}

#[test]
fn references_into_the_snapshot_or_the_shared_group_are_fine() {
    let named = |name: &str| cluster(&format!("  name: {name}\n"));
    let candidate = Candidate {
        documents: vec![
            document("r.yaml", ROUTE),
            document("a.yaml", named("a")),
            document("b.yaml", named("b")),
        ],
        resources: Vec::new(),
    };
    let admitted = admit(&candidate, &Limits::default()).unwrap();
    assert_eq!(check_group(&admitted.resources, None, &admitted.places).len(), 1);

    let shared = TypeResources::new(vec![one(&named("mirror"))]).unwrap();
    let shared = [(ResourceType::Cluster, Arc::new(shared))].into();
    assert_eq!(check_group(&admitted.resources, Some(&shared), &admitted.places), []);
}
