//! A sorted map whose next state costs what differs: edits over a base that both states share.
//!
//! The indexes of [`GroupChecks`](super::GroupChecks) are such maps. Once the state before is dropped,
//! [`Layered::settle`] moves the edits into the base, so that they do not accumulate.

use std::{collections::BTreeMap, iter::Peekable, ops::Bound, sync::Arc};

/// A sorted map with a shared base; clones share the base.
#[derive(Debug)]
pub(super) struct Layered<K, V> {
    base: Arc<BTreeMap<K, V>>,
    /// The differences from the base: a new value, or `None` for a removed key.
    edits: BTreeMap<K, Option<V>>,
}

/// A sorted set with a shared base.
pub(super) type LayeredSet<K> = Layered<K, ()>;

/// Merges two sorted sequences; for equal keys, the edit wins.
struct Merged<'a, K, V, B, E>
where
    B: Iterator<Item = (&'a K, &'a V)>,
    E: Iterator<Item = (&'a K, &'a Option<V>)>,
    K: 'a,
    V: 'a,
{
    base: Peekable<B>,
    edits: Peekable<E>,
}

// === impl Layered ===

impl<K, V> Default for Layered<K, V> {
    fn default() -> Self {
        Self {
            base: Arc::default(),
            edits: BTreeMap::new(),
        }
    }
}

impl<K: Clone, V: Clone> Clone for Layered<K, V> {
    fn clone(&self) -> Self {
        Self {
            base: Arc::clone(&self.base),
            edits: self.edits.clone(),
        }
    }
}

impl<K: Ord, V> Layered<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self.edits.get(key) {
            Some(edit) => edit.as_ref(),
            None => self.base.get(key),
        }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.edits.insert(key, Some(value));
    }

    /// Removes a key; returns true if the map had it.
    pub(super) fn remove(&mut self, key: &K) -> bool
    where
        K: Clone,
    {
        let was_there = self.contains(key);
        if self.base.contains_key(key) {
            self.edits.insert(key.clone(), None);
        } else {
            self.edits.remove(key);
        }
        was_there
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        Merged {
            base: self.base.iter().peekable(),
            edits: self.edits.iter().peekable(),
        }
    }

    /// The entries from `first` on.
    pub(super) fn iter_from<'a>(&'a self, first: &K) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let from = (Bound::Included(first), Bound::Unbounded);
        Merged {
            base: self.base.range(from).peekable(),
            edits: self.edits.range(from).peekable(),
        }
    }

    /// Moves the edits into the base, unless another state still shares the base.
    pub(super) fn settle(&mut self) {
        let Some(base) = Arc::get_mut(&mut self.base) else {
            return;
        };
        let edits = std::mem::take(&mut self.edits);
        if base.is_empty() {
            // The edits are sorted, so the map is built in one pass.
            *base = edits.into_iter().filter_map(|(key, edit)| Some((key, edit?))).collect();
            return;
        }
        for (key, edit) in edits {
            match edit {
                Some(value) => base.insert(key, value),
                None => base.remove(&key),
            };
        }
    }
}

#[cfg(test)]
impl<K, V> Layered<K, V> {
    pub(super) fn is_settled(&self) -> bool {
        self.edits.is_empty()
    }
}

// === impl Merged ===

impl<'a, K: Ord, V, B, E> Iterator for Merged<'a, K, V, B, E>
where
    B: Iterator<Item = (&'a K, &'a V)>,
    E: Iterator<Item = (&'a K, &'a Option<V>)>,
{
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let edited = self.edits.peek().map(|(edited, _)| *edited);
            let of_base = self.base.next_if(|(key, _)| edited.is_none_or(|edited| *key < edited));
            if of_base.is_some() {
                return of_base;
            }
            let (key, edit) = self.edits.next()?;
            self.base.next_if(|(replaced, _)| *replaced == key);
            if let Some(value) = edit {
                return Some((key, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Operation {
        Insert(u8, u8),
        Remove(u8),
        /// Clones the state, and continues with the clone or with the original.
        Fork(bool),
        /// Drops all other states.
        Drop,
        Settle,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            4 => (0..12_u8, any::<u8>()).prop_map(|(key, value)| Operation::Insert(key, value)),
            3 => (0..12_u8).prop_map(Operation::Remove),
            2 => any::<bool>().prop_map(Operation::Fork),
            1 => Just(Operation::Drop),
            2 => Just(Operation::Settle),
        ]
    }

    fn assert_same(layered: &Layered<u8, u8>, plain: &BTreeMap<u8, u8>) {
        assert!(layered.iter().eq(plain));
        for key in 0..13 {
            assert_eq!(layered.get(&key), plain.get(&key));
            assert_eq!(layered.contains(&key), plain.contains_key(&key));
            assert!(layered.iter_from(&key).eq(plain.range(key..)));
        }
    }

    proptest! {
        #[test]
        fn a_layered_map_is_as_a_plain_one_in_every_state(operations in proptest::collection::vec(operation(), 0..60)) {
            let (mut layered, mut plain) = (Layered::default(), BTreeMap::new());
            let mut others: Vec<(Layered<u8, u8>, BTreeMap<u8, u8>)> = Vec::new();
            for operation in operations {
                match operation {
                    Operation::Insert(key, value) => {
                        layered.insert(key, value);
                        plain.insert(key, value);
                    }
                    Operation::Remove(key) => {
                        prop_assert_eq!(layered.remove(&key), plain.remove(&key).is_some());
                    }
                    Operation::Fork(goes_on) => {
                        let clone = (layered.clone(), plain.clone());
                        if goes_on {
                            let before = (std::mem::replace(&mut layered, clone.0), std::mem::replace(&mut plain, clone.1));
                            others.push(before);
                        } else {
                            others.push(clone);
                        }
                    }
                    Operation::Drop => others.clear(),
                    Operation::Settle => layered.settle(),
                }
                assert_same(&layered, &plain);
                others.iter().for_each(|(layered, plain)| assert_same(layered, plain));
            }
        }
    }

    #[test]
    fn edits_move_into_a_base_that_nobody_shares() {
        let mut before = LayeredSet::default();
        before.insert(1, ());
        before.settle();
        let mut next = before.clone();
        next.insert(2, ());
        next.settle();
        assert_eq!((next.base.len(), next.edits.len()), (1, 1));
        drop(before);
        next.settle();
        assert_eq!((next.base.len(), next.edits.len()), (2, 0));
    }
}
