//! The secrets that a stream may have served: a node that refuses something may quote one, also one that was replaced since.

use std::sync::Arc;

use crate::{protocol::Session, resource::ResourceType::Secret, snapshot::TypeResources};

/// Sets of secrets that are kept for one stream. Publishes that a node does not answer are skipped, so it is sent few of them.
const MOST: usize = 4;

/// The sets of secrets that responses were made from and that the node may still answer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Served(Vec<Arc<TypeResources>>);

// === impl Served ===

impl Served {
    /// Notes the set that the session makes its responses from, where the node has asked for secrets.
    pub(super) fn note(&mut self, session: &Session) {
        if session.names_of(&Secret).is_none() {
            return;
        }
        let Some(secrets) = session.goal().and_then(|goal| goal.get(&Secret)) else {
            return;
        };
        if self.0.last().is_some_and(|last| last.id() == secrets.id()) {
            return;
        }
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Arc::clone(secrets));
    }

    /// The node has answered for the newest set: it says nothing more of those before.
    pub(super) fn settle(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
    }

    pub(super) fn sets(&self) -> Vec<&TypeResources> {
        self.0.iter().map(Arc::as_ref).collect()
    }
}
