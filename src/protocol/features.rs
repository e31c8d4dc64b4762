//! Features of a client, read once per stream from its node (F).

use super::Variant;
use crate::node::Node;

/// The client takes TTLs and heartbeats (T-1).
const TTL: &str = "xds.config.supports-resource-ttl";
/// The client takes wrapped resources in SotW (T-1). Envoy's documents and its clients spell this feature differently.
const WRAPPED: [&str; 2] = ["xds.config.resource-in-sotw", "xds.config.supports-resource-in-sotw"];

/// Features of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// TTLs and heartbeats. A client without them refuses a heartbeat (T-4), or loses expired resources for ever.
    pub ttl: bool,
    /// The client takes SotW responses that hold nothing but errors of single resources (E-4). An Envoy reads such a
    /// response as an empty one: it refuses that for some types, and deletes resources for others.
    pub bare_errors: bool,
    /// Large delta responses are split: gRPC clients take messages of 4 MiB by default, an Envoy any size (L-13).
    pub divided: bool,
    /// The client is an Envoy: it leaves a response of clusters unanswered while one of them warms (O-5), and asks for
    /// everything at once when it reconnects.
    pub envoy: bool,
}

// === impl Features ===

impl Features {
    /// Reads the features of a node. With `ttl`, TTLs are sent whatever the node advertises.
    #[must_use]
    pub fn of(node: &Node, variant: Variant, ttl: bool) -> Self {
        let advertises = |feature: &str| node.client_features.iter().any(|known| known == feature);
        let wrapped = || WRAPPED.into_iter().any(advertises);
        let is_grpc = node.user_agent.starts_with("gRPC");
        Self {
            ttl: ttl || (advertises(TTL) && (variant == Variant::Delta || wrapped())),
            bare_errors: is_grpc,
            divided: is_grpc,
            envoy: node.user_agent.starts_with("envoy"),
        }
    }
}
