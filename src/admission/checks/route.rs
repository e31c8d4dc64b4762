//! Routes: domains, virtual hosts, weights, and contradictory actions.

use std::collections::{HashMap, HashSet};

use prost_reflect::DynamicMessage;

use super::{Report, fields, filters};
use crate::admission::{codes, path::Path};

/// The largest sum of the weights of one route.
const MAX_WEIGHTS: u64 = u32::MAX as u64;

/// The ways to rewrite a path; a route may have one.
const REWRITES: [&str; 3] = ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy"];

pub(super) fn configuration(configuration: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    headers(configuration, path, report);
    domains(configuration, path, report);
    plugins(configuration, path, report);
}

/// Reports a domain that occurs twice in a route configuration, and virtual hosts of one name.
fn domains(configuration: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let mut taken: HashMap<String, &str> = HashMap::new();
    let mut names: HashSet<&str> = HashSet::new();
    let path = &path.field("virtual_hosts");
    for (host_index, host) in fields::messages(configuration, "virtual_hosts") {
        let name = fields::text(host, "name");
        let path = &path.index(host_index);
        if !name.is_empty() && !names.insert(name) {
            let message = format!("two virtual hosts have the name \"{name}\": their statistics are one");
            report.warn(codes::VIRTUAL_HOSTS, &path.field("name"), message);
        }
        let path = &path.field("domains");
        for (index, domain) in fields::texts(host, "domains").enumerate() {
            // Folded as Envoy does: non-ASCII characters stay.
            let folded = domain.to_ascii_lowercase();
            let Some(first) = taken.get(&folded) else {
                taken.insert(folded, name);
                continue;
            };
            let message = format!("the domain \"{domain}\" is that of virtual host \"{first}\" already");
            report.error(codes::DOMAINS, &path.index(index), message);
        }
    }
}

/// Warns of routes that name a cluster specifier plugin which the configuration does not have.
fn plugins(configuration: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let known: HashSet<&str> = fields::messages(configuration, "cluster_specifier_plugins")
        .filter_map(|(_, plugin)| fields::message(plugin, "extension"))
        .map(|extension| fields::text(extension, "name"))
        .collect();
    let path = &path.field("virtual_hosts");
    for (host_index, host) in fields::messages(configuration, "virtual_hosts") {
        let path = &path.index(host_index);
        let path = &path.field("routes");
        for (index, route) in fields::messages(host, "routes") {
            let Some(action) = fields::message(route, "route") else {
                continue;
            };
            let plugin = fields::text(action, "cluster_specifier_plugin");
            if !plugin.is_empty() && !known.contains(plugin) {
                let path = &path.index(index);
                let path = &path.field("route");
                let message = format!("the route configuration has no cluster specifier plugin \"{plugin}\"");
                report.envoy_refuses(codes::NO_PLUGIN, &path.field("cluster_specifier_plugin"), message);
            }
        }
    }
}

pub(super) fn virtual_host(host: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    headers(host, path, report);
    if fields::has(host, "matcher") && fields::has(host, "routes") {
        report.envoy_refuses(codes::ROUTE, &path.field("matcher"), "both matcher and routes");
    }
}

/// Warns of changes to headers that Envoy does not let a configuration change.
pub(super) fn headers(message: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let untouchable = |name: &str| name.starts_with(':') || name.eq_ignore_ascii_case("host");
    for field in ["request_headers_to_add", "response_headers_to_add"] {
        let path = &path.field(field);
        for (index, option) in fields::messages(message, field) {
            let name = fields::message(option, "header").map_or("", |header| fields::text(header, "key"));
            if untouchable(name) {
                let path = &path.index(index);
                let path = &path.field("header");
                let message = format!("the header \"{name}\" may not be modified");
                report.envoy_refuses(codes::ROUTE, &path.field("key"), message);
            }
        }
    }
    for field in ["request_headers_to_remove", "response_headers_to_remove"] {
        let path = &path.field(field);
        for (index, name) in fields::texts(message, field).enumerate() {
            if untouchable(name) {
                let message = format!("the header \"{name}\" may not be removed");
                report.envoy_refuses(codes::ROUTE, &path.index(index), message);
            }
        }
    }
}

pub(super) fn action(action: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    filters::duplicate_upgrades(action, path, report);
    let given: Vec<&str> = REWRITES
        .into_iter()
        .filter(|field| fields::has(action, field))
        .collect();
    if let [_, second, ..] = given.as_slice() {
        let message = format!("only one of {} may be given", given.join(", "));
        report.envoy_refuses(codes::ROUTE, &path.field(second), message);
    }
}

pub(super) fn weighted(clusters: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let path = &path.field("clusters");
    let (mut sum, mut all_given) = (0, true);
    for (index, cluster) in fields::messages(clusters, "clusters") {
        let path = &path.index(index);
        headers(cluster, path, report);
        let weight = fields::wrapped(cluster, "weight");
        all_given &= weight.is_some();
        sum += weight.unwrap_or_default();
        match (fields::has(cluster, "name"), fields::has(cluster, "cluster_header")) {
            (true, true) => report.envoy_refuses(codes::WEIGHTS, path, "both name and cluster_header"),
            (false, false) => report.envoy_refuses(codes::WEIGHTS, path, "neither name nor cluster_header"),
            (true, false) | (false, true) => {}
        }
    }
    if all_given && sum == 0 {
        report.envoy_refuses(codes::WEIGHTS, path, "all weights together are 0");
    } else if sum > MAX_WEIGHTS {
        report.envoy_refuses(
            codes::WEIGHTS,
            path,
            format!("all weights together are more than {MAX_WEIGHTS}"),
        );
    }
}

pub(super) fn back_off(back_off: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let (base, most) = (
        fields::duration(back_off, "base_interval"),
        fields::duration(back_off, "max_interval"),
    );
    if let (Some(base), Some(most)) = (base, most)
        && most < base
    {
        report.envoy_refuses(codes::ROUTE, &path.field("max_interval"), "less than base_interval");
    }
}

/// Warns of scopes within a listener that do not include their routes.
pub(super) fn inline_scopes(scopes: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let Some(list) = fields::message(scopes, "scoped_route_configurations_list") else {
        return;
    };
    let path = &path.field("scoped_route_configurations_list");
    let path = &path.field("scoped_route_configurations");
    for (index, scope) in fields::messages(list, "scoped_route_configurations") {
        if fields::has(scope, "route_configuration_name") {
            let path = &path.index(index);
            let message = "a scope that is written out in the listener has its routes in route_configuration";
            report.envoy_refuses(codes::ROUTE, &path.field("route_configuration_name"), message);
        }
    }
}
