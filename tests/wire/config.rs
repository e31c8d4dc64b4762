//! Short forms of configuration for the tests.

use std::fmt::Write as _;

use chancery::resource::ResourceType;

/// A resource of every configuration; a response with it proves that everything before it was processed.
pub(crate) const MARKER: &str = "marker";

const WRAPPER: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/// Resources of all types, as YAML.
#[derive(Clone, Debug)]
pub(crate) struct Config(String);

impl Config {
    /// A configuration with the marker only.
    pub(crate) fn new() -> Self {
        Self("resources:\n".to_owned()).with(&ResourceType::Runtime, MARKER, 0)
    }

    /// Adds a resource; another `content` gives it another version.
    pub(crate) fn with(mut self, kind: &ResourceType, name: &str, content: u16) -> Self {
        let port = 1000 + content;
        let fields = match kind {
            ResourceType::Cluster => format!("name: {name:?}, connect_timeout: {port}s"),
            ResourceType::Endpoint => format!(
                "cluster_name: {name:?}, endpoints: [{{lb_endpoints: [{}]}}]",
                lb_endpoint(port)
            ),
            ResourceType::Listener => format!(
                "name: {name:?}, stat_prefix: s{content}, address: {{socket_address: {{address: 127.0.0.1, port_value: 80}}}}"
            ),
            ResourceType::Route => format!("name: {name:?}, virtual_hosts: [{{name: h{content}, domains: ['*']}}]"),
            ResourceType::ScopedRoute => {
                format!("name: {name:?}, route_configuration_name: r, key: {{fragments: [{{string_key: k{content}}}]}}")
            }
            ResourceType::Secret => {
                format!("name: {name:?}, generic_secret: {{secret: {{inline_string: s{content}}}}}")
            }
            ResourceType::Runtime => format!("name: {name:?}, layer: {{number: {content}}}"),
            ResourceType::ExtensionConfig => format!(
                "name: {name:?}, typed_config: {{'@type': type.googleapis.com/google.protobuf.StringValue, value: v{content}}}"
            ),
            ResourceType::LbEndpoint => return self.wrapped(kind, name, &format!("endpoint: {}", endpoint(port))),
            ResourceType::VirtualHost => {
                return self.wrapped(kind, name, &format!("name: h{content}, domains: [{name:?}]"));
            }
            ResourceType::Other(_) => panic!("no such configuration"),
        };
        writeln!(self.0, "- {{'@type': {}, {fields}}}", kind.type_url()).unwrap();
        self
    }

    fn wrapped(mut self, kind: &ResourceType, name: &str, fields: &str) -> Self {
        let resource = format!("{{'@type': {}, {fields}}}", kind.type_url());
        writeln!(self.0, "- {{'@type': {WRAPPER}, name: {name:?}, resource: {resource}}}").unwrap();
        self
    }

    /// Adds a cluster that discovers its endpoints over ADS.
    pub(crate) fn eds_cluster(mut self, name: &str, content: u16) -> Self {
        let url = ResourceType::Cluster.type_url();
        writeln!(
            self.0,
            "- {{'@type': {url}, name: {name:?}, connect_timeout: {}s, type: EDS, eds_cluster_config: {{eds_config: {{ads: {{}}}}}}}}",
            1 + content
        )
        .unwrap();
        self
    }

    /// Adds a resource with exactly these fields.
    pub(crate) fn plain(mut self, kind: &ResourceType, fields: &str) -> Self {
        writeln!(self.0, "- {{'@type': {}, {fields}}}", kind.type_url()).unwrap();
        self
    }

    /// Adds a resource in a wrapper with a TTL.
    pub(crate) fn expiring(mut self, kind: &ResourceType, fields: &str, ttl: &str) -> Self {
        let resource = format!("{{'@type': {}, {fields}}}", kind.type_url());
        writeln!(self.0, "- {{'@type': {WRAPPER}, ttl: {ttl}, resource: {resource}}}").unwrap();
        self
    }

    /// Adds any message in a wrapper with its name.
    pub(crate) fn named(self, message: &str, name: &str, fields: &str) -> Self {
        let kind = ResourceType::from_message_name(message);
        self.wrapped(&kind, name, fields)
    }

    /// Adds a listener that discovers its routes over ADS.
    pub(crate) fn rds_listener(self, name: &str, mark: &str, routes: &str) -> Self {
        const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3";
        let rds = format!("{{route_config_name: {routes}, config_source: {{ads: {{}}}}}}");
        let manager = format!("{{'@type': {MANAGER}.HttpConnectionManager, stat_prefix: {mark}, rds: {rds}}}");
        let filter = format!("{{name: http, typed_config: {manager}}}");
        // Every listener has its own port: an Envoy would refuse the second one.
        let port = name
            .bytes()
            .fold(1000, |port, byte| (port * 31 + u32::from(byte)) % 60_000 + 1);
        let address = format!("{{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}");
        self.plain(
            &ResourceType::Listener,
            &format!("name: {name}, address: {address}, filter_chains: [{{filters: [{filter}]}}]"),
        )
    }

    /// Adds a route configuration with one route, to this cluster.
    pub(crate) fn route_to(self, name: &str, mark: &str, cluster: &str) -> Self {
        let route = format!("{{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}");
        self.plain(
            &ResourceType::Route,
            &format!("name: {name}, virtual_hosts: [{{name: {mark}, domains: ['*'], routes: [{route}]}}]"),
        )
    }

    pub(crate) fn to_yaml(&self) -> String {
        self.0.clone()
    }
}

fn endpoint(port: u16) -> String {
    format!("{{address: {{socket_address: {{address: 10.0.0.1, port_value: {port}}}}}}}")
}

fn lb_endpoint(port: u16) -> String {
    format!("{{endpoint: {}}}", endpoint(port))
}

/// Clusters with these contents.
pub(crate) fn clusters(of: &[(&str, u16)]) -> Config {
    all(&ResourceType::Cluster, of)
}

/// Resources of one type with these contents.
pub(crate) fn all(kind: &ResourceType, of: &[(&str, u16)]) -> Config {
    let mut config = Config::new();
    for (name, content) in of {
        config = config.with(kind, name, *content);
    }
    config
}
