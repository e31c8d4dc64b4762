//! The result of an admission.

use std::{collections::BTreeMap, sync::Arc};

use super::{Finding, Places};
use crate::resource::{Resource, ResourceType};

/// The admitted resources of a candidate.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// The resources of each type that has some, sorted by name. Names and aliases of a type are unique.
    pub resources: BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    /// The findings in the resources: warnings only.
    pub findings: Vec<Finding>,
    /// The places of the resources in their documents, for findings of later checks.
    pub places: Places,
}
