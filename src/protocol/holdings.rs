//! What a session holds for its client beyond what all share, for whoever bounds the memory of all sessions together.

use super::Session;
use crate::resource::{Resource, ResourceType};

impl Session {
    /// True where the client asks for this resource, which is of the type.
    #[must_use]
    pub fn asks_for(&self, kind: &ResourceType, resource: &Resource) -> bool {
        self.state_of(kind)
            .is_some_and(|state| state.subscription.selects(resource))
    }

    /// How many globs the client asks for of a type, and their bytes; `None` before its first request of the type.
    #[must_use]
    pub fn globs_of(&self, kind: &ResourceType) -> Option<(usize, usize)> {
        let subscription = &self.state_of(kind)?.subscription;
        let names = subscription.names();
        Some((subscription.len() - names.len(), subscription.bytes() - names.bytes()))
    }

    /// How many names of a type are remembered one by one, for the client holds them otherwise than a snapshot says.
    #[must_use]
    pub fn exceptions_of(&self, kind: &ResourceType) -> usize {
        self.state_of(kind).map_or(0, |state| state.view.held().len())
    }
}
