//! What a candidate became.

use std::{collections::BTreeMap, sync::Arc};

use super::{Finding, Places};
use crate::resource::{Resource, ResourceType};

/// The resources that a candidate became.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// The resources of each type that has some, sorted by name; names and aliases of a type differ.
    pub resources: BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    /// What is worth knowing about them: warnings only.
    pub findings: Vec<Finding>,
    /// Where they stand, for what is found of them later.
    pub places: Places,
}
