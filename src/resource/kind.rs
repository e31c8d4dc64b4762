//! The types of resources: the known ones in send order, and all others as opaque type URLs.

use std::{fmt, str::FromStr, sync::Arc};

const PREFIX: &str = "type.googleapis.com/";

/// The URL of a type that Chancery does not know.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeUrl(Arc<str>);

/// The type of a resource. The order of the variants is the order in which types are sent (O-1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster`, CDS.
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`, EDS.
    Endpoint,
    /// `envoy.config.endpoint.v3.LbEndpoint`, LEDS.
    LbEndpoint,
    /// `envoy.config.listener.v3.Listener`, LDS.
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`, RDS.
    Route,
    /// `envoy.config.route.v3.ScopedRouteConfiguration`, SRDS.
    ScopedRoute,
    /// `envoy.config.route.v3.VirtualHost`, VHDS.
    VirtualHost,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`, SDS.
    Secret,
    /// `envoy.service.runtime.v3.Runtime`, RTDS.
    Runtime,
    /// `envoy.config.core.v3.TypedExtensionConfig`, ECDS.
    ExtensionConfig,
    /// Any other type: stored and served, not interpreted.
    Other(TypeUrl),
}

/// A text that names no type of resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown resource type {0:?}: expected a type URL or one of cluster, endpoint, listener, route, scoped_route, virtual_host, secret, runtime, extension_config, lb_endpoint (or cds, eds, lds, …)"
)]
pub struct UnknownType(pub String);

// === impl TypeUrl ===

impl fmt::Display for TypeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TypeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl ResourceType ===

impl ResourceType {
    /// Every known type, in send order (O-1).
    pub const KNOWN: [Self; 10] = [
        Self::Cluster,
        Self::Endpoint,
        Self::LbEndpoint,
        Self::Listener,
        Self::Route,
        Self::ScopedRoute,
        Self::VirtualHost,
        Self::Secret,
        Self::Runtime,
        Self::ExtensionConfig,
    ];

    /// The type of a type URL; `None` if the text does not have the form `authority/message.Name`.
    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        if let Some(known) = Self::KNOWN.into_iter().find(|known| known.type_url() == url) {
            return Some(known);
        }
        let (authority, message) = url.rsplit_once('/')?;
        let well_formed = !authority.is_empty()
            && !message.is_empty()
            && message
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
        well_formed.then(|| Self::Other(TypeUrl(url.into())))
    }

    /// The type of a message's full name, as in `envoy.config.cluster.v3.Cluster`.
    #[must_use]
    pub fn from_message_name(name: &str) -> Self {
        let url = format!("{PREFIX}{name}");
        Self::from_type_url(&url).unwrap_or_else(|| Self::Other(TypeUrl(url.into())))
    }

    /// The full type URL, as on the wire.
    #[must_use]
    pub fn type_url(&self) -> &str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::LbEndpoint => "type.googleapis.com/envoy.config.endpoint.v3.LbEndpoint",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::ScopedRoute => "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Runtime => "type.googleapis.com/envoy.service.runtime.v3.Runtime",
            Self::ExtensionConfig => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Other(url) => &url.0,
        }
    }

    /// The full name of the message, without the URL's authority.
    #[must_use]
    pub fn message_name(&self) -> &str {
        let url = self.type_url();
        url.rsplit_once('/').map_or(url, |(_, message)| message)
    }

    /// The short name: `cluster`, `listener`, …; the type URL of unknown types.
    #[must_use]
    pub fn short_name(&self) -> &str {
        match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::LbEndpoint => "lb_endpoint",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::ScopedRoute => "scoped_route",
            Self::VirtualHost => "virtual_host",
            Self::Secret => "secret",
            Self::Runtime => "runtime",
            Self::ExtensionConfig => "extension_config",
            Self::Other(url) => &url.0,
        }
    }

    /// The name of the discovery service, as in `cds`.
    #[must_use]
    pub fn discovery_name(&self) -> &str {
        match self {
            Self::Cluster => "cds",
            Self::Endpoint => "eds",
            Self::LbEndpoint => "leds",
            Self::Listener => "lds",
            Self::Route => "rds",
            Self::ScopedRoute => "srds",
            Self::VirtualHost => "vhds",
            Self::Secret => "sds",
            Self::Runtime => "rtds",
            Self::ExtensionConfig => "ecds",
            Self::Other(url) => &url.0,
        }
    }
}

impl FromStr for ResourceType {
    type Err = UnknownType;

    /// Parses a short name (singular or plural), the name of a discovery service, or a type URL.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.to_ascii_lowercase().replace('-', "_");
        Self::KNOWN
            .into_iter()
            .find(|known| {
                let short = known.short_name();
                plain == short || plain == known.discovery_name() || plain.strip_suffix('s') == Some(short)
            })
            .or_else(|| match plain.as_str() {
                "cluster_load_assignment" | "load_assignment" => Some(Self::Endpoint),
                "route_configuration" => Some(Self::Route),
                "scoped_route_configuration" => Some(Self::ScopedRoute),
                "typed_extension_config" => Some(Self::ExtensionConfig),
                _ => Self::from_type_url(text),
            })
            .ok_or_else(|| UnknownType(text.to_owned()))
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

impl fmt::Debug for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_keep_send_order() {
        let mut sorted = ResourceType::KNOWN;
        sorted.sort();
        assert_eq!(sorted, ResourceType::KNOWN);
    }

    #[test]
    fn every_known_type_is_found_by_each_of_its_names() {
        for known in ResourceType::KNOWN {
            for name in [known.type_url(), known.short_name(), known.discovery_name()] {
                assert_eq!(name.parse::<ResourceType>(), Ok(known.clone()), "{name}");
            }
        }
    }

    #[test]
    fn malformed_type_urls_are_refused() {
        for url in ["", "cluster", "type.googleapis.com/", "/a.B", "a/b c", "a/\u{0}"] {
            assert_eq!(ResourceType::from_type_url(url), None, "{url:?}");
        }
    }

    #[test]
    fn unknown_type_url_is_an_opaque_type() {
        let other = ResourceType::from_type_url("type.googleapis.com/foo.Bar").unwrap();
        assert_eq!(other.type_url(), "type.googleapis.com/foo.Bar");
        assert_eq!(other.message_name(), "foo.Bar");
        assert!(other > ResourceType::ExtensionConfig);
    }
}
