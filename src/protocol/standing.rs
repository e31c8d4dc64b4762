//! Where the order of a change stands on a stream, for people: what waits, and what is held.

use std::time::Instant;

use super::{Session, policy::waits, type_state::TypeState};
use crate::{
    resource::{Resource, ResourceName, ResourceType},
    snapshot::Snapshot,
};

/// Held resources that are named.
const SAMPLE: usize = 16;

/// Where the order of a change stands (O-3, O-12, O-15).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Some of the resources whose change waits, at most 16, in send order.
    pub waits: Vec<Wait>,
    /// How many resources wait in all.
    pub waiting: usize,
    /// Some of what is gone and still left with the client, at most 16.
    pub holds: Vec<Hold>,
    /// How many resources are held in all.
    pub held: usize,
}

/// A resource whose change waits for others that it newly refers to (O-15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: ResourceName,
    /// What it waits for; never empty.
    pub on: Vec<Awaited>,
}

/// A resource that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: ResourceName,
    /// Why the client does not have it yet.
    pub reason: Awaiting,
}

/// Why a resource is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaiting {
    /// It was not sent yet.
    Unsent,
    /// It was sent, and the response was not answered yet: an Envoy answers once the cluster is warm (O-5).
    Unanswered,
    /// The client refused it.
    Refused,
}

/// A resource that is gone and left with the client for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: ResourceName,
    /// A resource that the client holds, or may hold, and that still names it.
    pub needed_by: Option<(ResourceType, ResourceName)>,
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
            needed_by: self
                .route_that_names(kind, name)
                .map(|route| (ResourceType::Route, route)),
        };
        let waits = self.waits(goal, now);
        Standing {
            waiting: waits.len(),
            waits,
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
                .map(|earlier| Awaited {
                    resource_type: earlier.kind.clone(),
                    name: "".into(),
                    reason: Awaiting::Unanswered,
                })
                .collect();
            if !on.is_empty() {
                found.push(Wait {
                    resource_type: state.kind.clone(),
                    name: "".into(),
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
