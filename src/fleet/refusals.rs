//! What a node refuses of one type, from the NACK to the mend, and in what words (O-20).
//!
//! The session says which resources are refused; a type whose session says nothing of it is mended by the next ACK.

use super::NackStatus;
use crate::resource::ResourceName;

/// NACKs remembered of one type: each is a text of some hundred bytes, which is not for the client to multiply.
const KEPT: usize = 4;
/// Names remembered with each.
const NAMES: usize = 16;

/// The refusals of one type on one stream.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// NACKs of which something is refused still, oldest first. The last one stays when all is mended.
    nacks: Vec<NamedNack>,
    /// How many resources are refused.
    names: usize,
    sample: Box<[ResourceName]>,
    /// Nothing is refused any more, whatever was sent and answered since.
    mended: bool,
}

/// A NACK, and those of its resources that are refused since then.
#[derive(Debug)]
struct NamedNack {
    nack: NackStatus,
    names: Vec<ResourceName>,
}

// === impl Refusals ===

impl Refusals {
    /// The newest NACK of which something is refused still; where nothing is, the last one.
    pub(super) fn nack(&self) -> Option<&NackStatus> {
        self.nacks.last().map(|last| &last.nack)
    }

    /// How many resources are refused.
    pub(super) const fn names(&self) -> usize {
        self.names
    }

    /// Some of them.
    pub(super) fn sample(&self) -> &[ResourceName] {
        &self.sample
    }

    /// Whether all that was refused is accepted, replaced or gone.
    pub(super) const fn mended(&self) -> bool {
        self.mended
    }

    /// The node refused a response.
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

    /// Other resources than before are refused. Those that are new among them are so by the last NACK.
    pub(super) fn on_refused(&mut self, names: usize, sample: &[ResourceName]) {
        let is_known = |name: &&ResourceName| self.nacks.iter().any(|nack| nack.names.contains(name));
        let new: Vec<ResourceName> = sample.iter().filter(|name| !is_known(name)).cloned().collect();
        if let Some(last) = self.nacks.last_mut() {
            last.names.extend(new);
            last.names.truncate(NAMES);
        }
        // Of more names than are told any may be among the rest.
        if names == sample.len() {
            self.forget_mended(sample);
        }
        self.names = names;
        self.sample = sample.into();
        self.mended = names == 0;
    }

    /// The node accepted a response.
    pub(super) const fn on_ack(&mut self) {
        self.mended = self.names == 0;
    }

    /// Keeps the NACKs of which something is in the list, or else the last one.
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
