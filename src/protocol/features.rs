//! What a client can take, read once per stream from what its node says of itself (F).

use super::Variant;
use crate::node::Node;

/// The client takes TTLs and heartbeats (T-1).
const TTL: &str = "xds.config.supports-resource-ttl";
/// The client takes wrapped resources in SotW; the documents and the clients spell it differently (T-1).
const WRAPPED: [&str; 2] = ["xds.config.resource-in-sotw", "xds.config.supports-resource-in-sotw"];

/// What a client can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// TTLs and heartbeats. A client without it would refuse a heartbeat (T-4), or drop for ever what expired.
    pub ttl: bool,
    /// SotW responses that hold nothing but errors of single resources (E-4). An Envoy takes such a response for an empty
    /// one, which it refuses for some types and acts on for others.
    pub bare_errors: bool,
    /// Delta responses are divided where they are large: gRPC's clients take messages of 4 MiB unless told otherwise, an
    /// Envoy takes any size (L-13).
    pub divided: bool,
    /// The client is an Envoy: it leaves a response of clusters unanswered while one of them warms (O-5), and asks for
    /// everything at once when it comes back.
    pub envoy: bool,
}

// === impl Features ===

impl Features {
    /// Reads them off the node; `ttl` sends TTLs whatever the node advertises.
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
