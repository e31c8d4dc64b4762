//! Prints of what clients hold: how one that holds all there is, in whatever order it says so, is known at once.

use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;

/// A print of names and the versions held of them, each name once: the same in any order. A client that made the print of
/// something else alike would fool itself alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldFingerprint {
    /// The sum of their hashes, without carry.
    sum: u64,
    len: usize,
}

// === impl HeldFingerprint ===

impl<'a> FromIterator<(&'a str, &'a str)> for HeldFingerprint {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(held: I) -> Self {
        let hashes = FixedState::with_seed(0);
        held.into_iter().fold(Self::default(), |fingerprint, named| Self {
            sum: fingerprint.sum.wrapping_add(hashes.hash_one(named)),
            len: fingerprint.len + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fingerprint(held: &[(String, String)]) -> HeldFingerprint {
        held.iter()
            .map(|(name, version)| (name.as_str(), version.as_str()))
            .collect()
    }

    proptest! {
        #[test]
        fn only_the_same_in_another_order_has_the_same_fingerprint(
            mut held in prop::collection::vec(("[ab]{0,3}", "[12]{0,2}"), 0..6),
            mut other in prop::collection::vec(("[ab]{0,3}", "[12]{0,2}"), 0..6),
        ) {
            let (of_held, of_other) = (fingerprint(&held), fingerprint(&other));
            held.sort();
            other.sort();
            prop_assert_eq!(of_held, fingerprint(&held));
            prop_assert_eq!(of_held == of_other, held == other);
        }
    }
}
