//! The memory that subscribed names use, charged to the peer that sends them before the stream goes on. A list that
//! streams share is charged once. An edited list is charged for its edits, since it shares the rest with the list
//! before.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use dashmap::DashMap;

use super::ledger::{Bounds, Full, Lease, Ledger, Subject};
use crate::{
    protocol::{Names, NamesFingerprint, Request, Session, Variant, WeakNames},
    resource::ResourceType,
};

/// Bytes per name besides its text: the name, its place in a list, and, if it does not exist, its places among the
/// missing names and in the response. Measured with lists of 400 000 missing names: 60 to 125.
const NAME: usize = 128;
/// Bytes per glob besides its text. Measured with 100 000 globs: 260.
const GLOB: usize = 256;
/// Names of a request from which room is reserved before the list is made.
const MANY: usize = 4096;
/// Bytes per edited name: an edit copies the nodes on the path to the name.
const EDIT: usize = 2048;
/// Bytes per presented name besides the texts of its name and version.
const PRESENTED: usize = 200;

/// The memory that the names of all streams use.
#[derive(Debug)]
pub(super) struct Subscribed {
    ledger: Arc<Ledger>,
    /// The charges of lists with a stream.
    lists: DashMap<NamesFingerprint, Weak<Charge>>,
}

/// The charge of one list.
#[derive(Debug)]
struct Charge {
    subscribed: Arc<Subscribed>,
    fingerprint: NamesFingerprint,
    /// The charged list, since another list may have the same fingerprint.
    names: WeakNames,
    /// For the names of the list, or of the earlier list from which this one was edited.
    base: Arc<Lease>,
    /// For the edits since then.
    edits: Option<Lease>,
}

/// The charges of one stream.
#[derive(Debug)]
pub(super) struct Account {
    subscribed: Arc<Subscribed>,
    peer: Option<IpAddr>,
    types: Vec<Row>,
}

/// The charges of one type.
#[derive(Debug)]
struct Row {
    kind: ResourceType,
    /// The charged list.
    names: Names,
    charge: Option<Arc<Charge>>,
    globs: Lease,
    /// For the presented versions, as long as the session keeps them by name.
    presented: Lease,
    /// Bytes per presented name.
    each: usize,
}

/// The cost of a request's names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    /// The number of added and given up names.
    pub(super) names: usize,
    /// The number of presented names, and their bytes.
    pub(super) presented: usize,
    pub(super) presented_bytes: usize,
}

// === impl Brought ===

impl Brought {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let presented = request.presented.len();
        Self {
            names: request.names.len() + request.unsubscribe.len(),
            presented,
            presented_bytes: request.presented.bytes(),
        }
    }

    /// Returns true if the request cannot have changed the subscription.
    pub(super) const fn is_nothing(self) -> bool {
        self.names == 0 && self.presented == 0
    }
}

// === impl Subscribed ===

impl Subscribed {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            ledger: Arc::new(Ledger::new(Subject::Subscribed, bounds)),
            lists: DashMap::new(),
        })
    }

    /// The number of charged bytes.
    pub(super) fn bytes(&self) -> usize {
        self.ledger.bytes()
    }

    /// Returns true if some stream subscribes to these names, which have no duplicates.
    fn knows(&self, names: &[&str]) -> bool {
        self.lists.contains_key(&NamesFingerprint::of(names))
    }

    /// The charge of a list: an existing one if another stream has the list, else a new one.
    fn charge(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        names: &Names,
        before: Option<&Arc<Charge>>,
        edited: usize,
    ) -> Result<Option<Arc<Charge>>, Full> {
        let Some(fingerprint) = names.fingerprint() else {
            return Ok(None);
        };
        // Upgraded outside the map's lock, since dropping the last reference to a charge removes it from the map.
        let known = self.lists.get(&fingerprint).map(|known| Weak::clone(&known));
        let known = known.and_then(|known| known.upgrade());
        if let Some(known) = known.filter(|known| known.is_of(names)) {
            return Ok(Some(known));
        }
        let whole = names.len() * NAME + names.bytes();
        let (base, edits) = match before {
            Some(before) if before.leads_to(whole, edited) => {
                let mut edits = self.ledger.lease(peer);
                edits.grow(before.edited() + edited * EDIT)?;
                (Arc::clone(&before.base), Some(edits))
            }
            Some(_) | None => {
                let mut base = self.ledger.lease(peer);
                base.grow(whole)?;
                (Arc::new(base), None)
            }
        };
        let made = Arc::new(Charge {
            subscribed: Arc::clone(self),
            fingerprint,
            names: names.downgrade(),
            base,
            edits,
        });
        self.lists.insert(fingerprint, Arc::downgrade(&made));
        Ok(Some(made))
    }
}

// === impl Charge ===

impl Charge {
    fn is_of(&self, names: &Names) -> bool {
        self.names.upgrade().is_some_and(|own| own.is_same(names))
    }

    fn edited(&self) -> usize {
        self.edits.as_ref().map_or(0, Lease::bytes)
    }

    /// Returns true if a list of `whole` bytes shares most of its names with the list of the base.
    fn leads_to(&self, whole: usize, edited: usize) -> bool {
        self.edited() + edited.saturating_mul(EDIT) < whole / 2 && self.base.bytes() / 2 <= whole
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let is_gone = |_: &NamesFingerprint, charge: &Weak<Self>| charge.strong_count() == 0;
        self.subscribed.lists.remove_if(&self.fingerprint, is_gone);
    }
}

// === impl Account ===

impl Account {
    pub(super) fn new(subscribed: Arc<Subscribed>, peer: Option<IpAddr>) -> Self {
        Self {
            subscribed,
            peer,
            types: Vec::new(),
        }
    }

    /// Reserves room for a request's names while the list is made of them, so that a stream without room is refused
    /// before the list costs memory. A list that another stream has needs no room.
    pub(super) fn reserve(
        &self,
        kind: &ResourceType,
        session: &Session,
        request: &Request<'_>,
    ) -> Result<Option<Lease>, Full> {
        let count = request.names.len();
        if count < MANY {
            return Ok(None);
        }
        let held = session.names_of(kind).map_or(0, Names::len);
        let more = match session.variant() {
            // The new list replaces the one before.
            Variant::Sotw => count.saturating_sub(held),
            Variant::Delta => count,
        };
        if more == 0 || self.subscribed.knows(&request.names.to_vec()) {
            return Ok(None);
        }
        let mut lease = self.subscribed.ledger.lease(self.peer);
        lease.grow(more * NAME)?;
        Ok(Some(lease))
    }

    /// Charges the stream's subscription to a type after a request. Costs a comparison if nothing changed.
    pub(super) fn settle(&mut self, kind: &ResourceType, session: &Session, request: &Request<'_>) -> Result<(), Full> {
        let brought = Brought::of(request);
        if brought.is_nothing() && self.types.is_empty() {
            return Ok(());
        }
        let Some(names) = session.names_of(kind) else {
            return Ok(());
        };
        let globs = session.globs_of(kind);
        let globs = globs.map_or(0, |(count, bytes)| count * GLOB + bytes);
        let at = self.types.iter().position(|row| row.kind == *kind);
        if at.is_none() && names.is_empty() && globs == 0 && brought.presented == 0 {
            return Ok(());
        }
        let at = at.unwrap_or_else(|| {
            let lease = || self.subscribed.ledger.lease(self.peer);
            self.types.push(Row {
                kind: kind.clone(),
                names: Names::default(),
                charge: None,
                globs: lease(),
                presented: lease(),
                each: 0,
            });
            self.types.len() - 1
        });
        let row = &mut self.types[at];
        if !row.names.is_same(names) {
            row.charge = self
                .subscribed
                .charge(self.peer, names, row.charge.as_ref(), brought.names)?;
            row.names = names.clone();
        }
        row.globs.grow(globs)?;
        row.globs.shrink(globs);
        if let Some(bytes) = brought.presented_bytes.checked_div(brought.presented) {
            row.each = PRESENTED + bytes;
        }
        if brought.presented > 0 || row.presented.bytes() > 0 {
            let presented = session.exceptions_of(kind) * row.each;
            row.presented.shrink(presented);
            if brought.presented > 0 {
                row.presented.grow(presented)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
