//! Fingerprints of the resources that clients hold. A client that lists all resources of a set, in any order, is
//! recognized at once.

use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;

/// A fingerprint of names and their held versions, each name once, independent of order. A client that forges a
/// collision harms only itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldFingerprint {
    /// The wrapping sum of the hashes of all pairs.
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
