//! The refusals of one type, from the NACK until they are mended, with the NACK's message (O-20).
//!
//! The session reports which resources are refused. If it reports nothing for a type, the next ACK mends the type.

use super::NackStatus;
use crate::resource::ResourceName;

/// NACKs kept per type. Each has some hundred bytes, and clients must not be able to multiply them.
const KEPT: usize = 4;
/// Names kept per NACK.
const NAMES: usize = 16;

/// The refusals of one type on one stream.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// NACKs with resources that are still refused, oldest first. If all are mended, the last NACK stays.
    nacks: Vec<NamedNack>,
    /// The number of refused resources.
    names: usize,
    sample: Box<[ResourceName]>,
    /// True if nothing is refused any more, independent of later responses and answers.
    mended: bool,
}

/// A NACK with its resources that are still refused.
#[derive(Debug)]
struct NamedNack {
    nack: NackStatus,
    names: Vec<ResourceName>,
}

// === impl Refusals ===

impl Refusals {
    /// The newest NACK with a resource that is still refused; if there is none, the last NACK.
    pub(super) fn nack(&self) -> Option<&NackStatus> {
        self.nacks.last().map(|last| &last.nack)
    }

    /// The number of refused resources.
    pub(super) const fn names(&self) -> usize {
        self.names
    }

    /// The names of some refused resources.
    pub(super) fn sample(&self) -> &[ResourceName] {
        &self.sample
    }

    /// Returns true if every refused resource is accepted, replaced or gone.
    pub(super) const fn mended(&self) -> bool {
        self.mended
    }

    pub(super) fn on_nack(&mut self, nack: NackStatus) {
        if self.names == 0 {
            self.nacks.clear();
        }
        if self.nacks.len() == KEPT {
            self.nacks.remove(0);
        }
        self.nacks.reserve_exact(1);
        let names = Vec::new();
        self.nacks.push(NamedNack { nack, names });
        self.mended = false;
    }

    /// Replaces the refused resources. Names that are new among them belong to the last NACK.
    pub(super) fn on_refused(&mut self, names: usize, sample: &[ResourceName]) {
        let is_known = |name: &&ResourceName| self.nacks.iter().any(|nack| nack.names.contains(name));
        let new: Vec<ResourceName> = sample.iter().filter(|name| !is_known(name)).cloned().collect();
        if let Some(last) = self.nacks.last_mut() {
            last.names.extend(new);
            last.names.truncate(NAMES);
        }
        // A sample that is not complete cannot show that a name is mended.
        if names == sample.len() {
            self.forget_mended(sample);
        }
        self.names = names;
        self.sample = sample.into();
        self.mended = names == 0;
    }

    pub(super) const fn on_ack(&mut self) {
        self.mended = self.names == 0;
    }

    /// Keeps the NACKs with a name in the list; if there is none, the last NACK.
    fn forget_mended(&mut self, refused: &[ResourceName]) {
        for nack in &mut self.nacks {
            nack.names.retain(|name| refused.contains(name));
        }
        if self.nacks.iter().any(|nack| !nack.names.is_empty()) {
            self.nacks.retain(|nack| !nack.names.is_empty());
        } else if let Some(last) = self.nacks.pop() {
            self.nacks = vec![last];
        }
    }
}
