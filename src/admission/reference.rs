//! References: which fields of which messages name other resources, and which of those names are not there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};

use super::{
    Finding, Limits, Severity, codes,
    finding::{Findings, Position, Subject},
    path::Path,
};
use crate::{
    proto,
    resource::{Reference, Resource, ResourceName, ResourceType, xdstp},
    snapshot::Snapshot,
};

/// A field whose text is the name of another resource.
struct Rule {
    message: &'static str,
    /// A string, or a list of them.
    field: &'static str,
    /// The field of type ConfigSource that says where the name is asked for; only what is asked of a server is a
    /// reference.
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

static RULES: [Rule; 30] = [
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
        "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction",
        "cluster",
    ),
    cluster("envoy.extensions.clusters.aggregate.v3.ClusterConfig", "clusters"),
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

/// Messages that have a name and may have their configuration discovered under it, with the field that says so: filters of
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

/// Adds what this one message refers to, the messages inside it not included.
pub(super) fn collect(message: &DynamicMessage, found: &mut BTreeSet<Reference>) {
    let descriptor = message.descriptor();
    let full_name = descriptor.full_name();
    for rule in BY_MESSAGE.get(full_name).into_iter().flatten() {
        if rule.source.is_none_or(|source| is_asked_of_a_server(message, source)) {
            for name in names(message, rule.field) {
                add(found, &rule.to, &name);
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
                add(found, &ResourceType::ExtensionConfig, &name);
            }
        }
    }
    if full_name == CLUSTER
        && let Some(name) = endpoints_of(message)
    {
        add(found, &ResourceType::Endpoint, &name);
    }
}

fn add(found: &mut BTreeSet<Reference>, to: &ResourceType, name: &str) {
    if !name.is_empty() {
        let mut name = name.to_owned();
        xdstp::canonicalize(&mut name);
        found.insert(Reference {
            resource_type: to.clone(),
            name: name.into(),
        });
    }
}

/// The texts of a field that is a string or a list of strings.
fn names(message: &DynamicMessage, field: &str) -> Vec<String> {
    match message.get_field_by_name(field).as_deref() {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::List(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) | None => Vec::new(),
    }
}

/// Whether the ConfigSource in `field` is given, and is no file.
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

/// The ClusterLoadAssignment that an EDS cluster asks for (W-5).
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

/// Warns of references in a whole snapshot that lead nowhere: neither to it nor to `shared`, the resources of group `*`.
#[must_use]
pub fn check_references(
    resources: &BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    shared: Option<&Snapshot>,
) -> Vec<Finding> {
    let there: HashSet<(&ResourceType, &ResourceName)> = resources
        .iter()
        .flat_map(|(resource_type, resources)| {
            let names = resources.iter().flat_map(|resource| resource.known_as());
            names.map(move |name| (resource_type, name))
        })
        .collect();
    let leads_nowhere = |reference: &&Reference| {
        let (to, name) = (&reference.resource_type, &reference.name);
        is_missed(to)
            && !there.contains(&(to, name))
            && shared.is_none_or(|shared| shared.resource(to, name.as_str()).is_none())
    };
    dangling_references(resources.iter().flat_map(|(resource_type, resources)| {
        resources.iter().flat_map(move |resource| {
            let dangling = resource.references.iter().filter(leads_nowhere);
            dangling.map(move |reference| (resource_type, &resource.name, reference))
        })
    }))
}

/// The warnings of references that lead nowhere, each with the type and the name of the resource that makes it.
pub fn dangling_references<'a>(
    dangling: impl IntoIterator<Item = (&'a ResourceType, &'a ResourceName, &'a Reference)>,
) -> Vec<Finding> {
    let mut findings = Findings::new(&Limits::default());
    for (resource_type, name, reference) in dangling {
        if findings.is_full(Severity::Warning) {
            findings.leave_out(Severity::Warning);
            continue;
        }
        let Some((code, message)) = missed(&reference.resource_type, &reference.name) else {
            continue;
        };
        let subject = Subject {
            document: None,
            type_url: Some(resource_type.type_url()),
            resource: Some(name.as_str()),
        };
        let at = Position::default();
        findings.push(subject.finding(Severity::Warning, code, at, &Path::ROOT, message));
    }
    // Warnings alone are never a rejection.
    findings.finish().unwrap_or_else(|rejection| rejection.findings)
}

/// Whether something is wrong where a resource of this type is referred to and not there.
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

/// How to say that a reference leads nowhere; `None` for types whose absence means nothing.
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
