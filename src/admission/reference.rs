//! References: the fields that name other resources, and the warnings of dangling ones.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};

use super::{
    Finding, Severity, codes,
    finding::{Position, Subject},
    path::Path,
};
use crate::{
    proto,
    resource::{Reference, ResourceName, ResourceType, xdstp},
};

/// A field whose value is the name of another resource.
struct Rule {
    message: &'static str,
    /// A string field, or a list of strings.
    field: &'static str,
    /// The ConfigSource field that says where the named resource is requested; the name is a reference only if that is
    /// a server.
    source: Option<&'static str>,
    to: ResourceType,
}

const CONFIG_SOURCE: &str = "envoy.config.core.v3.ConfigSource";
const EXTENSION_CONFIG_SOURCE: &str = "envoy.config.core.v3.ExtensionConfigSource";
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
/// `Cluster.DiscoveryType.EDS`.
const EDS: i32 = 3;

const fn cluster(message: &'static str, field: &'static str) -> Rule {
    Rule {
        message,
        field,
        source: None,
        to: ResourceType::Cluster,
    }
}

static RULES: [Rule; 37] = [
    cluster("envoy.config.route.v3.RouteAction", "cluster"),
    cluster("envoy.config.route.v3.RouteAction.RequestMirrorPolicy", "cluster"),
    cluster("envoy.config.route.v3.WeightedCluster.ClusterWeight", "name"),
    cluster("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster"),
    cluster(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight",
        "name",
    ),
    cluster("envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", "cluster"),
    cluster("envoy.extensions.filters.udp.udp_proxy.v3.Route", "cluster"),
    cluster(
        "envoy.extensions.filters.network.thrift_proxy.v3.RouteAction",
        "cluster",
    ),
    cluster(
        "envoy.extensions.filters.network.thrift_proxy.v3.WeightedCluster.ClusterWeight",
        "name",
    ),
    cluster(
        "envoy.extensions.filters.network.thrift_proxy.v3.RouteAction.RequestMirrorPolicy",
        "cluster",
    ),
    cluster("envoy.extensions.filters.network.dubbo_proxy.v3.RouteAction", "cluster"),
    cluster(
        "envoy.extensions.filters.network.generic_proxy.action.v3.RouteAction",
        "cluster",
    ),
    cluster(
        "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes.Route",
        "cluster",
    ),
    cluster(
        "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes.Route.RequestMirrorPolicy",
        "cluster",
    ),
    cluster(
        "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes.Route.ReadCommandPolicy",
        "cluster",
    ),
    cluster(
        "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction",
        "cluster",
    ),
    cluster(
        "envoy.extensions.router.cluster_specifiers.lua.v3.LuaConfig",
        "default_cluster",
    ),
    cluster("envoy.extensions.clusters.aggregate.v3.ClusterConfig", "clusters"),
    cluster(
        "envoy.extensions.clusters.composite.v3.ClusterConfig.ClusterEntry",
        "name",
    ),
    cluster(
        "envoy.extensions.clusters.mcp_multicluster.v3.ClusterConfig.McpCluster",
        "cluster",
    ),
    cluster(
        "envoy.extensions.filters.http.mcp_router.v3.McpRouter.McpCluster",
        "cluster",
    ),
    cluster(
        "envoy.extensions.filters.http.cache_v2.v3.CacheV2Config",
        "override_upstream_cluster",
    ),
    cluster(
        "envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig",
        "cluster",
    ),
    cluster(
        "envoy.extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig",
        "cluster",
    ),
    cluster("envoy.extensions.tracers.fluentd.v3.FluentdConfig", "cluster"),
    cluster("envoy.config.trace.v3.ZipkinConfig", "collector_cluster"),
    cluster("envoy.config.trace.v3.DatadogConfig", "collector_cluster"),
    cluster("envoy.config.trace.v3.LightstepConfig", "collector_cluster"),
    cluster("envoy.config.core.v3.GrpcService.EnvoyGrpc", "cluster_name"),
    cluster("envoy.config.core.v3.HttpUri", "cluster"),
    cluster("envoy.config.core.v3.ApiConfigSource", "cluster_names"),
    cluster("envoy.data.dns.v3.DnsTable.DnsEndpoint", "cluster_name"),
    cluster("envoy.data.dns.v3.DnsTable.DnsServiceTarget", "cluster_name"),
    Rule {
        message: "envoy.extensions.filters.network.http_connection_manager.v3.Rds",
        field: "route_config_name",
        source: Some("config_source"),
        to: ResourceType::Route,
    },
    Rule {
        message: "envoy.config.route.v3.ScopedRouteConfiguration",
        field: "route_configuration_name",
        source: None,
        to: ResourceType::Route,
    },
    Rule {
        message: "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig",
        field: "name",
        source: Some("sds_config"),
        to: ResourceType::Secret,
    },
    Rule {
        message: "envoy.config.endpoint.v3.LedsClusterLocalityConfig",
        field: "leds_collection_name",
        source: Some("leds_config"),
        to: ResourceType::LbEndpoint,
    },
];

static BY_MESSAGE: LazyLock<HashMap<&'static str, Vec<&'static Rule>>> = LazyLock::new(|| {
    let mut rules: HashMap<_, Vec<_>> = HashMap::new();
    for rule in &RULES {
        rules.entry(rule.message).or_default().push(rule);
    }
    rules
});

/// Messages with a name under which their configuration may be discovered, each with the ConfigSource field: filters of
/// every kind.
static DISCOVERED: LazyLock<HashMap<String, u32>> = LazyLock::new(|| {
    proto::descriptors()
        .all_messages()
        .filter(|message| {
            message
                .get_field_by_name("name")
                .is_some_and(|f| f.kind() == Kind::String)
        })
        .filter_map(|message| {
            let field = message.fields().find(|field| {
                let kind = field.kind();
                kind.as_message()
                    .is_some_and(|m| m.full_name() == EXTENSION_CONFIG_SOURCE)
            })?;
            Some((message.full_name().to_owned(), field.number()))
        })
        .collect()
});

/// Calls `found` with each reference of this message, and the field that makes it; messages inside it are not visited.
pub(super) fn collect(message: &DynamicMessage, found: &mut dyn FnMut(&str, Reference)) {
    let descriptor = message.descriptor();
    let full_name = descriptor.full_name();
    for rule in BY_MESSAGE.get(full_name).into_iter().flatten() {
        if rule.source.is_none_or(|source| is_asked_of_a_server(message, source)) {
            for name in names(message, rule.field) {
                add(found, rule.field, &rule.to, &name);
            }
        }
    }
    if let Some(number) = DISCOVERED.get(full_name) {
        let source = message
            .get_field_by_number(*number)
            .filter(|_| message.has_field_by_number(*number));
        let source = source.as_deref().and_then(Value::as_message);
        if source.is_some_and(|source| is_asked_of_a_server(source, "config_source")) {
            for name in names(message, "name") {
                add(found, "name", &ResourceType::ExtensionConfig, &name);
            }
        }
    }
    if full_name == CLUSTER
        && let Some(name) = endpoints_of(message)
    {
        add(found, "eds_cluster_config", &ResourceType::Endpoint, &name);
    }
}

fn add(found: &mut dyn FnMut(&str, Reference), field: &str, to: &ResourceType, name: &str) {
    if !name.is_empty() {
        let mut name = name.to_owned();
        xdstp::canonicalize(&mut name);
        found(
            field,
            Reference {
                resource_type: to.clone(),
                name: name.into(),
            },
        );
    }
}

/// The strings of a field that is a string or a list of strings.
fn names(message: &DynamicMessage, field: &str) -> Vec<String> {
    match message.get_field_by_name(field).as_deref() {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::List(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) | None => Vec::new(),
    }
}

/// Returns true if the ConfigSource in `field` is given and is not a file.
fn is_asked_of_a_server(message: &DynamicMessage, field: &str) -> bool {
    if !message.has_field_by_name(field) {
        return false;
    }
    let source = message.get_field_by_name(field);
    source.as_deref().and_then(Value::as_message).is_some_and(|source| {
        debug_assert_eq!(source.descriptor().full_name(), CONFIG_SOURCE);
        !source.has_field_by_name("path") && !source.has_field_by_name("path_config_source")
    })
}

/// The name of the ClusterLoadAssignment that an EDS cluster requests (W-5).
fn endpoints_of(cluster: &DynamicMessage) -> Option<String> {
    let discovery = cluster.get_field_by_name("type")?;
    if discovery.as_enum_number() != Some(EDS) {
        return None;
    }
    let eds = cluster.get_field_by_name("eds_cluster_config")?;
    let eds = eds.as_message()?;
    if eds.has_field_by_name("eds_config") && !is_asked_of_a_server(eds, "eds_config") {
        return None;
    }
    names(eds, "service_name")
        .into_iter()
        .chain(names(cluster, "name"))
        .find(|name| !name.is_empty())
}

/// The warning of a dangling reference, about the resource that makes it; `None` for types whose absence means nothing.
pub(super) fn dangling(resource_type: &ResourceType, name: &ResourceName, reference: &Reference) -> Option<Finding> {
    let (code, message) = missed(&reference.resource_type, &reference.name)?;
    let subject = Subject {
        document: None,
        type_url: Some(resource_type.type_url()),
        resource: Some(name.as_str()),
    };
    Some(subject.finding(Severity::Warning, code, Position::default(), &Path::ROOT, message))
}

/// Returns true if a missing resource of this type is worth a warning.
#[must_use]
pub const fn is_missed(to: &ResourceType) -> bool {
    match to {
        ResourceType::Cluster
        | ResourceType::Route
        | ResourceType::Endpoint
        | ResourceType::Secret
        | ResourceType::ExtensionConfig => true,
        ResourceType::LbEndpoint
        | ResourceType::Listener
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::Runtime
        | ResourceType::Other(_) => false,
    }
}

/// The code and message for a missing resource; `None` for types whose absence means nothing.
fn missed(to: &ResourceType, name: &ResourceName) -> Option<(&'static str, String)> {
    match to {
        ResourceType::Cluster => Some((
            codes::NO_CLUSTER,
            format!("refers to cluster \"{name}\", which is not published: every node needs it in its bootstrap"),
        )),
        ResourceType::Route => Some((
            codes::NO_ROUTE,
            format!("refers to route \"{name}\", which is not published: the listener waits for it"),
        )),
        ResourceType::Endpoint => Some((
            codes::NO_ENDPOINTS,
            format!("has no endpoints: \"{name}\" is not published, and served as empty"),
        )),
        ResourceType::Secret => Some((
            codes::NO_SECRET,
            format!("refers to secret \"{name}\", which is not published: connections that need it fail"),
        )),
        ResourceType::ExtensionConfig => Some((
            codes::NO_EXTENSION_CONFIG,
            format!("refers to extension_config \"{name}\", which is not published: the listener waits for it"),
        )),
        ResourceType::LbEndpoint
        | ResourceType::Listener
        | ResourceType::ScopedRoute
        | ResourceType::VirtualHost
        | ResourceType::Runtime
        | ResourceType::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_names_a_field_that_exists() {
        for rule in &RULES {
            let message = proto::descriptors()
                .get_message_by_name(rule.message)
                .unwrap_or_else(|| panic!("no message {}", rule.message));
            let field = message
                .get_field_by_name(rule.field)
                .unwrap_or_else(|| panic!("{} has no {}", rule.message, rule.field));
            assert_eq!(field.kind(), Kind::String, "{}.{}", rule.message, rule.field);
            if let Some(source) = rule.source {
                let kind = message.get_field_by_name(source).unwrap().kind();
                assert_eq!(kind.as_message().unwrap().full_name(), CONFIG_SOURCE);
            }
        }
    }

    /// Fields with `cluster` in their name that are no references; each was decided once.
    const NO_REFERENCES: [(&str, &str); 22] = [
        ("envoy.config.core.v3.Node", "cluster"),
        ("envoy.config.route.v3.WeightedCluster.ClusterWeight", "cluster_header"),
        ("envoy.config.route.v3.RouteAction", "cluster_header"),
        ("envoy.config.route.v3.RouteAction", "cluster_specifier_plugin"),
        (
            "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
            "cluster_header",
        ),
        ("envoy.data.accesslog.v3.AccessLogCommon", "upstream_cluster"),
        ("envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name"),
        ("envoy.config.metrics.v3.StatsdSink", "tcp_cluster_name"),
        ("envoy.config.bootstrap.v3.ClusterManager", "local_cluster_name"),
        ("envoy.admin.v3.CommandLineOptions", "service_cluster"),
        ("envoy.config.endpoint.v3.ClusterStats", "cluster_name"),
        ("envoy.config.endpoint.v3.ClusterStats", "cluster_service_name"),
        ("envoy.data.cluster.v3.OutlierDetectionEvent", "cluster_name"),
        ("envoy.data.core.v3.HealthCheckEvent", "cluster_name"),
        (
            "envoy.extensions.clusters.dynamic_modules.v3.ClusterConfig",
            "cluster_name",
        ),
        ("envoy.extensions.filters.http.fault.v3.HTTPFault", "upstream_cluster"),
        (
            "envoy.extensions.filters.network.thrift_proxy.v3.RouteAction",
            "cluster_header",
        ),
        (
            "envoy.extensions.filters.network.reverse_tunnel.v3.Validation",
            "cluster_id_format",
        ),
        (
            "envoy.extensions.filters.network.reverse_tunnel.v3.ReverseTunnel",
            "required_cluster_name",
        ),
        ("envoy.service.health.v3.ClusterEndpointsHealth", "cluster_name"),
        ("envoy.service.health.v3.ClusterHealthCheck", "cluster_name"),
        ("envoy.service.load_stats.v3.LoadStatsResponse", "clusters"),
    ];

    /// A field of a newer API that names a cluster needs a decision: a rule above, or a line in `NO_REFERENCES`.
    #[test]
    fn every_field_that_is_named_like_a_cluster_is_decided() {
        let mut undecided = Vec::new();
        for message in proto::descriptors().all_messages() {
            let name = message.full_name();
            if !name.starts_with("envoy.") || !name.contains(".v3.") {
                continue;
            }
            for field in message.fields().filter(|field| field.kind() == Kind::String) {
                let named = field
                    .name()
                    .split('_')
                    .any(|word| word == "cluster" || word == "clusters");
                let ruled = RULES
                    .iter()
                    .any(|rule| rule.message == name && rule.field == field.name());
                if named && !ruled && !NO_REFERENCES.contains(&(name, field.name())) {
                    undecided.push(format!("(\"{name}\", \"{}\")", field.name()));
                }
            }
        }
        assert_eq!(undecided, [""; 0], "\n{}", undecided.join(",\n"));
    }

    #[test]
    fn every_kind_of_filter_can_be_discovered() {
        for message in [
            "envoy.config.listener.v3.Filter",
            "envoy.config.listener.v3.ListenerFilter",
            "envoy.config.cluster.v3.Filter",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
            "envoy.extensions.filters.http.composite.v3.DynamicConfig",
        ] {
            assert!(DISCOVERED.contains_key(message), "{message}");
        }
    }
}
