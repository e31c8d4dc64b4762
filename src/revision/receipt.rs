//! The result of a publish with an idempotency key, kept so that its retry gets the same answer.

use crate::{
    resource::{ContentHash, ResourceName, ResourceType, Version},
    snapshot::Revision,
};

/// The result of a publish, under its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The idempotency key, within the group.
    pub key: String,
    /// The hash of the request: the same key with another hash is another publish.
    pub request: ContentHash,
    /// The revision after the publish.
    pub revision: Revision,
    /// The publish made this revision.
    pub changed: bool,
    /// The changes of the publish.
    pub changes: Vec<ReceiptChange>,
}

/// The changes of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptChange {
    /// The type.
    pub resource_type: ResourceType,
    /// The version after the publish.
    pub version: Version,
    /// Names of new resources.
    pub added: Vec<ResourceName>,
    /// Names of resources with another content.
    pub changed: Vec<ResourceName>,
    /// Names of removed resources.
    pub removed: Vec<ResourceName>,
}
