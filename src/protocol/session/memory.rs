//! What a node last ACKed, carried from a stream that ended to the next one of the same node: make before break holds across
//! a reconnect (O-19). Whoever keeps memories bounds them; a session without one only knows what the client says.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    protocol::{
        Session,
        type_state::{Held, Retained, TypeState},
    },
    resource::{Resource, ResourceName, ResourceType, Version},
    snapshot::Snapshot,
};

/// What a node last ACKed, by type.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    types: BTreeMap<ResourceType, TypeMemory>,
}

/// What a node last ACKed of one type.
#[derive(Clone, Debug)]
struct TypeMemory {
    /// `None` where nothing was ACKed yet.
    acked: Option<Arc<Snapshot>>,
    /// Names that it holds otherwise than the snapshot says.
    held: BTreeMap<ResourceName, Held>,
    /// Resources that it holds, or may hold, and the snapshot does not have.
    retained: BTreeMap<ResourceName, Retained>,
    /// Route configurations that its draining listeners use.
    drained: BTreeMap<ResourceName, Arc<Resource>>,
    /// Versions that it was sent and did not answer, and the snapshots they are of: it may come back with one of them.
    unanswered: Vec<(Version, Arc<Snapshot>)>,
    /// Other snapshots that resources which it holds may come from.
    origins: Vec<Arc<Snapshot>>,
}

// === impl Memory ===

impl Memory {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// The snapshots that resources of a type may come from which the node holds.
    pub(super) fn snapshots(&self, kind: &ResourceType) -> impl Iterator<Item = &Arc<Snapshot>> {
        let of_type = self.types.get(kind).into_iter();
        of_type.flat_map(|memory| memory.origins.iter())
    }

    /// Whether anything is known of a type.
    pub(super) fn knows(&self, kind: &ResourceType) -> bool {
        self.types.contains_key(kind)
    }

    /// Whether the node has accepted the resource as it is; `None` where nothing is known of the type.
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

    /// The content of a resource that the node says it holds in this version.
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

// === impl Session ===

impl Session {
    /// The stream of a node whose last stream left this memory.
    #[must_use]
    pub fn recall(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// What the node has ACKed on this stream, to be recalled on its next; of types that it did not ask for yet, what it
    /// brought along. Costs what the node holds otherwise than snapshots say.
    #[must_use]
    pub fn memory(&self) -> Memory {
        if !self.is_ordered() {
            return Memory::default();
        }
        let mut memory = self.memory.clone();
        for state in &self.types {
            let Some(mut of_type) = TypeMemory::of(state) else {
                continue;
            };
            // What the node ACKed on an earlier stream counts until it ACKs something on this one.
            if let Some(before) = memory.types.remove(&state.kind).filter(|_| of_type.acked.is_none()) {
                let origins = of_type
                    .origins
                    .into_iter()
                    .chain(before.origins.iter().cloned())
                    .collect();
                of_type = TypeMemory { origins, ..before };
            }
            memory.types.insert(state.kind.clone(), of_type);
        }
        memory
    }

    /// SotW: takes over what is remembered of a type, at its first request. An Envoy that presents a version goes on from
    /// there; any other client may have begun anew.
    pub(in crate::protocol) fn recall_type(&mut self, index: usize) {
        let returned = self.types.iter().any(|state| state.returned);
        let state = &mut self.types[index];
        let Some(memory) = self.memory.types.remove(&state.kind) else {
            return;
        };
        let comes_back = state.presented.is_some() || returned;
        if !self.features.envoy || !comes_back {
            return;
        }
        state.returned = true;
        let presented = state.presented.as_ref();
        let answered = memory.unanswered.iter().find(|(version, _)| presented == Some(version));
        if let Some((_, snapshot)) = answered {
            // Its answer was lost with the stream.
            let snapshot = Arc::clone(snapshot);
            state
                .view
                .restore(snapshot, BTreeMap::new(), memory.retained, memory.origins);
        } else if let Some(acked) = memory.acked {
            state.view.restore(acked, memory.held, memory.retained, memory.origins);
        } else {
            return state.view.remember(memory.origins);
        }
        state.view.drain(memory.drained);
    }
}

// === impl TypeMemory ===

impl TypeMemory {
    fn of(state: &TypeState) -> Option<Self> {
        let view = &state.view;
        let origins: Vec<_> = state.snapshots().cloned().collect();
        let unanswered = state.in_flight.iter();
        let unanswered: Vec<_> = unanswered
            .map(|sent| (sent.delivery.version.clone(), Arc::clone(&sent.snapshot)))
            .collect();
        let Some(acked) = view.acked() else {
            return (!origins.is_empty()).then(|| Self {
                acked: None,
                held: BTreeMap::new(),
                retained: BTreeMap::new(),
                drained: BTreeMap::new(),
                unanswered,
                origins,
            });
        };
        let is_other = |name: &ResourceName, version: &Version| {
            let acked = acked.resource(&state.kind, name.as_str());
            acked.is_none_or(|acked| acked.version != *version)
        };
        let held = view.held().iter().filter(|(name, held)| is_other(name, &held.version));
        let held = held.map(|(name, held)| (name.clone(), held.clone())).collect();
        let mut held: BTreeMap<ResourceName, Held> = held;
        for sent in state.in_flight.iter() {
            // Until it is answered, the client may hold what was there before.
            for resource in sent.changed.iter() {
                let mut before = sent.replaced().filter(|before| before.name == resource.name);
                let before = || before.next().map_or_else(Held::nothing, Held::known);
                held.entry(resource.name.clone()).or_insert_with(before);
            }
        }
        for (name, left) in view.retained() {
            if is_other(name, &left.resource.version) && acked.resource(&state.kind, name.as_str()).is_some() {
                held.insert(name.clone(), Held::known(&left.resource));
            }
        }
        let is_gone = |name: &ResourceName| acked.resource(&state.kind, name.as_str()).is_none();
        let retained = view.retained().iter().filter(|(name, _)| is_gone(name));
        let mut retained: BTreeMap<_, _> = retained.map(|(name, left)| (name.clone(), left.clone())).collect();
        for sent in state.in_flight.iter() {
            for resource in sent.replaced().filter(|resource| is_gone(&resource.name)) {
                let left = || Retained::left(resource, sent.sent_at);
                retained.entry(resource.name.clone()).or_insert_with(left);
            }
        }
        Some(Self {
            acked: Some(Arc::clone(acked)),
            held,
            retained,
            drained: view.drained().clone(),
            unanswered,
            origins,
        })
    }
}
