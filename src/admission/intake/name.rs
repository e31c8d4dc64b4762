//! Names of resources: the field that holds the name of each type, the fields of a wrapper, and valid names (W-5).

use std::time::Duration;

use prost_reflect::DynamicMessage;

use crate::{
    admission::{Limits, RawResource, codes, tree::Node},
    proto::discovery,
    resource::{ResourceName, ResourceType, xdstp},
};

/// The message that wraps a resource without a name field, or one with aliases or a TTL.
pub(super) const WRAPPER: &str = "envoy.service.discovery.v3.Resource";

/// The fields of a wrapper around a resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Envelope {
    pub(super) name: Option<String>,
    pub(super) aliases: Vec<String>,
    pub(super) ttl: Option<Duration>,
}

/// The place of the name of a type.
enum NameField {
    /// Always in this field of the resource.
    Own(&'static str),
    /// Only in the wrapper; a field `name` of the resource means something else.
    Wrapper,
    /// In `name` or `cluster_name`, if the message has one; else in the wrapper.
    Either,
}

/// An invalid name.
#[derive(Debug)]
pub(super) struct Misnamed {
    /// The field of the resource that holds the name; `None` if the wrapper holds it.
    pub(super) field: Option<&'static str>,
    pub(super) message: String,
}

/// The fields of a wrapper that are ignored.
pub(super) fn unused_parts(wrapper: &discovery::Resource) -> impl Iterator<Item = &'static str> {
    [
        ("resource_name", wrapper.resource_name.is_some()),
        ("cache_control", wrapper.cache_control.is_some()),
        ("metadata", wrapper.metadata.is_some()),
    ]
    .into_iter()
    .filter_map(|(part, given)| given.then_some(part))
}

/// The name that a tree seems to have, for findings before it is decoded.
pub(super) fn peek(envelope: &Envelope, node: &Node) -> Option<String> {
    let own = || {
        ["name", "cluster_name", "clusterName"]
            .into_iter()
            .find_map(|field| node.get(field)?.as_str())
    };
    envelope
        .name
        .clone()
        .or_else(|| own().filter(|name| !name.is_empty()).map(str::to_owned))
}

/// The field that always holds the name of this type.
pub(super) const fn own_field(resource_type: &ResourceType) -> Option<&'static str> {
    match name_field(resource_type) {
        NameField::Own(field) => Some(field),
        NameField::Wrapper | NameField::Either => None,
    }
}

/// The name in the resource itself; `None` if its type has none.
pub(super) fn own(resource_type: &ResourceType, message: &DynamicMessage) -> Option<String> {
    let field = |name: &str| text_field(message, name);
    match name_field(resource_type) {
        NameField::Own(name) => field(name),
        NameField::Wrapper => None,
        NameField::Either => field("name")
            .or_else(|| field("cluster_name"))
            .filter(|name| !name.is_empty()),
    }
}

/// The name and aliases of a resource, or the reason why they are invalid.
pub(super) fn name(
    resource_type: &ResourceType,
    message: &DynamicMessage,
    envelope: &Envelope,
    limits: &Limits,
) -> Result<(ResourceName, Vec<ResourceName>), Misnamed> {
    let own = own(resource_type, message);
    let field = own.as_ref().and_then(|_| own_field(resource_type));
    let named_in = |field| move |message| Misnamed { field, message };
    let name = match (&own, &envelope.name) {
        (Some(own), Some(outer)) if own != outer => {
            let message = format!("the wrapper names it \"{outer}\", the resource itself \"{own}\"");
            return Err(named_in(field)(message));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => {
            let wrapper = WRAPPER;
            let message = format!("no name: it is given in the wrapper {wrapper} (\"name\", \"resource\")");
            return Err(named_in(None)(message));
        }
    };
    check(name, "name", limits).map_err(named_in(field))?;
    for alias in &envelope.aliases {
        check(alias, "alias", limits).map_err(named_in(None))?;
    }
    let aliases = envelope.aliases.iter().map(|alias| canonical(alias)).collect();
    Ok((canonical(name), aliases))
}

/// The name in the form that clients are sent.
fn canonical(name: &str) -> ResourceName {
    let mut name = name.to_owned();
    xdstp::canonicalize(&mut name);
    name.into()
}

const fn name_field(resource_type: &ResourceType) -> NameField {
    match resource_type {
        ResourceType::Cluster
        | ResourceType::Listener
        | ResourceType::Route
        | ResourceType::ScopedRoute
        | ResourceType::Secret
        | ResourceType::Runtime
        | ResourceType::ExtensionConfig => NameField::Own("name"),
        ResourceType::Endpoint => NameField::Own("cluster_name"),
        ResourceType::VirtualHost | ResourceType::LbEndpoint => NameField::Wrapper,
        ResourceType::Other(_) => NameField::Either,
    }
}

fn text_field(message: &DynamicMessage, name: &str) -> Option<String> {
    let value = message.get_field_by_name(name)?;
    value.as_str().map(str::to_owned)
}

fn check(name: &str, what: &str, limits: &Limits) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if name.len() > limits.name_bytes {
        let (is, may) = (name.len(), limits.name_bytes);
        return Err(format!("the {what} has {is} bytes, more than the {may} it may have"));
    }
    if name == "*" {
        return Err(format!("the {what} is \"*\", which subscribes to everything (W-2)"));
    }
    if let Some(control) = name.chars().find(|c| c.is_control()) {
        return Err(format!("the {what} {name:?} has the control character {control:?}"));
    }
    Ok(())
}

// === impl Envelope ===

impl Envelope {
    /// The fields that came beside an encoded resource.
    pub(super) fn of_raw(raw: &RawResource) -> Self {
        Self {
            name: raw
                .name
                .as_ref()
                .map(ToString::to_string)
                .filter(|name| !name.is_empty()),
            aliases: raw.aliases.iter().map(ToString::to_string).collect(),
            ttl: raw.ttl,
        }
    }

    /// Merges in an inner wrapper; both may give the same name. The error is a code and a message.
    pub(super) fn merge(mut self, wrapper: &discovery::Resource) -> Result<Self, (&'static str, String)> {
        if !wrapper.name.is_empty() {
            if let Some(outer) = self.name.as_ref().filter(|outer| **outer != wrapper.name) {
                let inner = &wrapper.name;
                let message = format!("named \"{outer}\" outside and \"{inner}\" inside of the wrapper");
                return Err((codes::NAME, message));
            }
            self.name = Some(wrapper.name.clone());
        }
        self.aliases.extend(wrapper.aliases.iter().cloned());
        if let Some(ttl) = wrapper.ttl {
            let positive = Duration::try_from(ttl).ok().filter(|ttl| !ttl.is_zero());
            let ttl = positive.ok_or_else(|| (codes::WRAPPER, "ttl is not positive".to_owned()))?;
            self.ttl = Some(ttl);
        }
        Ok(self)
    }
}
