//! What a stream takes over from the node's last one, and leaves to its next (O-19).

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
    /// The stream of a node whose last stream left this memory.
    #[must_use]
    pub fn recall(self, memory: Memory) -> Self {
        let is_stranger = memory.is_empty();
        Self {
            memory,
            is_stranger,
            ..self
        }
    }

    /// What the node has ACKed on this stream, to be recalled on its next; of types that it did not ask for yet, what it
    /// brought along. Costs what the node holds otherwise than snapshots say.
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
            // What is known from an earlier stream counts until everything was ACKed on this one.
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

    /// SotW: takes over what is remembered of a type, at its first request. An Envoy that presents a version goes on from
    /// there; any other client may have begun anew.
    pub(in crate::protocol) fn recall_type(&mut self, index: usize) {
        let returned = self.types.iter().any(|state| state.returned);
        let state = &mut self.types[index];
        let Some(memory) = self.memory.types.remove(&state.kind) else {
            self.recognize(index);
            return;
        };
        // One that never accepted any comes with no version, whether it was started anew or not.
        let comes_back = state.presented.is_some() || returned || (memory.acked.is_some() && !memory.presents);
        if !self.features.envoy || !comes_back {
            return;
        }
        state.returned = true;
        let presented = state.presented.as_ref();
        let mut unanswered = memory.unanswered.into_iter();
        let answered = unanswered.find(|unanswered| presented == Some(&unanswered.version));
        if let Some(answered) = answered {
            // Its answer was lost with the stream.
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
    /// Delta: what a node took of a refused response has no version that it could present, and is still with it: left there
    /// until it can be removed. To one that was started anew its removal says nothing.
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
        // What it was sent besides: the answer was lost with the stream, or was a refusal of something else.
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
                // It presents the version before.
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

    /// SotW: an Envoy whose last stream nobody remembers, and that comes with the goal's version, has what it asks for by
    /// name as the goal says; it is told again all the same.
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
