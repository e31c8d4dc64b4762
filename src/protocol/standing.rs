//! Where the order of a change stands on a stream, for people: what waits, and what is held.

use std::time::Instant;

use super::{Session, policy::waits, type_state::TypeState};
use crate::{
    resource::{Resource, ResourceName, ResourceType},
    snapshot::Snapshot,
};

/// Held resources that are named.
const SAMPLE: usize = 16;

/// Where the order of a change stands (O-3, O-12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Types whose changes wait, in send order.
    pub waits: Vec<Wait>,
    /// Some of what is gone and still left with the client, at most 16.
    pub holds: Vec<Hold>,
    /// How many resources are held in all.
    pub held: usize,
}

/// A type whose changes wait for earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which type.
    pub resource_type: ResourceType,
    /// The types of what is not ACKed yet.
    pub on: Vec<ResourceType>,
}

/// A resource that is gone and left with the client for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: ResourceName,
    /// The route configuration that still names it and is still asked for; known once nothing but removals is left to do.
    pub needed_by: Option<ResourceName>,
}

impl Session {
    /// What waits and what is held now.
    pub(super) fn standing(&self, goal: &Snapshot, now: Instant) -> Standing {
        if !self.is_ordered() {
            return Standing::default();
        }
        let held = self.types.iter().flat_map(|state| {
            let kind = &state.kind;
            state.retained.keys().map(move |name| (kind, name))
        });
        let hold = |(kind, name): (&ResourceType, &ResourceName)| Hold {
            resource_type: kind.clone(),
            name: name.clone(),
            needed_by: self.route_that_names(kind, name),
        };
        Standing {
            waits: self.waits(goal, now),
            holds: held.take(SAMPLE).map(hold).collect(),
            held: self.types.iter().map(|state| state.retained.len()).sum(),
        }
    }

    fn waits(&self, goal: &Snapshot, now: Instant) -> Vec<Wait> {
        let mut found = Vec::new();
        for (index, state) in self.types.iter().enumerate() {
            if !waits(&state.kind) || state.base.is_none() || !state.has_news(goal) {
                continue;
            }
            let on: Vec<_> = self
                .holding_up(index, goal, now)
                .map(|earlier| earlier.kind.clone())
                .collect();
            if !on.is_empty() {
                found.push(Wait {
                    resource_type: state.kind.clone(),
                    on,
                });
            }
        }
        found
    }

    fn route_that_names(&self, kind: &ResourceType, name: &ResourceName) -> Option<ResourceName> {
        if *kind != ResourceType::Cluster || !self.is_made {
            return None;
        }
        let routes = self.types.iter().find(|state| state.kind == ResourceType::Route)?;
        let mut asked_for = routes.client_has();
        let names_it = asked_for.find(|route| route.references_to(kind).any(|referred| referred == name));
        names_it.map(|route| route.name.clone())
    }
}

impl TypeState {
    /// The resources asked for by name that the client may use, those included that are gone.
    pub(super) fn client_has(&self) -> impl Iterator<Item = &Resource> {
        let base = self.base();
        let named = self.subscription.names().iter();
        let present = named.filter_map(move |name| base?.get(name.as_str()).map(AsRef::as_ref));
        let gone = self.drained.values().chain(self.retained.values());
        present.chain(gone.map(|gone| gone.resource.as_ref()))
    }
}
