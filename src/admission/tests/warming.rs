//! The needs of an Envoy before a cluster is warm (O-5).

use super::*;
use crate::resource::Warming;

fn cluster(fields: &str) -> Warming {
    let head = "resources:\n- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: c\n";
    let resource = one(&format!("{head}{fields}"));
    resource.warming
}

const EDS: &str = "  type: EDS\n  eds_cluster_config: {eds_config: {ads: {}}}\n";
const STATIC: &str = "  load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: \
                      {address: 127.0.0.1, port_value: 80}}}}]}]}\n";
const DNS: &str = "  type: STRICT_DNS\n  load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: \
                   {socket_address: {address: localhost, port_value: 80}}}}]}]}\n";
const CHECKS: &str = "  health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, \
                      tcp_health_check: {}}]\n";
const SECRET: &str = "  transport_socket:\n    name: tls\n    typed_config:\n      \
                      '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n      \
                      common_tls_context: {tls_certificate_sds_secret_configs: [{name: k, sds_config: {ads: {}}}]}\n";

#[test]
fn cluster_with_discovered_endpoints_is_warm_with_them() {
    assert_eq!(cluster(EDS), Warming::WithEndpoints);
}

#[test]
fn cluster_with_endpoints_of_its_own_is_warm_at_once() {
    assert_eq!(cluster(STATIC), Warming::AtOnce);
}

#[test]
fn warming_is_unseen_with_dns_health_checks_or_secrets() {
    assert_eq!(cluster(DNS), Warming::Unseen);
    for base in [EDS, STATIC] {
        assert_eq!(cluster(&format!("{base}{CHECKS}")), Warming::Unseen);
        assert_eq!(cluster(&format!("{base}{SECRET}")), Warming::Unseen);
    }
}
