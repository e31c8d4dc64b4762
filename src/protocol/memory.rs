//! The state that a node last ACKed, kept from a stream that ended for the node's next stream: make before break holds
//! across a reconnect (O-19). The owner of the memories bounds them. Without one, a session knows only what the client
//! presents.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use crate::{
    protocol::{
        Contents,
        policy::{applies_valid_part, is_full_state},
        type_state::{Exceptions, Held, Purpose, Retained, Sent, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::{Snapshot, TypeResources},
};

/// The state that a node last ACKed, by type.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(super) types: BTreeMap<ResourceType, TypeMemory>,
}

/// The number of snapshots that are remembered of one type, beside the ACKed one.
pub(super) const ORIGINS: usize = 6;

/// The state that a node last ACKed of one type.
#[derive(Clone, Debug)]
pub(super) struct TypeMemory {
    /// `None` where nothing was ACKed yet, and nothing of a refused response was applied.
    pub(super) acked: Option<Arc<Snapshot>>,
    /// A response was ACKed, so the node presents its version.
    pub(super) presents: bool,
    /// The time of the last poll of the stream that left this memory.
    pub(super) at: Instant,
    /// Names under which the node holds something else than the snapshot says.
    pub(super) held: BTreeMap<ResourceName, Held>,
    /// Resources of `held` and `retained` that the node applied from refused responses: it presents no version of them.
    pub(super) taken: Vec<Arc<Resource>>,
    /// Resources that the node holds, or may hold, and that the snapshot does not have.
    pub(super) retained: BTreeMap<ResourceName, Retained>,
    /// Route configurations that the node's draining listeners use.
    pub(super) drained: BTreeMap<ResourceName, Arc<Resource>>,
    /// States that were sent and not answered: the node may come back with one of them.
    pub(super) unanswered: Vec<Unanswered>,
    /// Other snapshots that the node's resources may come from.
    pub(super) origins: Vec<Arc<Snapshot>>,
}

/// A state that a node refused in part and did not ACK: the first state that the node has.
struct Settled<'a> {
    snapshot: &'a Arc<Snapshot>,
    refused: BTreeSet<ResourceName>,
}

/// A state that was sent, and whose answer may have been lost with the stream.
#[derive(Clone, Debug)]
pub(super) struct Unanswered {
    pub(super) version: Version,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) held: BTreeMap<ResourceName, Held>,
    pub(super) retained: BTreeMap<ResourceName, Retained>,
}

// === impl Memory ===

impl Memory {
    /// Returns true if no type is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// Forgets a type, once the present stream of the node shows its state.
    pub(super) fn forget(&mut self, kind: &ResourceType) {
        self.types.remove(kind);
    }

    /// The snapshots that the node's resources of a type may come from.
    pub(super) fn snapshots(&self, kind: &ResourceType) -> impl Iterator<Item = &Arc<Snapshot>> {
        let of_type = self.types.get(kind).into_iter();
        of_type.flat_map(|memory| memory.origins.iter())
    }

    /// Returns true if the type is remembered.
    pub(super) fn knows(&self, kind: &ResourceType) -> bool {
        self.types.contains_key(kind)
    }

    /// Returns true if the node has accepted a resource of this name.
    pub(super) fn holds(&self, kind: &ResourceType, name: &ResourceName) -> bool {
        let Some(memory) = self.types.get(kind) else {
            return false;
        };
        if let Some(held) = memory.held.get(name) {
            return !held.is_nothing();
        }
        let accepted = memory
            .acked
            .as_ref()
            .and_then(|acked| acked.resource(kind, name.as_str()));
        accepted.is_some() || memory.retained.contains_key(name)
    }

    /// Returns true if the node has accepted this version of the resource; `None` where the type is not remembered.
    pub(super) fn has_accepted(&self, kind: &ResourceType, resource: &Resource) -> Option<bool> {
        let memory = self.types.get(kind)?;
        if let Some(held) = memory.held.get(&resource.name) {
            return Some(held.version == resource.version);
        }
        let accepted = memory.acked.as_ref()?.resource(kind, resource.name.as_str());
        Some(accepted.is_some_and(|accepted| accepted.version == resource.version))
    }

    /// The route configurations that draining listeners of the node use.
    pub(super) fn drained(&self, kind: &ResourceType) -> Option<&BTreeMap<ResourceName, Arc<Resource>>> {
        self.types.get(kind).map(|memory| &memory.drained)
    }

    /// The content of a resource that the node presents in this version.
    pub(super) fn content(&self, kind: &ResourceType, name: &str, version: &str) -> Option<Arc<Resource>> {
        let memory = self.types.get(kind)?;
        let acked = memory.acked.as_ref().and_then(|acked| acked.resource(kind, name));
        let held = memory.held.get(name).and_then(|held| held.resource.as_ref());
        let retained = memory.retained.get(name).map(|retained| &retained.resource);
        let origins = memory.origins.iter().filter_map(|origin| origin.resource(kind, name));
        let mut known = acked.into_iter().chain(held).chain(retained).chain(origins);
        known.find(|known| known.version.as_str() == version).cloned()
    }
}

// === impl TypeMemory ===

impl TypeMemory {
    /// The resources of the last accepted state and of the unanswered states that are not in the goal.
    pub(super) fn gone_from(&self, kind: &ResourceType, goal: &TypeResources) -> Vec<Arc<Resource>> {
        let unanswered = self.unanswered.iter().map(|sent| &sent.snapshot);
        let snapshots = self.acked.iter().chain(unanswered);
        let resources = snapshots.filter_map(|snapshot| snapshot.get(kind));
        resources.flat_map(|of| goal.diff_from(of).removed.clone()).collect()
    }

    pub(super) fn of(state: &TypeState, now: Instant) -> Option<Self> {
        let view = &state.view;
        let mut origins: Vec<Arc<Snapshot>> = Vec::new();
        for snapshot in state.snapshots() {
            if !origins.iter().any(|known| Arc::ptr_eq(known, snapshot)) {
                origins.push(Arc::clone(snapshot));
            }
        }
        let unanswered = state.in_flight.iter().map(|sent| Unanswered::of(state, sent)).collect();
        let settled = Settled::of(state).filter(|_| view.acked().is_none());
        let acked = view
            .acked()
            .or_else(|| settled.as_ref().map(|settled| settled.snapshot));
        let Some(acked) = acked else {
            return (!origins.is_empty()).then(|| Self {
                acked: None,
                presents: false,
                at: now,
                held: BTreeMap::new(),
                taken: Vec::new(),
                retained: BTreeMap::new(),
                drained: BTreeMap::new(),
                unanswered,
                origins,
            });
        };
        let Exceptions { mut held, mut retained } = view.acked_exceptions().clone();
        let is_gone = |name: &ResourceName| acked.resource(&state.kind, name.as_str()).is_none();
        let taken = match &settled {
            Some(settled) => {
                let refused = settled.refused.iter().filter(|name| !is_gone(name));
                held.extend(refused.map(|name| (name.clone(), Held::nothing())));
                settled.taken(state)
            }
            None => taken_since(state),
        };
        for resource in &taken {
            let name = resource.name.clone();
            if is_gone(&name) {
                retained.insert(name, Retained::left(resource, now));
            } else {
                held.insert(name, Held::known(resource));
            }
        }
        for (name, left) in view.retained().iter().filter(|(name, _)| is_gone(name)) {
            retained.entry(name.clone()).or_insert_with(|| left.clone());
        }
        Some(Self {
            acked: Some(Arc::clone(acked)),
            presents: view.acked().is_some(),
            at: now,
            held,
            taken,
            retained,
            drained: view.drained().clone(),
            unanswered,
            origins,
        })
    }
}

/// Resources that a node applied since its last full ACK: from later responses, and from refused ones beside the
/// accused (S-8).
fn taken_since(state: &TypeState) -> Vec<Arc<Resource>> {
    let is_known = |before: &&Arc<Resource>| {
        let accepted = state.view.accepted(&before.name);
        accepted.is_some_and(|accepted| accepted.version == before.version)
    };
    let replaced = before_unanswered(state).filter(|before| !is_known(before)).cloned();
    let mut taken = taken_of_refused(state);
    taken.extend(replaced);
    taken
}

/// The resources that a node held before the first unanswered response: it applied them from responses that it refused.
fn before_unanswered(state: &TypeState) -> impl Iterator<Item = &Arc<Resource>> {
    let first = state.in_flight.iter().take(1);
    first
        .filter(|_| applies_valid_part(&state.kind))
        .flat_map(Sent::replaced)
        .filter(|before| !before.is_unknown())
}

/// The resources that a node applied from responses that it refused in part.
fn taken_of_refused(state: &TypeState) -> Vec<Arc<Resource>> {
    let Some(base) = state.view.resources().filter(|_| state.refused.any()) else {
        return Vec::new();
    };
    let is_open = |name: &ResourceName| state.in_flight.iter().any(|sent| sent.changes(name));
    let is_taken = |resource: &&Arc<Resource>| {
        let name = &resource.name;
        !state.refused.names(name.as_str()) && !is_open(name) && !state.view.held().contains_key(name)
    };
    let acked = state.view.acked().and_then(|acked| acked.get(&state.kind));
    let diff = acked.map(|acked| base.diff_from(acked));
    let changed = match &diff {
        Some(diff) => diff.changed.as_slice(),
        None => base.as_slice(),
    };
    // A resource that waited when the rest was ACKed came later.
    let waited = state.view.acked_exceptions().held.keys();
    let waited = waited.filter_map(|name| base.named(name.as_str()));
    changed.iter().chain(waited).filter(is_taken).cloned().collect()
}

// === impl Settled ===

impl<'a> Settled<'a> {
    /// The state of the node before its first unanswered response.
    fn of(state: &'a TypeState) -> Option<Self> {
        if !applies_valid_part(&state.kind) {
            return None;
        }
        let mut refused: BTreeSet<ResourceName> = state.refused.all().map(|refused| refused.name.clone()).collect();
        let Some(first) = state.in_flight.iter().next() else {
            let snapshot = state.view.base().filter(|_| state.refused.any())?;
            return Some(Self { snapshot, refused });
        };
        refused.extend(first.replaced.not_held.iter().cloned());
        let from = first.replaced.from.as_ref();
        let is_from = |snapshot: &&Arc<Snapshot>| {
            let resources = snapshot.get(&state.kind);
            matches!((resources, from), (Some(resources), Some(from)) if Arc::ptr_eq(resources, from))
        };
        let snapshot = match first.purpose {
            // A response that only removes leaves the set of resources as it was.
            Purpose::Break if from.is_none() => &first.snapshot,
            _ => state.snapshots().find(is_from)?,
        };
        Some(Self { snapshot, refused })
    }

    /// The resources that the node applied of this state.
    fn taken(&self, state: &TypeState) -> Vec<Arc<Resource>> {
        let resources = self.snapshot.get(&state.kind).into_iter().flat_map(|of| of.iter());
        let is_taken = |resource: &&Arc<Resource>| {
            !self.refused.contains(&resource.name) && !state.view.held().contains_key(&resource.name)
        };
        resources
            .filter(is_taken)
            .chain(before_unanswered(state))
            .cloned()
            .collect()
    }
}

// === impl Unanswered ===

impl Unanswered {
    fn of(state: &TypeState, sent: &Sent) -> Self {
        let is_gone = |name: &ResourceName| sent.snapshot.resource(&state.kind, name.as_str()).is_none();
        let retained: BTreeMap<ResourceName, Retained> = if let Contents::All(_) = sent.resources {
            BTreeMap::new()
        } else if is_full_state(&state.kind) {
            // All resources that this response gave to the client, whatever was removed since.
            let left = sent.resources.iter().filter(|resource| is_gone(&resource.name));
            left.map(|left| (left.name.clone(), Retained::left(left, sent.sent_at)))
                .collect()
        } else {
            let retained = state.view.retained().iter().filter(|(name, _)| is_gone(name));
            retained.map(|(name, left)| (name.clone(), left.clone())).collect()
        };
        Self {
            version: sent.delivery.version.clone(),
            snapshot: Arc::clone(&sent.snapshot),
            held: state.view.held().clone(),
            retained,
        }
    }
}
