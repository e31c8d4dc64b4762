//! The identity of one response, and the two variants of a stream.

use super::Nonce;
use crate::{
    resource::{ResourceType, Version},
    snapshot::Revision,
};

/// The identity of one response, as records keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The type of the response.
    pub resource_type: ResourceType,
    /// The `version_info` or `system_version_info` of the response.
    pub version: Version,
    /// The nonce that its ACK will repeat.
    pub nonce: Nonce,
    /// The publish that the response brings to the client.
    pub revision: Revision,
}

/// The variant of a stream (xDS protocol, "Four Variants").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// State of the world: a response holds the current state.
    Sotw,
    /// Incremental: a response holds what changed.
    Delta,
}
