//! The result of an admission.

use std::{collections::BTreeMap, sync::Arc};

use super::{Finding, Places};
use crate::resource::{Resource, ResourceType};

/// The resources that a candidate became.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// The resources of each type that has some, sorted by name; names and aliases of a type differ.
    pub resources: BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    /// Findings in them: warnings only.
    pub findings: Vec<Finding>,
    /// Their places, for findings that come later.
    pub places: Places,
}
