//! Resources on demand, if one stream of a node asks for them by name and another is sent full states by wildcard
//! (S-20).

use super::{Session, Variant, policy::is_full_state, subscription::Names};
use crate::resource::ResourceType;

impl Session {
    /// The names of a type that the client subscribes to one by one; `None` before its first request of the type.
    #[must_use]
    pub fn names_of(&self, kind: &ResourceType) -> Option<&Names> {
        let state = self.types.iter().find(|state| state.kind == *kind)?;
        Some(state.subscription.names())
    }

    /// Returns true if responses of this type are full states, which delete from the client everything that they lack.
    #[must_use]
    pub fn sends_full_states(&self, kind: &ResourceType) -> bool {
        self.variant == Variant::Sotw && is_full_state(kind)
    }

    /// Takes the names on demand that any stream of the node asks for now. Where responses are full states, the
    /// wildcard covers these names, so that no response removes them from the client.
    ///
    /// # Panics
    ///
    /// Never: the client's own list of names stays as long as it is.
    pub fn on_asked_by_node(&mut self, kind: &ResourceType, names: Names) {
        if !self.sends_full_states(kind) {
            return;
        }
        let Some(index) = self.types.iter().position(|state| state.kind == *kind) else {
            return;
        };
        let edit = self.types[index].subscription.cover(names);
        if edit.changed {
            self.subscribe(index, edit, false)
                .expect("the list of names is as long as before");
        }
    }
}
