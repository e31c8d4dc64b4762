//! Open streams of each verified identity: an identity that is stolen or misled must not take the places of all others, from
//! however many addresses it comes.

use std::sync::Arc;

use dashmap::{DashMap, Entry};

/// Open streams by the name of who opened them.
#[derive(Debug)]
pub(super) struct Identities {
    most: usize,
    open: DashMap<Arc<str>, usize>,
}

/// One open stream of an identity; dropping it gives the place up.
#[derive(Debug)]
pub(super) struct IdentityPlace {
    identities: Arc<Identities>,
    name: Arc<str>,
}

/// An identity has as many streams as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {0} streams of one identity are open (limits.max_streams_per_identity): try again later")]
pub(super) struct TooManyOfIdentity(usize);

// === impl Identities ===

impl Identities {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: DashMap::new(),
        })
    }

    /// A place for one stream more of the identity.
    pub(super) fn enter(self: &Arc<Self>, name: String) -> Result<IdentityPlace, TooManyOfIdentity> {
        let name: Arc<str> = name.into();
        let mut open = self.open.entry(Arc::clone(&name)).or_default();
        if *open >= self.most {
            return Err(TooManyOfIdentity(self.most));
        }
        *open += 1;
        drop(open);
        Ok(IdentityPlace {
            identities: Arc::clone(self),
            name,
        })
    }
}

impl Drop for IdentityPlace {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.identities.open.entry(Arc::clone(&self.name)) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_its_places_and_takes_none_of_another() {
        let identities = Identities::new(2);
        let enter = |name: &str| identities.enter(name.to_owned());
        let held = [enter("token:a").unwrap(), enter("token:a").unwrap()];
        assert_eq!(enter("token:a").unwrap_err(), TooManyOfIdentity(2));
        drop(enter("token:b").unwrap());
        drop(held);
        assert!(identities.open.is_empty(), "who has no stream is forgotten");
        enter("token:a").unwrap();
    }
}
