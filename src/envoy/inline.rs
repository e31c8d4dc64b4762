//! Inlines references between resources, so that one bootstrap holds them: routes, filters and secrets in place,
//! endpoints in files. Envoy asks no server while it validates.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::Served;
use crate::resource::ResourceType;

/// The depth to which filters within filters are inlined.
const DEPTH: usize = 8;

pub(super) struct Inliner<'a> {
    pub(super) served: &'a Served,
    dir: &'a Path,
    /// The resources that were inlined.
    pub(super) used: BTreeSet<(ResourceType, String)>,
    /// Clusters that config sources connect to.
    pub(super) servers: BTreeSet<String>,
    /// Files with endpoints, which Envoy reads like a response of EDS.
    pub(super) files: Vec<(PathBuf, Value)>,
    /// True if a resource needs the bootstrap extension of internal listeners.
    pub(super) internal: bool,
    /// True within a cluster, whose secrets Envoy fetches even while it validates; it crashes unless they are in a
    /// file.
    in_cluster: bool,
    depth: usize,
}

// === impl Inliner ===

impl<'a> Inliner<'a> {
    pub(super) const fn new(served: &'a Served, dir: &'a Path) -> Self {
        Self {
            served,
            dir,
            used: BTreeSet::new(),
            servers: BTreeSet::new(),
            files: Vec::new(),
            internal: false,
            in_cluster: false,
            depth: 0,
        }
    }

    /// A cluster for a bootstrap, without references to missing secrets.
    pub(super) fn cluster(&mut self, cluster: &Value) -> Value {
        self.in_cluster = true;
        let cluster = self.resource(cluster);
        self.in_cluster = false;
        cluster
    }

    /// A resource for a bootstrap.
    pub(super) fn resource(&mut self, resource: &Value) -> Value {
        let mut resource = resource.clone();
        if let Value::Object(fields) = &mut resource {
            fields.remove("@type");
            self.endpoints_of(fields);
        }
        self.walk(&mut resource);
        resource
    }

    /// A route configuration for a connection manager.
    pub(super) fn route(&mut self, name: &str) -> Option<Value> {
        let served = self.served;
        let mut route = served.get(&ResourceType::Route, name)?.clone();
        self.used.insert((ResourceType::Route, name.to_owned()));
        let fields = route.as_object_mut()?;
        fields.remove("@type");
        // A route configuration that comes by RDS may name clusters that do not exist.
        fields.entry("validate_clusters").or_insert(Value::Bool(false));
        if fields.remove("vhds").is_some() {
            let prefix = format!("{name}/");
            let mut hosts = Vec::new();
            for (host, value) in served.of(&ResourceType::VirtualHost) {
                if host.starts_with(&prefix) {
                    self.used.insert((ResourceType::VirtualHost, host.clone()));
                    hosts.push(without_type(value));
                }
            }
            if let Value::Array(there) = fields.entry("virtual_hosts").or_insert_with(|| json!([])) {
                there.extend(hosts);
            }
        }
        self.walk(&mut route);
        Some(route)
    }

    fn walk(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                if self.in_cluster {
                    self.drop_missing_secrets(fields);
                }
                self.filter(fields);
                self.routes(fields);
                self.secret(fields);
                self.source(fields);
                self.internal |=
                    fields.contains_key("internal_listener") || fields.contains_key("envoy_internal_address");
                for (key, field) in fields.iter_mut() {
                    // Metadata belongs to the operator and holds no config sources.
                    if key != "metadata" {
                        self.walk(field);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Inlines the configuration of a filter that discovers it (ECDS).
    fn filter(&mut self, fields: &mut Map<String, Value>) {
        let Some(discovery) = fields.get("config_discovery") else {
            return;
        };
        let name = text(fields, "name");
        let served = discovery.get("config_source").is_some_and(is_served);
        let found = self.served.get(&ResourceType::ExtensionConfig, &name);
        let Some(config) = found.filter(|_| served && self.depth < DEPTH) else {
            return;
        };
        self.used.insert((ResourceType::ExtensionConfig, name));
        fields.remove("config_discovery");
        let mut config = config["typed_config"].clone();
        self.depth += 1;
        self.walk(&mut config);
        self.depth -= 1;
        fields.insert("typed_config".to_owned(), config);
    }

    /// Inlines the routes of a connection manager that uses RDS or SRDS.
    fn routes(&mut self, fields: &mut Map<String, Value>) {
        if let Some(rds) = fields.get("rds").and_then(Value::as_object)
            && rds.get("config_source").is_some_and(is_served)
            && let Some(route) = self.route(&text(rds, "route_config_name"))
        {
            fields.remove("rds");
            fields.insert("route_config".to_owned(), route);
        }
        if let Some(Value::Object(scoped)) = fields.get_mut("scoped_routes")
            && scoped.get("scoped_rds").is_some()
        {
            let scopes = self.scopes();
            if !scopes.is_empty() {
                scoped.remove("scoped_rds");
                scoped.remove("rds_config_source");
                scoped.insert(
                    "scoped_route_configurations_list".to_owned(),
                    json!({ "scoped_route_configurations": scopes }),
                );
            }
        }
    }

    /// All scopes whose route configuration is served, with that configuration inlined.
    pub(super) fn scopes(&mut self) -> Vec<Value> {
        let served = self.served;
        let mut scopes = Vec::new();
        for (name, scope) in served.of(&ResourceType::ScopedRoute) {
            let Value::Object(mut fields) = without_type(scope) else {
                continue;
            };
            let route = text(&fields, "route_configuration_name");
            if !route.is_empty() {
                let Some(route) = self.route(&route) else {
                    continue;
                };
                fields.remove("route_configuration_name");
                fields.remove("on_demand");
                fields.insert("route_configuration".to_owned(), route);
            }
            self.used.insert((ResourceType::ScopedRoute, name.clone()));
            scopes.push(Value::Object(fields));
        }
        scopes
    }

    /// Makes a reference to a served secret one to the secrets of the bootstrap.
    fn secret(&mut self, fields: &mut Map<String, Value>) {
        if !fields.get("sds_config").is_some_and(is_served) {
            return;
        }
        let name = text(fields, "name");
        if self.served.get(&ResourceType::Secret, &name).is_some() {
            fields.remove("sds_config");
            self.used.insert((ResourceType::Secret, name));
        }
    }

    fn drop_missing_secrets(&self, fields: &mut Map<String, Value>) {
        let missing = |value: &Value| {
            let name = value["name"].as_str().unwrap_or_default();
            value.get("sds_config").is_some_and(is_served) && self.served.get(&ResourceType::Secret, name).is_none()
        };
        let combined = fields.get("combined_validation_context");
        if let Some(combined) = combined.filter(|context| missing(&context["validation_context_sds_secret_config"])) {
            let own = combined.get("default_validation_context").cloned();
            fields.remove("combined_validation_context");
            fields.extend(own.map(|own| ("validation_context".to_owned(), own)));
        }
        fields.retain(|_, value| !missing(value));
        for list in fields.values_mut().filter_map(Value::as_array_mut) {
            list.retain(|item| !missing(item));
        }
    }

    /// Makes an EDS cluster read its endpoints from a file.
    fn endpoints_of(&mut self, cluster: &mut Map<String, Value>) {
        let own = text(cluster, "name");
        let Some(Value::Object(eds)) = cluster.get_mut("eds_cluster_config") else {
            return;
        };
        let service = text(eds, "service_name");
        let service = if service.is_empty() { own } else { service };
        let Some(source) = eds.get_mut("eds_config").filter(|source| is_served(source)) else {
            return;
        };
        if let Some(file) = self.endpoints(&service) {
            let path = self.dir.join(file);
            *source =
                json!({ "path_config_source": { "path": path.display().to_string() }, "resource_api_version": "V3" });
        }
    }

    /// The file with the endpoints of a service.
    fn endpoints(&mut self, service: &str) -> Option<PathBuf> {
        let mut endpoints = self.served.get(&ResourceType::Endpoint, service)?.clone();
        let key = (ResourceType::Endpoint, service.to_owned());
        let file = PathBuf::from(format!("eds-{}.json", blake3::hash(service.as_bytes()).to_hex()));
        if self.used.insert(key) {
            self.localities(&mut endpoints);
            self.files.push((file.clone(), json!({ "resources": [endpoints] })));
        }
        Some(file)
    }

    /// Inlines the endpoints of localities that use LEDS.
    pub(super) fn localities(&mut self, assignment: &mut Value) {
        let served = self.served;
        let localities = assignment.get_mut("endpoints").and_then(Value::as_array_mut);
        for locality in localities.into_iter().flatten().filter_map(Value::as_object_mut) {
            let Some(leds) = locality.get("leds_cluster_locality_config") else {
                continue;
            };
            let collection = leds["leds_collection_name"].as_str().unwrap_or_default();
            let prefix = collection.trim_end_matches('*').to_owned();
            let mut found = Vec::new();
            for (name, endpoint) in served.of(&ResourceType::LbEndpoint) {
                if name.starts_with(&prefix) {
                    self.used.insert((ResourceType::LbEndpoint, name.clone()));
                    found.push(without_type(endpoint));
                }
            }
            locality.remove("leds_cluster_locality_config");
            locality.insert("lb_endpoints".to_owned(), Value::Array(found));
        }
    }

    /// Notes the servers of a config source that stays, and replaces `self` by the bootstrap's ADS.
    fn source(&mut self, fields: &mut Map<String, Value>) {
        if let Some(api) = fields.get("api_config_source") {
            let names = api["cluster_names"].as_array().into_iter().flatten();
            self.servers.extend(names.filter_map(Value::as_str).map(str::to_owned));
            for service in api["grpc_services"].as_array().into_iter().flatten() {
                let name = service["envoy_grpc"]["cluster_name"].as_str();
                self.servers.extend(name.map(str::to_owned));
            }
        }
        let is_source = fields.keys().all(|key| SOURCE_FIELDS.contains(&key.as_str()));
        if is_source && fields.remove("self").is_some() {
            fields.insert("ads".to_owned(), json!({}));
        }
    }
}

const SOURCE_FIELDS: [&str; 5] = [
    "ads",
    "self",
    "api_config_source",
    "resource_api_version",
    "initial_fetch_timeout",
];

/// Returns true for a `ConfigSource` that leads to a server, not to a file.
fn is_served(source: &Value) -> bool {
    source.as_object().is_some_and(|fields| {
        ["ads", "self", "api_config_source"]
            .iter()
            .any(|field| fields.contains_key(*field))
    })
}

fn text(fields: &Map<String, Value>, key: &str) -> String {
    fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The message of an `Any`, without its `@type`.
pub(super) fn without_type(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Object(fields) = &mut value {
        fields.remove("@type");
    }
    value
}
