//! What one response is known by, and how a stream carries it.

use super::Nonce;
use crate::{
    resource::{ResourceType, Version},
    snapshot::Revision,
};

/// One response, as records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its type.
    pub resource_type: ResourceType,
    /// Its `version_info` or `system_version_info`.
    pub version: Version,
    /// What its ACK will name.
    pub nonce: Nonce,
    /// The publish it brings the client to.
    pub revision: Revision,
}

/// How a stream carries state (XP "Four variants").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// State of the world: a response holds the current state.
    Sotw,
    /// Incremental: a response holds what changed.
    Delta,
}
