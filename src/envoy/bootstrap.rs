//! Resources as the parts of a bootstrap: clusters, listeners, and holders of resources that neither uses. Pure.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    Served,
    inline::{Inliner, without_type},
};
use crate::resource::ResourceType;

/// All units to be tried, and the parts that every bootstrap shares.
#[derive(Debug)]
pub(super) struct Trial {
    /// The units in the order of trial: clusters before the units that name them.
    pub(super) units: Vec<Unit>,
    /// Files relative to the directory of the trial.
    pub(super) files: Vec<(PathBuf, Value)>,
    group: String,
    /// Clusters that the node has in its own bootstrap: ADS, and servers of config sources.
    own_clusters: Vec<Value>,
    secrets: Vec<Value>,
    layers: Vec<Value>,
    internal: bool,
}

/// A cluster or a listener, and the resource to blame if Envoy refuses it.
#[derive(Debug)]
pub(super) struct Unit {
    section: Section,
    value: Value,
    blame: (ResourceType, String),
    /// The name of the endpoints that the cluster reads from a file.
    endpoints: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Clusters,
    Listeners,
}

/// The cluster of the ADS server; every bootstrap has it.
const ADS: &str = "chancery-ads";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP_PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.";
/// Network filters that must be last in their chain.
const LAST: [&str; 8] = [
    "direct_response",
    "dubbo_proxy",
    "echo",
    "generic_proxy",
    "http_connection_manager",
    "redis_proxy",
    "tcp_proxy",
    "thrift_proxy",
];

// === impl Trial ===

impl Trial {
    pub(super) fn new(served: &Served, group: &str, dir: &Path) -> Self {
        let mut inliner = Inliner::new(served, dir);
        let mut clusters: Vec<Unit> = served
            .of(&ResourceType::Cluster)
            .map(|(name, cluster)| Unit::cluster(&mut inliner, name, cluster))
            .collect();
        let mut listeners: Vec<Unit> = served
            .of(&ResourceType::Listener)
            .map(|(name, listener)| Unit {
                section: Section::Listeners,
                value: inliner.resource(listener),
                blame: (ResourceType::Listener, name.clone()),
                endpoints: None,
            })
            .collect();
        hold_the_rest(&mut inliner, &mut clusters, &mut listeners);
        // Servers come first: Envoy accepts a config source only if it already knows its cluster.
        clusters.sort_by_key(|unit| (!inliner.servers.contains(&unit.blame.1), unit.endpoints.is_some()));
        let own = std::iter::once(ADS).chain(inliner.servers.iter().map(String::as_str));
        let own_clusters = own
            .filter(|name| served.get(&ResourceType::Cluster, name).is_none())
            .map(server)
            .collect();
        Self {
            units: clusters.into_iter().chain(listeners).collect(),
            group: group.to_owned(),
            own_clusters,
            secrets: served
                .of(&ResourceType::Secret)
                .map(|(_, secret)| without_type(secret))
                .collect(),
            layers: served
                .of(&ResourceType::Runtime)
                .map(|(name, runtime)| json!({ "name": name, "static_layer": runtime["layer"] }))
                .collect(),
            internal: inliner.internal,
            files: inliner.files,
        }
    }

    /// The bootstrap of a node with these units.
    pub(super) fn bootstrap<'a>(&self, units: impl IntoIterator<Item = &'a Unit>) -> Value {
        let mut clusters = self.own_clusters.clone();
        let mut listeners = Vec::new();
        for unit in units {
            match unit.section {
                Section::Clusters => clusters.push(unit.value.clone()),
                Section::Listeners => listeners.push(unit.value.clone()),
            }
        }
        let mut bootstrap = json!({
            "node": { "id": "chancery-validate", "cluster": self.group },
            "static_resources": { "clusters": clusters, "listeners": listeners, "secrets": self.secrets },
            "dynamic_resources": { "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{ "envoy_grpc": { "cluster_name": ADS } }],
            } },
        });
        if !self.layers.is_empty() {
            bootstrap["layered_runtime"] = json!({ "layers": self.layers });
        }
        if self.internal {
            let config = json!({ "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener" });
            bootstrap["bootstrap_extensions"] =
                json!([{ "name": "envoy.bootstrap.internal_listener", "typed_config": config }]);
        }
        bootstrap
    }
}

// === impl Unit ===

impl Unit {
    fn cluster(inliner: &mut Inliner<'_>, name: &str, cluster: &Value) -> Self {
        let files = inliner.files.len();
        let value = inliner.cluster(cluster);
        let reads =
            inliner.files.len() > files || value["eds_cluster_config"]["eds_config"]["path_config_source"].is_object();
        let service = value["eds_cluster_config"]["service_name"]
            .as_str()
            .filter(|service| !service.is_empty());
        let endpoints = reads.then(|| service.unwrap_or(name).to_owned());
        Self {
            section: Section::Clusters,
            value,
            blame: (ResourceType::Cluster, name.to_owned()),
            endpoints,
        }
    }

    fn holder(section: Section, value: Value, kind: ResourceType, name: &str) -> Self {
        Self {
            section,
            value,
            blame: (kind, name.to_owned()),
            endpoints: None,
        }
    }

    /// The resource that a message of Envoy is about.
    pub(super) fn blamed(&self, of_file: bool) -> (ResourceType, String) {
        match &self.endpoints {
            Some(service) if of_file => (ResourceType::Endpoint, service.clone()),
            Some(_) | None => self.blame.clone(),
        }
    }

    /// A cluster of the same name that Envoy accepts.
    pub(super) fn stub(&self) -> Option<Self> {
        let (ResourceType::Cluster, name) = &self.blame else {
            return None;
        };
        Some(Self::holder(
            Section::Clusters,
            server(name),
            ResourceType::Cluster,
            name,
        ))
    }
}

/// A static cluster with one endpoint.
fn server(name: &str) -> Value {
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 1 } });
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
        "typed_extension_protocol_options": { options: {
            "@type": format!("type.googleapis.com/{options}"),
            "explicit_http_config": { "http2_protocol_options": {} },
        } },
    })
}

// === holders ===

/// Puts resources that no cluster or listener uses into holders, so that Envoy reads them.
fn hold_the_rest(inliner: &mut Inliner<'_>, clusters: &mut Vec<Unit>, listeners: &mut Vec<Unit>) {
    let served = inliner.served;
    let unused = |inliner: &Inliner<'_>, kind: &ResourceType, name: &String| {
        !inliner.used.contains(&(kind.clone(), name.clone()))
    };
    let scopes = ResourceType::ScopedRoute;
    for (name, scope) in served.of(&scopes) {
        if unused(inliner, &scopes, name) {
            let manager = scoped(inliner, scope);
            listeners.extend(manager.map(|manager| Unit::holder(Section::Listeners, manager, scopes.clone(), name)));
        }
    }
    let routes = ResourceType::Route;
    for (name, _) in served.of(&routes) {
        if unused(inliner, &routes, name) {
            let route = inliner.route(name).unwrap_or_default();
            let holder = manager(&json!({ "route_config": route }), None);
            listeners.push(Unit::holder(Section::Listeners, holder, routes.clone(), name));
        }
    }
    let hosts = ResourceType::VirtualHost;
    for (name, host) in served.of(&hosts) {
        if unused(inliner, &hosts, name) {
            let host = inliner.resource(host);
            let route = json!({ "name": "held", "virtual_hosts": [host], "validate_clusters": false });
            let holder = manager(&json!({ "route_config": route }), None);
            listeners.push(Unit::holder(Section::Listeners, holder, hosts.clone(), name));
        }
    }
    let configs = ResourceType::ExtensionConfig;
    for (name, config) in served.of(&configs) {
        if unused(inliner, &configs, name) {
            let typed = &config["typed_config"];
            let config = with_type_of(inliner.resource(&typed.clone()), typed);
            let holder = filtered(name, &config);
            listeners.extend(holder.map(|holder| Unit::holder(Section::Listeners, holder, configs.clone(), name)));
        }
    }
    let assignments = ResourceType::Endpoint;
    for (index, (name, _)) in served.of(&assignments).enumerate() {
        if unused(inliner, &assignments, name) {
            let source = json!({ "ads": {} });
            let cluster = json!({
                "name": format!("chancery-held-{index}"),
                "type": "EDS",
                "eds_cluster_config": { "service_name": name, "eds_config": source },
            });
            let mut unit = Unit::cluster(inliner, name, &cluster);
            unit.blame = (assignments.clone(), name.clone());
            clusters.push(unit);
        }
    }
    let secrets = ResourceType::Secret;
    for (index, (name, secret)) in served.of(&secrets).enumerate() {
        if unused(inliner, &secrets, name) {
            let held = format!("chancery-held-{index}");
            let cluster = secured(&held, name, secret);
            clusters.extend(cluster.map(|value| Unit::holder(Section::Clusters, value, secrets.clone(), name)));
        }
    }
}

fn with_type_of(mut value: Value, any: &Value) -> Value {
    if let (Value::Object(fields), Some(url)) = (&mut value, any.get("@type")) {
        fields.insert("@type".to_owned(), url.clone());
    }
    value
}

fn any(url: &str) -> Value {
    json!({ "@type": url })
}

/// A listener with these network filters.
fn listener(filters: &[Value]) -> Value {
    json!({
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": filters }],
    })
}

fn tcp_proxy() -> Value {
    let mut config = any(TCP_PROXY);
    config["stat_prefix"] = "held".into();
    config["cluster"] = ADS.into();
    json!({ "name": "held", "typed_config": config })
}

/// A listener whose connection manager has these routes, and one HTTP filter before the router.
fn manager(routes: &Value, filter: Option<Value>) -> Value {
    let mut config = any(MANAGER);
    config["stat_prefix"] = "held".into();
    let router = json!({ "name": "router", "typed_config": any(ROUTER) });
    let filters: Vec<Value> = filter.into_iter().chain([router]).collect();
    config["http_filters"] = Value::Array(filters);
    for (field, value) in routes.as_object().into_iter().flatten() {
        config[field] = value.clone();
    }
    listener(&[json!({ "name": "held", "typed_config": config })])
}

/// A listener that uses a scope; `None` if the scope's route configuration is not served.
fn scoped(inliner: &mut Inliner<'_>, scope: &Value) -> Option<Value> {
    let fragments = scope["key"]["fragments"]
        .as_array()
        .map_or(1, |fragments| fragments.len().max(1));
    let route = scope["route_configuration_name"].as_str().unwrap_or_default();
    let mut fields = without_type(scope).as_object().cloned().unwrap_or_default();
    if !route.is_empty() {
        let route = inliner.route(route)?;
        fields.remove("route_configuration_name");
        fields.remove("on_demand");
        fields.insert("route_configuration".to_owned(), route);
    }
    let element = json!({ "header_value_extractor": { "name": "held", "index": 0 } });
    let scoped = json!({
        "name": "held",
        "scope_key_builder": { "fragments": vec![element; fragments] },
        "scoped_route_configurations_list": { "scoped_route_configurations": [fields] },
    });
    Some(manager(&json!({ "scoped_routes": scoped }), None))
}

/// A listener that uses an extension configuration as the kind of filter its type URL names; `None` for another kind.
fn filtered(name: &str, config: &Value) -> Option<Value> {
    let filter = json!({ "name": name, "typed_config": config });
    let url = config["@type"].as_str()?.strip_prefix(FILTERS)?;
    let (kind, rest) = url.split_once('.')?;
    let (filter_name, _) = rest.split_once('.')?;
    match kind {
        "http" if filter_name == "router" => Some(listener(&[json!({ "name": "held", "typed_config": {
            "@type": MANAGER, "stat_prefix": "held", "route_config": {}, "http_filters": [filter],
        } })])),
        "http" => Some(manager(&json!({ "route_config": {} }), Some(filter))),
        "network" if LAST.contains(&filter_name) => Some(listener(&[filter])),
        "network" => Some(listener(&[filter, tcp_proxy()])),
        "listener" => {
            let mut holder = listener(&[tcp_proxy()]);
            holder["listener_filters"] = json!([filter]);
            Some(holder)
        }
        _ => None,
    }
}

/// A cluster that uses a secret; `None` for a kind of secret that TLS clients do not use.
fn secured(held: &str, name: &str, secret: &Value) -> Option<Value> {
    let fields = secret.as_object()?;
    let named = json!({ "name": name });
    let common = if fields.contains_key("tls_certificate") {
        json!({ "tls_certificate_sds_secret_configs": [named] })
    } else if fields.contains_key("validation_context") {
        json!({ "validation_context_sds_secret_config": named })
    } else {
        return None;
    };
    let mut cluster = server(held);
    cluster["transport_socket"] = json!({ "name": "tls", "typed_config": {
        "@type": TLS, "common_tls_context": common,
    } });
    Some(cluster)
}
