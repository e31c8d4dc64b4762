//! The memory that a session uses beyond what all sessions share, for the limits on the memory of all sessions.

use super::Session;
use crate::resource::{Resource, ResourceType};

impl Session {
    /// Returns true if the client subscribes to this resource of the given type.
    #[must_use]
    pub fn asks_for(&self, kind: &ResourceType, resource: &Resource) -> bool {
        self.state_of(kind)
            .is_some_and(|state| state.subscription.selects(resource))
    }

    /// The number of subscribed globs of a type, and their bytes; `None` before the first request of the type.
    #[must_use]
    pub fn globs_of(&self, kind: &ResourceType) -> Option<(usize, usize)> {
        let subscription = &self.state_of(kind)?.subscription;
        let names = subscription.names();
        Some((subscription.len() - names.len(), subscription.bytes() - names.bytes()))
    }

    /// The number of names of a type for which the client holds something else than its snapshot says.
    #[must_use]
    pub fn exceptions_of(&self, kind: &ResourceType) -> usize {
        self.state_of(kind).map_or(0, |state| state.view.held().len())
    }
}
