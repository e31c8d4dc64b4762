//! The places that a resource claims: that of which a client takes only one, and refuses whoever comes second (O-17).
//!
//! Admission notes them with each resource; whoever orders changes reads them. Nothing here says that two resources clash.
//!
//! Envoy 1.40 refuses twice: a listener's address ("has duplicate address"), a scope's key ("scope key conflict"), and a
//! virtual host's domain within its route configuration ("Only unique values for domains are permitted"). All else it tells
//! apart by name.

use prost_reflect::DynamicMessage;

use super::checks::{self, fields};
use crate::resource::{Place, ResourceName, ResourceType};

/// What a resource claims, sorted, without duplicates.
pub(super) fn places(resource_type: &ResourceType, name: &ResourceName, message: &DynamicMessage) -> Box<[Place]> {
    let mut places = match resource_type {
        ResourceType::Listener => addresses(message),
        ResourceType::ScopedRoute => key(message).into_iter().collect(),
        ResourceType::VirtualHost => domains(name, message),
        ResourceType::Cluster
        | ResourceType::Endpoint
        | ResourceType::LbEndpoint
        | ResourceType::Route
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig
        | ResourceType::Other(_) => Vec::new(),
    };
    places.sort();
    places.dedup();
    places.into()
}

/// Envoy looks for the address at every listener of the same protocol, whether it binds, drains or shares its port.
fn addresses(listener: &DynamicMessage) -> Vec<Place> {
    let bound = checks::addresses_of(listener);
    bound.iter().map(|bound| Place::from(bound.place())).collect()
}

/// Envoy compares the fragments in their order. Without any a key equals no other.
fn key(scope: &DynamicMessage) -> Option<Place> {
    let fragments = fields::messages(fields::message(scope, "key")?, "fragments");
    // In quotes, so that no two sequences read alike.
    let fragments: Vec<String> = fragments
        .map(|(_, fragment)| format!("{:?}", fields::text(fragment, "string_key")))
        .collect();
    (!fragments.is_empty()).then(|| Place::from(format!("key {}", fragments.join(" "))))
}

/// Envoy folds the case of ASCII. A virtual host belongs to the route configuration that its name begins with.
fn domains(name: &ResourceName, host: &DynamicMessage) -> Vec<Place> {
    let Some((route, _)) = name.as_str().rsplit_once('/') else {
        return Vec::new();
    };
    let domains = fields::texts(host, "domains");
    domains
        .map(|domain| Place::from(format!("{route} domain {}", domain.to_ascii_lowercase())))
        .collect()
}
