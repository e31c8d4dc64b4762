//! A hash index of resources by name, for look-ups of many names.
//!
//! A binary search compares names all over the memory. The index finds the place with one look-up and compares one
//! name.

use std::{hash::BuildHasher as _, sync::Arc};

use foldhash::fast::FixedState;

use crate::resource::Resource;

/// The bits of a hash that are stored beside a place, so that other names are almost never compared.
const TAG: u64 = 0xffff_ffff_0000_0000;

/// An open hash table, at most half full. A publisher could choose names that collide, and would only slow down its own
/// group.
#[derive(Debug)]
pub(super) struct Index {
    /// Half of a hash, and the place in the list plus one; 0 for an empty slot.
    slots: Box<[u64]>,
}

// === impl Index ===

impl Index {
    /// The index of a list without duplicate names.
    pub(super) fn new(list: &[Arc<Resource>]) -> Self {
        let mut slots = vec![0; (2 * list.len()).next_power_of_two()].into_boxed_slice();
        for (resource, place) in list.iter().zip(1_u64..) {
            debug_assert_eq!(place & TAG, 0, "a set has fewer than 2^32 resources");
            let hash = hash(resource.name.as_str());
            let mut at = first_slot(hash, slots.len());
            while slots[at] != 0 {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = hash & TAG | place;
        }
        Self { slots }
    }

    /// The resource with this name. `list` is the list of [`Index::new`].
    pub(super) fn find<'a>(&self, list: &'a [Arc<Resource>], name: &str) -> Option<&'a Arc<Resource>> {
        let hash = hash(name);
        let mut at = first_slot(hash, self.slots.len());
        loop {
            let slot = self.slots[at];
            let place = usize::try_from(slot & !TAG).ok()?.checked_sub(1)?;
            if slot & TAG == hash & TAG
                && let Some(found) = list.get(place)
                && found.name.as_str() == name
            {
                return Some(found);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

fn hash(name: &str) -> u64 {
    FixedState::with_seed(0).hash_one(name)
}

/// The first slot for a hash. `slots` is a power of two.
fn first_slot(hash: u64, slots: usize) -> usize {
    usize::try_from(hash & !TAG).unwrap_or_default() & (slots - 1)
}

#[cfg(test)]
mod tests;
