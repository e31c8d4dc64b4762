//! The sets of secrets that a stream was served. A NACK may quote a secret that was replaced since.

use std::sync::Arc;

use crate::{protocol::Session, resource::ResourceType::Secret, snapshot::TypeResources};

/// Sets kept per stream. Few responses of a type are unanswered at a time.
const MOST: usize = 4;

/// The sets of secrets in responses that the node may still answer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Served(Vec<Arc<TypeResources>>);

// === impl Served ===

impl Served {
    /// Adds the set from which the session served secrets, or which it found the node to hold.
    pub(super) fn note(&mut self, session: &Session) {
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

    /// Drops all sets but the newest, which the node has answered.
    pub(super) fn settle(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
    }

    pub(super) fn sets(&self) -> Vec<&TypeResources> {
        self.0.iter().map(Arc::as_ref).collect()
    }
}
