//! The resources to render.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::resource::ResourceType;

/// The resources that nodes of a group are served, by type and name.
pub(super) type Served = BTreeMap<ResourceType, BTreeMap<String, Value>>;
