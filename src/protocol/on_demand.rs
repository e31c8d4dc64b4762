//! Resources on demand on more than one stream of a node: one stream asks for them by name, another is sent full states by
//! wildcard (S-20).

use super::{Session, Variant, policy::is_full_state, subscription::Names};
use crate::resource::ResourceType;

impl Session {
    /// The names that the client asks for one by one of a type; `None` before its first request of the type.
    #[must_use]
    pub fn names_of(&self, kind: &ResourceType) -> Option<&Names> {
        let state = self.types.iter().find(|state| state.kind == *kind)?;
        Some(state.subscription.names())
    }

    /// Whether responses of this type are full states, which delete from the client all that they lack.
    #[must_use]
    pub fn sends_full_states(&self, kind: &ResourceType) -> bool {
        self.variant == Variant::Sotw && is_full_state(kind)
    }

    /// The names on demand that any stream of the node asks for now. The wildcard covers them where responses are full
    /// states, so that none of those takes them from the client.
    ///
    /// # Panics
    ///
    /// Never: the list of names stays as long as it is.
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
