//! Resources for the tests, written like an operator's, and an editable set of them.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Value, json};

use super::Upstream;

pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(crate) const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
pub(crate) const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
pub(crate) const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
pub(crate) const SCOPED_ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration";
pub(crate) const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
pub(crate) const LB_ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.LbEndpoint";
pub(crate) const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
pub(crate) const RUNTIME_LAYER: &str = "type.googleapis.com/envoy.service.runtime.v3.Runtime";
pub(crate) const EXTENSION_CONFIG: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const WRAPPER: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/// An editable snapshot: resources by type and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    resources: BTreeMap<(String, String), Value>,
}

// === impl Config ===

impl Config {
    pub(crate) fn of(resources: impl IntoIterator<Item = Value>) -> Self {
        let mut config = Self::default();
        resources.into_iter().for_each(|resource| config.set(resource));
        config
    }

    /// Adds the resource, or replaces the one of the same type and name.
    pub(crate) fn set(&mut self, resource: Value) {
        let inner = resource.get("resource").unwrap_or(&resource);
        let kind = inner["@type"].as_str().expect("a type").to_owned();
        let name = ["name", "cluster_name"].map(|field| resource[field].as_str());
        let name = name.into_iter().flatten().next().expect("a name").to_owned();
        self.resources.insert((kind, name), resource);
    }

    /// A copy in which these resources are added, or replace those of the same type and name.
    pub(crate) fn with(&self, resources: impl IntoIterator<Item = Value>) -> Self {
        let mut config = self.clone();
        resources.into_iter().for_each(|resource| config.set(resource));
        config
    }

    #[track_caller]
    pub(crate) fn remove(&mut self, kind: &str, name: &str) {
        let removed = self.resources.remove(&(kind.to_owned(), name.to_owned()));
        removed.expect("the removed resource existed");
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resources: Vec<&Value> = self.resources.values().collect();
        write!(f, "{}", json!({ "resources": resources }))
    }
}

// === resources ===

/// The config source of a resource's children: the stream of the resource itself.
pub(crate) fn ads() -> Value {
    json!({ "ads": {}, "resource_api_version": "V3" })
}

/// A cluster whose endpoints are discovered by its name.
pub(crate) fn cluster(name: &str, source: &Value) -> Value {
    json!({
        "@type": CLUSTER,
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": { "eds_config": source },
    })
}

/// A cluster with one inline endpoint.
pub(crate) fn fixed_cluster(name: &str, upstream: &Upstream) -> Value {
    let endpoints = json!([{ "lb_endpoints": [endpoint(upstream)] }]);
    json!({
        "@type": CLUSTER,
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": endpoints },
    })
}

pub(crate) fn endpoints(cluster: &str, upstreams: &[&Upstream]) -> Value {
    let endpoint = |upstream: &&Upstream| endpoint(upstream);
    let all: Vec<Value> = upstreams.iter().map(endpoint).collect();
    json!({ "@type": ENDPOINTS, "cluster_name": cluster, "endpoints": [{ "lb_endpoints": all }] })
}

pub(crate) fn endpoint(upstream: &Upstream) -> Value {
    let address = json!({ "address": upstream.address.ip().to_string(), "port_value": upstream.address.port() });
    json!({ "endpoint": { "address": { "socket_address": address } } })
}

/// Routes that send every path to one cluster.
pub(crate) fn routes(name: &str, cluster: &str) -> Value {
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster } });
    json!({
        "@type": ROUTES,
        "name": name,
        "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [all] }],
    })
}

/// An HTTP listener on a free port, with discovered routes.
pub(crate) fn listener(name: &str, routes: &str, source: &Value) -> Value {
    http_listener(
        name,
        &json!({
            "rds": { "route_config_name": routes, "config_source": source },
            "http_filters": [router()],
        }),
    )
}

/// An HTTP listener on a free port, with these fields in its connection manager.
pub(crate) fn http_listener(name: &str, manager: &Value) -> Value {
    let mut config = json!({ "@type": CONNECTION_MANAGER, "stat_prefix": name });
    let fields = manager.as_object().expect("fields of a connection manager");
    config.as_object_mut().unwrap().extend(fields.clone());
    let filter = json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": config });
    json!({
        "@type": LISTENER,
        "name": name,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [filter] }],
    })
}

/// An HTTP filter, named by the last parts of its type.
pub(crate) fn filter(name: &str, message: &str, mut config: Value) -> Value {
    let url = format!("type.googleapis.com/envoy.extensions.filters.http.{message}");
    config["@type"] = json!(url);
    json!({ "name": name, "typed_config": config })
}

pub(crate) fn router() -> Value {
    filter("envoy.filters.http.router", "router.v3.Router", json!({}))
}

/// A resource with a TTL.
pub(crate) fn wrapped_for(ttl: Duration, name: &str, resource: &Value) -> Value {
    json!({ "@type": WRAPPER, "name": name, "ttl": format!("{}s", ttl.as_secs()), "resource": resource })
}

/// A resource in a wrapper with its name, which the resource itself lacks.
pub(crate) fn wrapped(name: &str, resource: &Value) -> Value {
    json!({ "@type": WRAPPER, "name": name, "resource": resource })
}
