//! Clusters: the discovery type, the load balancing policy, and fields that must fit them.

use prost_reflect::DynamicMessage;

use super::{Report, endpoint, fields};
use crate::admission::{any, codes, inspect, path::Path};

const AGGREGATE: &str = "envoy.extensions.clusters.aggregate.v3.ClusterConfig";

/// `Cluster.LbPolicy`.
const CLUSTER_PROVIDED: i32 = 6;
const LOAD_BALANCING_POLICY_CONFIG: i32 = 7;

/// `Cluster.DiscoveryType`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discovery {
    Static,
    StrictDns,
    LogicalDns,
    Eds,
    OriginalDst,
    /// A `cluster_type`, by the name of its configuration message.
    Custom,
}

pub(super) fn check(cluster: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let Some(discovery) = Discovery::of(cluster) else {
        return;
    };
    eds(cluster, discovery, path, report);
    endpoints(cluster, discovery, path, report);
    load_balancing(cluster, discovery, path, report);
}

/// The clusters of an aggregate cluster, in order; empty for another cluster.
pub(super) fn aggregated(cluster: &DynamicMessage) -> Vec<String> {
    let Some(custom) = fields::message(cluster, "cluster_type") else {
        return Vec::new();
    };
    let Some(any) = fields::message(custom, "typed_config") else {
        return Vec::new();
    };
    let (type_url, value) = any::parts(any);
    if type_url.rsplit_once('/').map(|(_, name)| name) != Some(AGGREGATE) {
        return Vec::new();
    }
    match inspect::decode(&type_url, value) {
        Ok(config) => fields::texts(&config, "clusters").map(str::to_owned).collect(),
        Err(_) => Vec::new(),
    }
}

fn eds(cluster: &DynamicMessage, discovery: Discovery, path: &Path<'_>, report: &mut dyn Report) {
    let config = fields::message(cluster, "eds_cluster_config");
    match (discovery, config) {
        (Discovery::Eds, config) if config.is_none_or(|config| !fields::has(config, "eds_config")) => {
            let path = &path.field("eds_cluster_config");
            report.envoy_refuses(
                codes::CLUSTER,
                path,
                "type EDS without an eds_config to ask for the endpoints",
            );
        }
        (Discovery::Eds, _) if fields::has(cluster, "load_assignment") => {
            let path = &path.field("load_assignment");
            report.warn(
                codes::CLUSTER,
                path,
                "type EDS takes its endpoints from EDS: this is not used",
            );
        }
        (Discovery::Static | Discovery::StrictDns | Discovery::LogicalDns | Discovery::OriginalDst, Some(_)) => {
            let path = &path.field("eds_cluster_config");
            report.envoy_refuses(
                codes::CLUSTER,
                path,
                "eds_cluster_config in a cluster that is not of type EDS",
            );
        }
        (_, _) => {}
    }
}

fn endpoints(cluster: &DynamicMessage, discovery: Discovery, path: &Path<'_>, report: &mut dyn Report) {
    let assignment = fields::message(cluster, "load_assignment");
    let count = assignment.map_or(0, endpoint::count);
    let path = &path.field("load_assignment");
    match (discovery, assignment) {
        (Discovery::Static, Some(assignment)) if count > 0 => {
            endpoint::must_be_ips(assignment, path, "a cluster of type STATIC", report);
        }
        (Discovery::LogicalDns, _) if count != 1 => {
            let message = format!("type LOGICAL_DNS with {count} endpoints, where it has exactly one");
            report.envoy_refuses(codes::CLUSTER, path, message);
        }
        (Discovery::OriginalDst, Some(_)) => {
            report.envoy_refuses(codes::CLUSTER, path, "type ORIGINAL_DST with a load_assignment");
        }
        (_, _) => {}
    }
}

fn load_balancing(cluster: &DynamicMessage, discovery: Discovery, path: &Path<'_>, report: &mut dyn Report) {
    let policy = fields::enumeration(cluster, "lb_policy");
    let by_config = fields::has(cluster, "load_balancing_policy");
    if policy == LOAD_BALANCING_POLICY_CONFIG && !by_config {
        let path = &path.field("load_balancing_policy");
        report.envoy_refuses(
            codes::CLUSTER,
            path,
            "lb_policy LOAD_BALANCING_POLICY_CONFIG without this",
        );
    }
    if let Some(ring) = fields::message(cluster, "ring_hash_lb_config")
        && let (Some(least), Some(most)) = (
            fields::wrapped(ring, "minimum_ring_size"),
            fields::wrapped(ring, "maximum_ring_size"),
        )
        && least > most
    {
        let path = &path.field("ring_hash_lb_config");
        let message = format!("minimum_ring_size {least} is more than maximum_ring_size {most}");
        report.envoy_refuses(codes::CLUSTER, path, message);
    }
    if by_config {
        return;
    }
    let path = &path.field("lb_policy");
    let provided = policy == CLUSTER_PROVIDED;
    match discovery {
        Discovery::OriginalDst if !provided => {
            report.envoy_refuses(
                codes::CLUSTER,
                path,
                "type ORIGINAL_DST needs lb_policy CLUSTER_PROVIDED",
            );
        }
        Discovery::Static | Discovery::StrictDns | Discovery::LogicalDns | Discovery::Eds if provided => {
            let message = "lb_policy CLUSTER_PROVIDED, and this type of cluster provides none";
            report.envoy_refuses(codes::CLUSTER, path, message);
        }
        Discovery::Custom if !provided && !aggregated(cluster).is_empty() => {
            report.envoy_refuses(
                codes::CLUSTER,
                path,
                "an aggregate cluster needs lb_policy CLUSTER_PROVIDED",
            );
        }
        Discovery::Static
        | Discovery::StrictDns
        | Discovery::LogicalDns
        | Discovery::Eds
        | Discovery::OriginalDst
        | Discovery::Custom => {}
    }
}

// === impl Discovery ===

impl Discovery {
    /// The discovery type of a cluster; `None` for one that this server's protos do not have.
    fn of(cluster: &DynamicMessage) -> Option<Self> {
        if fields::has(cluster, "cluster_type") {
            return Some(Self::Custom);
        }
        Some(match fields::enumeration(cluster, "type") {
            0 => Self::Static,
            1 => Self::StrictDns,
            2 => Self::LogicalDns,
            3 => Self::Eds,
            4 => Self::OriginalDst,
            _ => return None,
        })
    }
}
