//! What an Envoy needs before a new cluster is warm: noted with each cluster, for whoever orders changes (O-5).

use prost_reflect::DynamicMessage;

use super::checks::fields;
use crate::resource::{Reference, ResourceType, Warming};

/// `Cluster.DiscoveryType`.
const STATIC: i32 = 0;
const EDS: i32 = 3;
const ORIGINAL_DST: i32 = 4;

/// What the resource needs to be warm, where that shows from outside.
pub(super) fn warming<'a>(
    resource_type: &ResourceType,
    message: &DynamicMessage,
    references: impl IntoIterator<Item = &'a Reference>,
) -> Warming {
    let is_plain = *resource_type == ResourceType::Cluster
        && fields::messages(message, "health_checks").next().is_none()
        // A custom type warms by rules of its own.
        && !fields::has(message, "cluster_type");
    let needs_other = |reference: &Reference| reference.resource_type != ResourceType::Endpoint;
    if !is_plain || references.into_iter().any(needs_other) {
        return Warming::Unseen;
    }
    match fields::enumeration(message, "type") {
        STATIC | ORIGINAL_DST => Warming::AtOnce,
        EDS => Warming::WithEndpoints,
        // The others resolve names.
        _ => Warming::Unseen,
    }
}
