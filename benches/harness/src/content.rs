//! The published resources, of a given size, which pass Chancery's admission and Envoy's own checks.

use bytes::Bytes;
use prost::Message;

use crate::wire::{self, type_url};

/// One encoded resource, and its name.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) type_url: &'static str,
    pub(crate) name: String,
    pub(crate) value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Cluster {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    kind: i32,
    #[prost(message, optional, tag = "3")]
    eds_cluster_config: Option<EdsClusterConfig>,
    #[prost(message, optional, tag = "4")]
    connect_timeout: Option<Duration>,
    #[prost(string, tag = "28")]
    alt_stat_name: String,
    #[prost(message, optional, tag = "33")]
    load_assignment: Option<LoadAssignment>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Duration {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct EdsClusterConfig {
    #[prost(message, optional, tag = "1")]
    eds_config: Option<ConfigSource>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ConfigSource {
    #[prost(message, optional, tag = "3")]
    ads: Option<Ads>,
    #[prost(int32, tag = "6")]
    resource_api_version: i32,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Ads {}

#[derive(Clone, PartialEq, Message)]
struct LoadAssignment {
    #[prost(string, tag = "1")]
    cluster_name: String,
    #[prost(message, repeated, tag = "2")]
    endpoints: Vec<LocalityEndpoints>,
}

#[derive(Clone, PartialEq, Message)]
struct LocalityEndpoints {
    #[prost(message, repeated, tag = "2")]
    lb_endpoints: Vec<LbEndpoint>,
}

#[derive(Clone, PartialEq, Message)]
struct LbEndpoint {
    #[prost(message, optional, tag = "1")]
    endpoint: Option<Endpoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Endpoint {
    #[prost(message, optional, tag = "1")]
    address: Option<Address>,
    #[prost(string, tag = "3")]
    hostname: String,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket_address: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
struct SocketAddress {
    #[prost(string, tag = "2")]
    address: String,
    #[prost(uint32, tag = "3")]
    port_value: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Listener {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    address: Option<Address>,
    #[prost(message, repeated, tag = "3")]
    filter_chains: Vec<FilterChain>,
}

#[derive(Clone, PartialEq, Message)]
struct FilterChain {
    #[prost(message, repeated, tag = "3")]
    filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
struct Filter {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "4")]
    typed_config: Option<wire::Any>,
}

#[derive(Clone, PartialEq, Message)]
struct ConnectionManager {
    #[prost(string, tag = "2")]
    stat_prefix: String,
    #[prost(message, optional, tag = "3")]
    rds: Option<Rds>,
    #[prost(message, repeated, tag = "5")]
    http_filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
struct Rds {
    #[prost(message, optional, tag = "1")]
    config_source: Option<ConfigSource>,
    #[prost(string, tag = "2")]
    route_config_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct RouteConfiguration {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    virtual_hosts: Vec<VirtualHost>,
}

#[derive(Clone, PartialEq, Message)]
struct VirtualHost {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    domains: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    routes: Vec<Route>,
}

#[derive(Clone, PartialEq, Message)]
struct Route {
    #[prost(message, optional, tag = "1")]
    matching: Option<RouteMatch>,
    #[prost(message, optional, tag = "2")]
    route: Option<RouteAction>,
}

#[derive(Clone, PartialEq, Message)]
struct RouteMatch {
    #[prost(string, tag = "1")]
    prefix: String,
}

#[derive(Clone, PartialEq, Message)]
struct RouteAction {
    #[prost(string, tag = "1")]
    cluster: String,
}

const V3: i32 = 2;
const STRICT_DNS: i32 = 1;
const EDS: i32 = 3;

/// Name of cluster `number`, and of its endpoints.
pub(crate) fn cluster_name(number: usize) -> String {
    format!("cluster-{number:06}")
}

/// Name of route configuration `number`.
pub(crate) fn route_name(number: usize) -> String {
    format!("route-{number:03}")
}

/// A cluster without references, of `size` encoded bytes; every `edition` of it differs.
pub(crate) fn cluster(number: usize, edition: u64, size: usize) -> Item {
    let name = cluster_name(number);
    let load_assignment = LoadAssignment {
        cluster_name: name.clone(),
        endpoints: vec![LocalityEndpoints {
            lb_endpoints: (0..3).map(|host| lb_endpoint(number, host, "")).collect(),
        }],
    };
    let mut cluster = Cluster {
        name: name.clone(),
        kind: STRICT_DNS,
        connect_timeout: Some(Duration { seconds: 1 }),
        load_assignment: Some(load_assignment),
        ..Cluster::default()
    };
    cluster.alt_stat_name = filling(edition, size.saturating_sub(cluster.encoded_len() + 4));
    item(type_url::CLUSTER, name, &cluster)
}

/// A cluster with discovered endpoints, over ADS.
pub(crate) fn eds_cluster(number: usize, edition: u64, size: usize) -> Item {
    let name = cluster_name(number);
    let mut cluster = Cluster {
        name: name.clone(),
        kind: EDS,
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(over_ads()),
        }),
        connect_timeout: Some(Duration { seconds: 1 }),
        ..Cluster::default()
    };
    cluster.alt_stat_name = filling(edition, size.saturating_sub(cluster.encoded_len() + 4));
    item(type_url::CLUSTER, name, &cluster)
}

/// The endpoints of cluster `number`.
pub(crate) fn endpoints(number: usize, edition: u64, size: usize) -> Item {
    let name = cluster_name(number);
    let mut assignment = LoadAssignment {
        cluster_name: name.clone(),
        endpoints: vec![LocalityEndpoints { lb_endpoints: vec![] }],
    };
    // An endpoint with a host name of 40 bytes is some 70 bytes.
    let many = (size / 70).max(1);
    for host in 0..many {
        let hostname = filling(edition, 40);
        let endpoint = lb_endpoint(number, host, &hostname);
        assignment.endpoints[0].lb_endpoints.push(endpoint);
    }
    item(type_url::ENDPOINT, name, &assignment)
}

/// A listener that discovers its routes from route configuration `number`.
pub(crate) fn listener(number: usize) -> Item {
    let name = format!("listener-{number:03}");
    let manager = ConnectionManager {
        stat_prefix: name.clone(),
        rds: Some(Rds {
            config_source: Some(over_ads()),
            route_config_name: route_name(number),
        }),
        http_filters: vec![filter("envoy.filters.http.router", type_url::ROUTER, Bytes::new())],
    };
    let manager = Bytes::from(manager.encode_to_vec());
    let chain = FilterChain {
        filters: vec![filter(
            "envoy.filters.network.http_connection_manager",
            type_url::CONNECTION_MANAGER,
            manager,
        )],
    };
    let port = u32::try_from(10_000 + number).expect("a few listeners");
    let listener = Listener {
        name: name.clone(),
        address: Some(address("0.0.0.0".to_owned(), port)),
        filter_chains: vec![chain],
    };
    item(type_url::LISTENER, name, &listener)
}

/// Route configuration `number`: a hundred prefixes, each with its cluster.
pub(crate) fn routes(number: usize, clusters: usize) -> Item {
    let name = route_name(number);
    let to = |index: usize| Route {
        matching: Some(RouteMatch {
            prefix: format!("/service-{index}/"),
        }),
        route: Some(RouteAction {
            cluster: cluster_name((number * 100 + index) % clusters),
        }),
    };
    let configuration = RouteConfiguration {
        name: name.clone(),
        virtual_hosts: vec![VirtualHost {
            name: "all".to_owned(),
            domains: vec!["*".to_owned()],
            routes: (0..100).map(to).collect(),
        }],
    };
    item(type_url::ROUTE, name, &configuration)
}

fn item(type_url: &'static str, name: String, message: &impl Message) -> Item {
    Item {
        type_url,
        name,
        value: message.encode_to_vec().into(),
    }
}

fn filter(name: &str, type_url: &str, value: Bytes) -> Filter {
    Filter {
        name: name.to_owned(),
        typed_config: Some(wire::Any {
            type_url: type_url.to_owned(),
            value,
        }),
    }
}

const fn over_ads() -> ConfigSource {
    ConfigSource {
        ads: Some(Ads {}),
        resource_api_version: V3,
    }
}

fn lb_endpoint(number: usize, host: usize, hostname: &str) -> LbEndpoint {
    let ip = format!("10.{}.{}.{}", number / 250 % 250, number % 250, 1 + host % 250);
    LbEndpoint {
        endpoint: Some(Endpoint {
            address: Some(address(ip, 8080)),
            hostname: hostname.to_owned(),
        }),
    }
}

fn address(ip: String, port: u32) -> Address {
    Address {
        socket_address: Some(SocketAddress {
            address: ip,
            port_value: port,
        }),
    }
}

/// `len` bytes that differ with the edition; at least the digits of the edition.
fn filling(edition: u64, len: usize) -> String {
    let mut text = format!("{edition:08}");
    while text.len() < len {
        text.push_str("-abcdefghijklmnopqrstuvwxyz012345");
    }
    text.truncate(len.max(8));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_have_the_size_asked_for_and_editions_differ() {
        for size in [370, 1000, 10_000] {
            let item = cluster(7, 1, size);
            assert!(item.value.len().abs_diff(size) <= 2, "{} for {size}", item.value.len());
            assert_ne!(item.value, cluster(7, 2, size).value);
        }
        assert_ne!(endpoints(7, 1, 370).value, endpoints(7, 2, 370).value);
    }
}
