//! The needs of a new cluster before an Envoy has it warm, stored for the code that orders changes (O-5).

use prost_reflect::DynamicMessage;

use super::checks::fields;
use crate::resource::{Reference, ResourceType, Warming};

/// `Cluster.DiscoveryType`.
const STATIC: i32 = 0;
const EDS: i32 = 3;
const ORIGINAL_DST: i32 = 4;

/// The needs of the resource, as far as they show in its content.
pub(super) fn warming<'a>(
    resource_type: &ResourceType,
    message: &DynamicMessage,
    references: impl IntoIterator<Item = &'a Reference>,
) -> Warming {
    let is_plain = *resource_type == ResourceType::Cluster
        && fields::messages(message, "health_checks").next().is_none()
        // A custom cluster type warms by its own rules.
        && !fields::has(message, "cluster_type");
    let needs_other = |reference: &Reference| reference.resource_type != ResourceType::Endpoint;
    if !is_plain || references.into_iter().any(needs_other) {
        return Warming::Unseen;
    }
    match fields::enumeration(message, "type") {
        STATIC | ORIGINAL_DST => Warming::AtOnce,
        EDS => Warming::WithEndpoints,
        // The other types resolve host names.
        _ => Warming::Unseen,
    }
}
