//! Open streams per verified identity. A stolen or misconfigured identity must not use up the streams of all others,
//! however many addresses it comes from.

use std::sync::Arc;

use dashmap::{DashMap, Entry};

/// Numbers of open streams by the name of the identity.
#[derive(Debug)]
pub(super) struct Identities {
    most: usize,
    open: DashMap<Arc<str>, usize>,
}

/// One open stream of an identity, counted until it is dropped.
#[derive(Debug)]
pub(super) struct IdentityPlace {
    identities: Arc<Identities>,
    name: Arc<str>,
}

/// The identity has the maximum of open streams.
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

    /// Counts one more stream of the identity.
    pub(super) fn take(self: &Arc<Self>, name: String) -> Result<IdentityPlace, TooManyOfIdentity> {
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
        let take = |name: &str| identities.take(name.to_owned());
        let held = [take("token:a").unwrap(), take("token:a").unwrap()];
        assert_eq!(take("token:a").unwrap_err(), TooManyOfIdentity(2));
        drop(take("token:b").unwrap());
        drop(held);
        assert!(identities.open.is_empty(), "an identity without streams is forgotten");
        take("token:a").unwrap();
    }
}
