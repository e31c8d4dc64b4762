//! The memory of a node between its streams: what a stream takes over from the last one, and leaves to the next (O-19).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    protocol::{
        Memory, Request, Session,
        memory::{ORIGINS, TypeMemory, Unanswered},
        policy::{applies_valid_part, is_full_state},
        type_state::Held,
    },
    resource::Resource,
    snapshot::Snapshot,
};

impl Session {
    /// Takes the memory that the last stream of the node left.
    #[must_use]
    pub fn recall(self, memory: Memory) -> Self {
        let is_stranger = memory.is_empty();
        Self {
            memory,
            is_stranger,
            ..self
        }
    }

    /// The state that the node has ACKed on this stream, for its next stream; for types without a request on this
    /// stream, the memory from before. The cost is that of the exceptions from snapshots.
    #[must_use]
    pub fn memory(&self) -> Memory {
        if !self.is_ordered() {
            return Memory::default();
        }
        let mut memory = self.memory.clone();
        let Some(now) = self.last_poll else {
            return memory;
        };
        for state in &self.types {
            let Some(mut of_type) = TypeMemory::of(state, now) else {
                continue;
            };
            // Memory of an earlier stream counts until everything was ACKed on this one.
            if let Some(before) = memory.types.remove(&state.kind) {
                let origins = of_type.origins.into_iter().chain(before.origins.iter().cloned());
                let origins = origins.take(ORIGINS).collect();
                of_type = if of_type.acked.is_none() {
                    TypeMemory { origins, ..before }
                } else {
                    TypeMemory { origins, ..of_type }
                };
            }
            memory.types.insert(state.kind.clone(), of_type);
        }
        memory
    }

    /// SotW: takes over the memory of a type, at its first request. An Envoy that presents a version goes on from
    /// there; any other client may have restarted.
    pub(in crate::protocol) fn recall_type(&mut self, index: usize) {
        let returned = self.types.iter().any(|state| state.returned);
        let state = &mut self.types[index];
        let Some(memory) = self.memory.types.remove(&state.kind) else {
            self.recognize(index);
            return;
        };
        // A node that never ACKed the type presents no version, whether it restarted or not.
        let comes_back = state.presented.is_some() || returned || (memory.acked.is_some() && !memory.presents);
        if !self.features.envoy || !comes_back {
            return;
        }
        state.returned = true;
        let presented = state.presented.as_ref();
        let mut unanswered = memory.unanswered.into_iter();
        let answered = unanswered.find(|unanswered| presented == Some(&unanswered.version));
        if let Some(answered) = answered {
            // The answer to this state was lost with the stream.
            let Unanswered {
                snapshot,
                held,
                retained,
                ..
            } = answered;
            state.view.restore(snapshot, held, retained, memory.origins);
        } else if let Some(acked) = memory.acked {
            state.view.restore(acked, memory.held, memory.retained, memory.origins);
        } else {
            return state.view.remember(memory.origins);
        }
        state.view.drain(memory.drained);
    }
}

impl Session {
    /// Delta: keeps the resources that a node applied from refused responses until they can be removed, since the node
    /// can present no version of them. For a node that restarted, their removal has no effect.
    pub(in crate::protocol) fn recall_left(&mut self, index: usize, request: &Request<'_>) {
        let state = &mut self.types[index];
        let memory = self.memory.types.get(&state.kind);
        let Some(memory) = memory.filter(|_| self.features.envoy && applies_valid_part(&state.kind)) else {
            return;
        };
        let Some(goal) = self.goal.as_ref().and_then(|goal| goal.get(&state.kind)) else {
            return;
        };
        let presented: BTreeSet<&str> = request.presented.to_vec().into_iter().map(|(name, _)| name).collect();
        // States that were sent besides: their answer was lost with the stream, or refused another resource.
        let gone: Vec<Arc<Resource>> = memory.gone_from(&state.kind, goal);
        for left in memory.retained.values().map(|left| &left.resource).chain(&memory.taken) {
            let is_presented = presented.contains(left.name.as_str());
            if !state.subscription.selects(left) {
                continue;
            }
            match (goal.named(left.name.as_str()), is_presented) {
                (None, false) => state.view.retain(left, memory.at),
                (None, true) => {}
                (Some(_), false) => state.view.hold(left.name.clone(), Held::known(left).doubted()),
                // The node presents the version before.
                (Some(_), true) => state.view.fall_back([Arc::clone(left)]),
            }
        }
        let gone = gone.iter().filter(|left| !presented.contains(left.name.as_str()));
        for left in gone {
            if state.subscription.selects(left) {
                state.view.retain(left, memory.at);
            }
        }
    }

    /// SotW: recognizes an Envoy whose last stream is not remembered and that presents the goal's version. Such
    /// an Envoy holds the names that it asks for as in the goal, and is sent them again in any case.
    fn recognize(&mut self, index: usize) {
        let state = &mut self.types[index];
        let goal = self
            .goal
            .as_ref()
            .filter(|_| self.features.envoy && !is_full_state(&state.kind));
        let version = |goal: &Arc<Snapshot>| goal.get(&state.kind).map(|resources| resources.version().clone());
        let known = goal.filter(|goal| state.presented.is_some() && version(goal) == state.presented);
        if let Some(goal) = known.cloned() {
            state.returned = true;
            state.view.restore(goal, BTreeMap::new(), BTreeMap::new(), Vec::new());
        }
    }
}
