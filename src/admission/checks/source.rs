//! Config sources, by which a resource requests others.

use prost_reflect::DynamicMessage;

use super::{Report, fields};
use crate::admission::{codes, path::Path};

/// `ApiConfigSource.ApiType`.
const REST: i32 = 1;
const GRPC: [i32; 4] = [2, 3, 5, 6];
/// API types that use a server of their own instead of the ADS server.
const STREAMS: [i32; 2] = [2, 3];
/// `ApiVersion.V2`.
const V2: i32 = 1;

pub(super) fn check(source: &DynamicMessage, path: &Path<'_>, report: &mut dyn Report) {
    let kind = fields::enumeration(source, "api_type");
    if kind == REST && !fields::has(source, "refresh_delay") {
        report.envoy_refuses(
            codes::SOURCE,
            &path.field("refresh_delay"),
            "api_type REST without a refresh_delay",
        );
    }
    if GRPC.contains(&kind) && !fields::list(source, "cluster_names").is_empty() {
        let message = "cluster_names is for api_type REST; gRPC has its cluster in grpc_services";
        report.envoy_refuses(codes::SOURCE, &path.field("cluster_names"), message);
    }
    if kind == REST && fields::list(source, "cluster_names").is_empty() {
        let message = "api_type REST without a cluster to ask";
        report.envoy_refuses(codes::SOURCE, &path.field("cluster_names"), message);
    }
    if STREAMS.contains(&kind) && fields::list(source, "grpc_services").is_empty() {
        let message = "api_type GRPC or DELTA_GRPC without a service to ask";
        report.envoy_refuses(codes::SOURCE, &path.field("grpc_services"), message);
    }
    if fields::enumeration(source, "transport_api_version") == V2 {
        let message = "version 2 of xDS is gone";
        report.envoy_refuses(codes::SOURCE, &path.field("transport_api_version"), message);
    }
}
