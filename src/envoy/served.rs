//! The resources to be examined.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::resource::ResourceType;

/// The resources that a node is given, as JSON with `@type`, by type and name.
#[derive(Clone, Debug, Default)]
pub struct Served {
    resources: BTreeMap<ResourceType, BTreeMap<String, Value>>,
}

// === impl Served ===

impl Served {
    /// Adds a resource, in place of one of the same type and name.
    pub fn insert(&mut self, resource_type: ResourceType, name: impl Into<String>, json: Value) {
        self.resources
            .entry(resource_type)
            .or_default()
            .insert(name.into(), json);
    }

    /// Removes a resource.
    pub fn remove(&mut self, resource_type: &ResourceType, name: &str) {
        if let Some(names) = self.resources.get_mut(resource_type) {
            names.remove(name);
        }
    }

    pub(super) fn get(&self, resource_type: &ResourceType, name: &str) -> Option<&Value> {
        self.resources.get(resource_type)?.get(name)
    }

    pub(super) fn of(&self, resource_type: &ResourceType) -> impl Iterator<Item = (&String, &Value)> {
        self.resources.get(resource_type).into_iter().flatten()
    }
}
