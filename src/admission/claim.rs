//! The places that a resource claims. A client refuses a second resource that claims a place (O-17).
//!
//! Admission stores them with each resource for the code that orders changes. This module compares no resources.
//!
//! Envoy 1.40 refuses a second listener with an address ("has duplicate address"), a second scope with a key ("scope
//! key conflict"), and a second virtual host with a domain in one route configuration ("Only unique values for domains
//! are permitted"). It distinguishes everything else by name.

use prost_reflect::DynamicMessage;

use super::checks::{self, fields};
use crate::resource::{Place, ResourceName, ResourceType};

/// The places that a resource claims, sorted and without duplicates.
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

/// Envoy compares with all listeners of the same protocol, whether they bind, drain or share their port.
fn addresses(listener: &DynamicMessage) -> Vec<Place> {
    let bound = checks::addresses_of(listener);
    bound.iter().map(|bound| Place::from(bound.place())).collect()
}

/// Envoy compares the fragments in order. A key without fragments equals no other.
fn key(scope: &DynamicMessage) -> Option<Place> {
    let fragments = fields::messages(fields::message(scope, "key")?, "fragments");
    // Quoted, so that different sequences give different texts.
    let fragments: Vec<String> = fragments
        .map(|(_, fragment)| format!("{:?}", fields::text(fragment, "string_key")))
        .collect();
    (!fragments.is_empty()).then(|| Place::from(format!("key {}", fragments.join(" "))))
}

/// Envoy folds the case of ASCII letters. A virtual host belongs to the route configuration that its name begins with.
fn domains(name: &ResourceName, host: &DynamicMessage) -> Vec<Place> {
    let Some((route, _)) = name.as_str().rsplit_once('/') else {
        return Vec::new();
    };
    let domains = fields::texts(host, "domains");
    domains
        .map(|domain| Place::from(format!("{route} domain {}", domain.to_ascii_lowercase())))
        .collect()
}
