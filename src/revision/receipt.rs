//! What a publish with an idempotency key came to, kept so that its retry is answered alike.

use crate::{
    resource::{ContentHash, ResourceName, ResourceType, Version},
    snapshot::Revision,
};

/// A publish that is done, under the key that its publisher gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The publisher's name for the publish, within its group.
    pub key: String,
    /// The hash of what was asked for: the same key with another one is another publish.
    pub request: ContentHash,
    /// The revision that was current afterwards.
    pub revision: Revision,
    /// Whether the publish made it.
    pub changed: bool,
    /// What it changed.
    pub changes: Vec<ReceiptChange>,
}

/// How one type changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptChange {
    /// The type.
    pub resource_type: ResourceType,
    /// Its version afterwards.
    pub version: Version,
    /// Names that were new.
    pub added: Vec<ResourceName>,
    /// Names whose content became another.
    pub changed: Vec<ResourceName>,
    /// Names that went.
    pub removed: Vec<ResourceName>,
}
