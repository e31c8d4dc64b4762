//! Inlines resources that Envoy cannot read from their own files: virtual hosts into their route configuration (VHDS),
//! endpoints into their locality (LEDS), and route configurations into their scopes (SRDS).

use serde_json::{Map, Value};

use super::{
    served::Served,
    sources::{is_ours, text},
};
use crate::resource::ResourceType;

/// Inlines all three kinds, innermost first.
pub(super) fn inline(served: &mut Served) {
    let hosts = served.remove(&ResourceType::VirtualHost).unwrap_or_default();
    for (name, route) in served.entry(ResourceType::Route).or_default() {
        virtual_hosts(name, route, hosts.iter());
    }
    let members = served.remove(&ResourceType::LbEndpoint).unwrap_or_default();
    for assignment in served.entry(ResourceType::Endpoint).or_default().values_mut() {
        for locality in list(assignment, "endpoints") {
            endpoints(locality, members.iter());
        }
    }
    let routes = served.get(&ResourceType::Route).cloned().unwrap_or_default();
    let scopes = served.entry(ResourceType::ScopedRoute).or_default();
    for scope in scopes.values_mut().filter_map(Value::as_object_mut) {
        routes_of(scope, |name| routes.get(name));
    }
    for listener in served.entry(ResourceType::Listener).or_default().values_mut() {
        scopes_within(listener, &|name| routes.get(name));
    }
    served.retain(|_, resources| !resources.is_empty());
}

/// Inlines the virtual hosts of a route configuration, whose names begin with its name: `NAME/host`.
fn virtual_hosts<'a>(name: &str, route: &mut Value, all: impl Iterator<Item = (&'a String, &'a Value)>) {
    let Some(route) = route.as_object_mut() else {
        return;
    };
    let discovered = route.get("vhds").and_then(|vhds| vhds.get("config_source"));
    if !discovered.is_some_and(is_ours) {
        return;
    }
    let ours = all.filter(|(host, _)| host.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
    let found: Vec<Value> = ours.map(|(_, host)| bare(host)).collect();
    route.remove("vhds");
    append(route, "virtual_hosts", found);
}

/// Inlines the endpoints of a locality, which are a collection: `xdstp://…/NAME/*`.
fn endpoints<'a>(locality: &mut Value, all: impl Iterator<Item = (&'a String, &'a Value)>) {
    let Some(locality) = locality.as_object_mut() else {
        return;
    };
    let collection = locality.get("leds_cluster_locality_config");
    let ours = collection.filter(|collection| collection.get("leds_config").is_some_and(is_ours));
    let Some(glob) = ours.map(|collection| text(collection, "leds_collection_name")) else {
        return;
    };
    let Some((before, after)) = glob.split_once('*') else {
        return;
    };
    let is_member = |name: &str| {
        let rest = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?']))
    };
    let found: Vec<Value> = all
        .filter(|(name, _)| is_member(name))
        .map(|(_, member)| bare(member))
        .collect();
    locality.remove("leds_cluster_locality_config");
    append(locality, "lb_endpoints", found);
}

/// Inlines the routes of a scope. Envoy reads all scopes from one file, but each route configuration from its own file, and
/// scopes have only one path for all of them.
fn routes_of<'a>(scope: &mut Map<String, Value>, published: impl Fn(&str) -> Option<&'a Value>) {
    let name = scope.get("route_configuration_name").and_then(Value::as_str);
    let Some(route) = name.and_then(published).map(bare) else {
        return;
    };
    scope.remove("route_configuration_name");
    // All routes are inlined, so there is nothing left to request.
    scope.remove("on_demand");
    scope.insert("route_configuration".to_owned(), route);
}

/// Inlines the routes of scopes that a listener itself lists.
fn scopes_within<'a>(value: &mut Value, published: &impl Fn(&str) -> Option<&'a Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| scopes_within(item, published)),
        Value::Object(fields) => {
            if let Some(listed) = fields.get_mut("scoped_route_configurations_list") {
                let scopes = list(listed, "scoped_route_configurations");
                for scope in scopes.iter_mut().filter_map(Value::as_object_mut) {
                    routes_of(scope, published);
                }
            }
            fields.values_mut().for_each(|field| scopes_within(field, published));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A resource as a field: without its type.
fn bare(resource: &Value) -> Value {
    let mut bare = resource.clone();
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("@type");
    }
    bare
}

fn append(fields: &mut Map<String, Value>, key: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    let there = fields.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if let Some(there) = there.as_array_mut() {
        there.extend(more);
    }
}

fn list<'v>(value: &'v mut Value, key: &str) -> &'v mut [Value] {
    value
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .map(Vec::as_mut_slice)
        .unwrap_or_default()
}
