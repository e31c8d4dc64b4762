//! What the names take that streams ask for: charged to the peer that brings them, before the stream goes on. A list that
//! streams have in common is charged once, and one that was edited by its edits, since it shares the rest with the one before.

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

/// Bytes that a name takes besides its text: itself, its place in a list, and, where nothing answers to it, its places among the
/// missing names and in the response that says so. Measured with lists of 400 000 missing names: 60 to 125.
const NAME: usize = 128;
/// Bytes that a glob takes besides its text. Measured with 100 000 globs: 260.
const GLOB: usize = 256;
/// Names of one request from which on there is asked whether they have room before the list is made of them.
const MANY: usize = 4096;
/// What an edit takes for each of its names: the pages on the way to it are made anew.
const EDIT: usize = 2048;
/// What a name takes that a client says it holds in some version, besides both texts.
const PRESENTED: usize = 200;

/// What all streams ask for.
#[derive(Debug)]
pub(super) struct Subscribed {
    ledger: Arc<Ledger>,
    /// Charges of lists that some stream asks for.
    lists: DashMap<NamesFingerprint, Weak<Charge>>,
}

/// What one list is charged.
#[derive(Debug)]
struct Charge {
    subscribed: Arc<Subscribed>,
    fingerprint: NamesFingerprint,
    /// Which list it is: others may have its print.
    names: WeakNames,
    /// For all names of a list, which may be an earlier one that this one was made of.
    base: Arc<Lease>,
    /// For the edits since.
    edits: Option<Lease>,
}

/// What one stream asks for.
#[derive(Debug)]
pub(super) struct Account {
    subscribed: Arc<Subscribed>,
    peer: Option<IpAddr>,
    types: Vec<Row>,
}

/// Of one type.
#[derive(Debug)]
struct Row {
    kind: ResourceType,
    /// The list that was charged.
    names: Names,
    charge: Option<Arc<Charge>>,
    globs: Lease,
    /// What the client said it holds, as long as that is remembered name by name.
    presented: Lease,
    /// Of each name in it.
    each: usize,
}

/// What a request brought, as far as it costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    /// Names added or given up.
    pub(super) names: usize,
    /// Names presented, and their bytes.
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

    /// Whether the request may have changed what is asked for.
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

    /// Bytes that are charged now.
    pub(super) fn bytes(&self) -> usize {
        self.ledger.bytes()
    }

    /// Whether some stream asks for these names, each of which is there once.
    fn knows(&self, names: &[&str]) -> bool {
        self.lists.contains_key(&NamesFingerprint::of(names))
    }

    /// The charge of a list, which is made where no other stream asks for it.
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
        // Out of the map before it is looked at: the last one to let go of a charge takes it out of the map.
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

    /// Whether a list of so many bytes shares most of itself with the list that the base was charged for.
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

    /// Takes the room that a request's names will need, for as long as the list is made of them: whoever has none left is
    /// refused before that costs memory. A list that other streams ask for already needs none.
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
            // The list takes the place of the one before.
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

    /// Charges what the stream asks for of a type after a request. Costs a comparison where nothing changed.
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
