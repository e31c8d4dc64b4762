//! The places of admitted resources and of their references in documents, for the findings of group checks.

use std::collections::HashMap;

use super::{
    Finding, Place,
    finding::{Position, Subject},
};
use crate::resource::{Reference, ResourceName, ResourceType};

/// The places of the resources of one candidate.
#[derive(Clone, Debug, Default)]
pub struct Places {
    resources: HashMap<(ResourceType, ResourceName), Located>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Located {
    pub(super) document: Option<String>,
    pub(super) at: Position,
    pub(super) references: Vec<(Reference, Mention)>,
}

/// The first place in a resource that makes a reference.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) field: Option<String>,
    pub(super) at: Position,
}

// === impl Places ===

impl Places {
    pub(super) fn add(&mut self, resource_type: &ResourceType, name: &ResourceName, located: Located) {
        self.resources.insert((resource_type.clone(), name.clone()), located);
    }

    /// The place of a resource; `None` for one from the API, or from an earlier publish.
    #[must_use]
    pub fn of_resource(&self, resource_type: &ResourceType, name: &ResourceName) -> Option<Place> {
        let located = self.get(resource_type, name)?;
        located.place(located.at)
    }

    /// Sets the place and field of a finding to those of a reference, as far as they are known.
    pub(super) fn locate(
        &self,
        resource_type: &ResourceType,
        name: &ResourceName,
        reference: &Reference,
        finding: &mut Finding,
    ) {
        let Some(located) = self.get(resource_type, name) else {
            return;
        };
        let mention = located.references.iter().find(|(made, _)| made == reference);
        finding.place = located.place(mention.map_or(located.at, |(_, mention)| mention.at));
        finding.field = mention.and_then(|(_, mention)| mention.field.clone());
    }

    fn get(&self, resource_type: &ResourceType, name: &ResourceName) -> Option<&Located> {
        // Most publishes come through the API, or change few resources of many.
        if self.resources.is_empty() {
            return None;
        }
        self.resources.get(&(resource_type.clone(), name.clone()))
    }
}

// === impl Located ===

impl Located {
    fn place(&self, at: Position) -> Option<Place> {
        let subject = Subject {
            document: self.document.as_deref(),
            ..Subject::default()
        };
        subject.place(at)
    }
}
