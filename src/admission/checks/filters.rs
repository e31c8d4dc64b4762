//! Filter chains: the last filter, and only the last one, must be terminal.
//!
//! The protos do not say which filters are terminal, so the known ones of both kinds are listed here.

use std::collections::HashSet;

use prost_reflect::DynamicMessage;

use super::{Report, fields};
use crate::admission::{codes, path::Path};

const NETWORK: &str = "envoy.extensions.filters.network.";
const HTTP: &str = "envoy.extensions.filters.http.";

/// Terminal network filters, which answer or forward.
const ENDING: [&str; 8] = [
    "direct_response.v3.Config",
    "dubbo_proxy.v3.DubboProxy",
    "echo.v3.Echo",
    "generic_proxy.v3.GenericProxy",
    "http_connection_manager.v3.HttpConnectionManager",
    "redis_proxy.v3.RedisProxy",
    "tcp_proxy.v3.TcpProxy",
    "thrift_proxy.v3.ThriftProxy",
];

/// Network filters that are never terminal.
const PASSING: [&str; 10] = [
    "connection_limit.v3.ConnectionLimit",
    "ext_authz.v3.ExtAuthz",
    "local_ratelimit.v3.LocalRateLimit",
    "mongo_proxy.v3.MongoProxy",
    "ratelimit.v3.RateLimit",
    "rbac.v3.RBAC",
    "set_filter_state.v3.Config",
    "sni_cluster.v3.SniCluster",
    "sni_dynamic_forward_proxy.v3.FilterConfig",
    "zookeeper_proxy.v3.ZooKeeperProxy",
];

const ROUTER: &str = "router.v3.Router";

/// HTTP filters that are never terminal, by package; a filter of a package not listed may be either.
const PASSING_HTTP: [&str; 41] = [
    "adaptive_concurrency",
    "admission_control",
    "alternate_protocols_cache",
    "api_key_auth",
    "aws_request_signing",
    "bandwidth_limit",
    "basic_auth",
    "buffer",
    "cache",
    "cdn_loop",
    "compressor",
    "connect_grpc_bridge",
    "cors",
    "credential_injector",
    "csrf",
    "custom_response",
    "decompressor",
    "dynamic_forward_proxy",
    "ext_authz",
    "ext_proc",
    "fault",
    "gcp_authn",
    "grpc_field_extraction",
    "grpc_http1_bridge",
    "grpc_http1_reverse_bridge",
    "grpc_json_transcoder",
    "grpc_stats",
    "grpc_web",
    "header_mutation",
    "header_to_metadata",
    "health_check",
    "ip_tagging",
    "jwt_authn",
    "kill_request",
    "local_ratelimit",
    "lua",
    "oauth2",
    "on_demand",
    "ratelimit",
    "rbac",
    "set_metadata",
];

/// The part that a filter plays at the end of its chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Ends,
    Passes,
    Unknown,
}

/// Checks a filter chain of a listener.
pub(super) fn network(chain: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let filters: Vec<_> = fields::messages(chain, "filters").collect();
    let path = &path.field("filters");
    if filters.is_empty() {
        return report.warn(codes::FILTERS, path, "no filters: connections are closed at once");
    }
    let roles: Vec<Role> = filters.iter().map(|(_, filter)| network_role(filter)).collect();
    order(&filters, &roles, path, report);
}

/// Checks an HTTP connection manager.
pub(super) fn http(manager: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    duplicate_upgrades(manager, path, report);
    let filters: Vec<_> = fields::messages(manager, "http_filters").collect();
    let path = &path.field("http_filters");
    let Some((last, filter)) = filters.last() else {
        return report.warn(
            codes::FILTERS,
            path,
            "no HTTP filters: without a router no request is answered",
        );
    };
    let roles: Vec<Role> = filters.iter().map(|(_, filter)| http_role(filter)).collect();
    order(&filters, &roles, path, report);
    if fields::flag(filter, "disabled") && roles.last() == Some(&Role::Ends) {
        let message = "the last filter is disabled";
        report.envoy_refuses(codes::FILTERS, &path.index(*last), message);
    }
}

fn order(filters: &[(usize, &DynamicMessage)], roles: &[Role], path: &Path<'_>, report: &mut dyn Report) {
    for ((index, filter), role) in filters.iter().zip(roles) {
        let name = fields::text(filter, "name");
        let last = index + 1 == filters.len();
        match role {
            Role::Ends if !last => {
                let message = format!("\"{name}\" ends the chain, and is not the last filter");
                report.envoy_refuses(codes::FILTERS, &path.index(*index), message);
            }
            Role::Passes if last => {
                let message = format!("\"{name}\" is the last filter, and does not end the chain");
                report.envoy_refuses(codes::FILTERS, &path.index(*index), message);
            }
            Role::Ends | Role::Passes | Role::Unknown => {}
        }
    }
}

/// Warns of two upgrades of one type; the case of the type does not matter.
pub(super) fn duplicate_upgrades(message: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let mut seen = HashSet::new();
    let path = &path.field("upgrade_configs");
    for (index, upgrade) in fields::messages(message, "upgrade_configs") {
        let kind = fields::text(upgrade, "upgrade_type");
        if !seen.insert(kind.to_ascii_lowercase()) {
            let message = format!("the upgrade \"{kind}\" is configured twice");
            report.envoy_refuses(codes::ROUTE, &path.index(index), message);
        }
    }
}

fn network_role(filter: &DynamicMessage) -> Role {
    let kind = fields::type_in_any(filter, "typed_config");
    match kind.strip_prefix(NETWORK) {
        Some(kind) if ENDING.contains(&kind) => Role::Ends,
        Some(kind) if PASSING.contains(&kind) => Role::Passes,
        Some(_) | None => Role::Unknown,
    }
}

fn http_role(filter: &DynamicMessage) -> Role {
    let kind = fields::type_in_any(filter, "typed_config");
    match kind.strip_prefix(HTTP) {
        Some(ROUTER) => Role::Ends,
        Some(kind) if PASSING_HTTP.contains(&kind.split('.').next().unwrap_or_default()) => Role::Passes,
        Some(_) | None => Role::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn every_listed_filter_exists() {
        let exists = |name: String| proto::descriptors().get_message_by_name(&name).is_some();
        for kind in ENDING.iter().chain(&PASSING) {
            assert!(exists(format!("{NETWORK}{kind}")), "{kind}");
        }
        assert!(exists(format!("{HTTP}{ROUTER}")));
        for package in PASSING_HTTP {
            let full = format!("{HTTP}{package}.v3");
            assert!(
                proto::descriptors().all_messages().any(|m| m.package_name() == full),
                "{package}"
            );
        }
    }
}
