//! Rewrites config sources in resources: sources that name the control plane become paths of rendered files.

use serde_json::{Map, Value, json};

use crate::resource::ResourceType;

/// Fields of a `ConfigSource`; an object with other fields only looks like one.
const FIELDS: [&str; 5] = [
    "ads",
    "self",
    "api_config_source",
    "resource_api_version",
    "initial_fetch_timeout",
];

/// The targets of config sources.
pub(super) trait Places {
    /// The path of the file with the resource; `None` if the resource is not published.
    fn path(&mut self, kind: &ResourceType, name: &str) -> Option<String>;
    /// The path of the file with all scopes, and true if any are published.
    fn scopes(&mut self) -> (String, bool);
    /// Notes a source that names the control plane and cannot become a path.
    fn refuse(&mut self, reason: String);
}

/// Rewrites the sources in a resource.
pub(super) fn rewrite(resource: &mut Value, places: &mut impl Places) {
    let name = text(resource, "name");
    walk(resource, &name, places);
}

/// `name` is the name of the resource, which is the default of some references.
fn walk(value: &mut Value, name: &str, places: &mut impl Places) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, name, places)),
        Value::Object(fields) => {
            known_sources(fields, name, places);
            for (key, field) in fields.iter_mut() {
                if needs_us(field) {
                    places.refuse(format!("its {key} cannot be read from a file"));
                } else if key != "metadata" {
                    // Metadata is the operator's own: nothing in it is a source.
                    walk(field, name, places);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Rewrites the sources for one resource, in the messages that name the resource.
fn known_sources(fields: &mut Map<String, Value>, name: &str, places: &mut impl Places) {
    if let Some(Value::Object(eds)) = fields.get_mut("eds_cluster_config") {
        let service = eds
            .get("service_name")
            .and_then(Value::as_str)
            .filter(|service| !service.is_empty());
        let service = service.unwrap_or(name).to_owned();
        point(eds, "eds_config", &ResourceType::Endpoint, &service, places);
    }
    if let Some(Value::Object(rds)) = fields.get_mut("rds") {
        let route = rds
            .get("route_config_name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        point(rds, "config_source", &ResourceType::Route, &route, places);
    }
    if let Some(Value::Object(scoped)) = fields.get_mut("scoped_routes") {
        scoped_routes(scoped, places);
    }
    let own = fields
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if fields.contains_key("sds_config") {
        point(fields, "sds_config", &ResourceType::Secret, &own, places);
    }
    if let Some(Value::Object(discovery)) = fields.get_mut("config_discovery") {
        point(discovery, "config_source", &ResourceType::ExtensionConfig, &own, places);
    }
}

/// Rewrites the source of scopes, which are in one file and have their routes inlined.
fn scoped_routes(scoped: &mut Map<String, Value>, places: &mut impl Places) {
    if let Some(Value::Object(discovery)) = scoped.get_mut("scoped_rds")
        && let Some(source) = discovery.get_mut("scoped_rds_config_source")
        && is_ours(source)
    {
        let (path, published) = places.scopes();
        // An API source may name another server, unless scopes are published here.
        if published || source.get("api_config_source").is_none() {
            *source = file(&path, source);
            if discovery.remove("srds_resources_locator").is_some() {
                places.refuse("its scopes are a collection, which cannot be read from a file".to_owned());
            }
        }
    }
    if scoped.get("rds_config_source").is_some_and(needs_us) {
        scoped.remove("rds_config_source");
    }
}

/// A source with a path.
fn file(path: &str, instead_of: &Value) -> Value {
    let mut file = json!({ "path_config_source": { "path": path }, "resource_api_version": "V3" });
    if let Some(timeout) = instead_of.get("initial_fetch_timeout") {
        file["initial_fetch_timeout"] = timeout.clone();
    }
    file
}

/// Rewrites a source to the file of one resource.
fn point(fields: &mut Map<String, Value>, key: &str, kind: &ResourceType, name: &str, places: &mut impl Places) {
    let Some(source) = fields.get_mut(key) else {
        return;
    };
    if !is_ours(source) {
        return;
    }
    match places.path(kind, name) {
        Some(path) => *source = file(&path, source),
        // The source names another server.
        None if source.get("api_config_source").is_some() => {}
        None => {
            places.refuse(format!("it needs {kind} \"{name}\", which is not published"));
            // Refused once: a refused resource is not written.
            *source = Value::Null;
        }
    }
}

/// Returns true for a `ConfigSource` that can only mean this control plane.
fn needs_us(value: &Value) -> bool {
    is_ours(value) && value.get("api_config_source").is_none()
}

/// Returns true for a `ConfigSource` that uses xDS.
pub(super) fn is_ours(value: &Value) -> bool {
    let Value::Object(fields) = value else {
        return false;
    };
    let served = FIELDS[..3].iter().any(|field| fields.contains_key(*field));
    served && fields.keys().all(|key| FIELDS.contains(&key.as_str()))
}

pub(super) fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
