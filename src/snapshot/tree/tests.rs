//! Tests of the set: equal sets are equal whatever their history, and a set shares nodes with the one before.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    node::{LIMIT, ends_here},
    *,
};

/// A key with a number under it.
#[derive(Clone, Debug, PartialEq)]
struct Pair(ResourceName, [u8; 1]);

impl Item for Pair {
    fn key(&self) -> &ResourceName {
        &self.0
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        [self.0.as_str().as_bytes(), &self.1[..]].into_iter()
    }

    fn bytes(&self) -> usize {
        self.1[0].into()
    }
}

type Model = BTreeMap<ResourceName, u8>;

fn name(n: u16) -> ResourceName {
    ResourceName::from(format!("name-{n:05}"))
}

fn pair((name, value): (&ResourceName, &u8)) -> Pair {
    Pair(name.clone(), [*value])
}

fn tree(model: &Model) -> Tree<Pair> {
    Tree::from_sorted(model.iter().map(pair))
}

fn leaves(tree: &Tree<Pair>) -> Vec<*const Leaf<Pair>> {
    let leaves = tree.inner_nodes.iter().flat_map(|inner| inner.leaves.iter());
    leaves.map(Arc::as_ptr).collect()
}

fn hashes(tree: &Tree<Pair>) -> Vec<ContentHash> {
    let leaves = |inner: &Arc<InnerNode<Pair>>| inner.leaves.iter().map(|leaf| leaf.hash()).collect::<Vec<_>>();
    let nodes = tree.inner_nodes.iter().map(|inner| (inner.hash(), leaves(inner)));
    nodes
        .flat_map(|(inner, leaves)| [vec![inner], leaves].concat())
        .collect()
}

/// Edits of few keys, or of enough keys for many leaves and inner nodes.
fn edits() -> impl Strategy<Value = Vec<BTreeMap<u16, Option<u8>>>> {
    let edit = |keys: u16, count| {
        proptest::collection::btree_map(0..keys, proptest::option::weighted(0.7, any::<u8>()), count)
    };
    let steps = |keys, count: std::ops::Range<usize>| proptest::collection::vec(edit(keys, count), 1..8);
    prop_oneof![steps(20, 0..10), steps(5000, 0..2000), steps(5000, 0..4)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn edited_set_is_what_it_would_be_without_a_history(steps in edits(), first in 0..4000_u16) {
        let mut model: Model = (0..first).map(|n| (name(n), 0)).collect();
        let mut set = tree(&model);
        for step in steps {
            let (model_before, before) = (model.clone(), set.clone());
            for (n, value) in &step {
                match value {
                    Some(value) => model.insert(name(*n), *value),
                    None => model.remove(&name(*n)),
                };
            }
            let edits: Vec<Edit<Pair>> = step
                .iter()
                .map(|(n, value)| (name(*n), value.map(|value| Pair(name(*n), [value]))))
                .collect();
            set = set.edited(&edits);

            prop_assert_eq!(hashes(&set), hashes(&tree(&model)), "cut alike");
            prop_assert_eq!(set.hash(), tree(&model).hash());
            prop_assert_eq!(set.hash() == before.hash(), model == model_before);
            prop_assert!(set.iter().cloned().eq(model.iter().map(pair)));
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.bytes(), model.values().map(|value| usize::from(*value)).sum::<usize>());
            for n in step.keys() {
                let found = set.get(name(*n).as_str()).map(|pair| pair.1[0]);
                prop_assert_eq!(found, model.get(&name(*n)).copied());
            }
            let mut rebuilt = model_before;
            for (old, new) in set.differences(&before) {
                match (old, new) {
                    (_, Some(Pair(name, [value]))) => drop(rebuilt.insert(name.clone(), *value)),
                    (Some(old), None) => drop(rebuilt.remove(&old.0)),
                    (None, None) => prop_assert!(false, "a difference of nothing"),
                }
            }
            prop_assert_eq!(&rebuilt, &model, "differences lead from one to the other");
        }
    }
}

#[test]
fn one_edit_of_many_items_makes_one_new_leaf() {
    let mut model: Model = (0..50_000).map(|n| (name(n), 0)).collect();
    let before = tree(&model);
    model.insert(name(25_000), 1);
    let after = before.edited(&[(name(25_000), Some(Pair(name(25_000), [1])))]);
    let (old, new) = (leaves(&before), leaves(&after));
    assert_eq!(new.iter().filter(|leaf| !old.contains(leaf)).count(), 1);
    assert!(
        old.len() > 1_000 && before.inner_nodes.len() > 20,
        "{} leaves",
        old.len()
    );
    assert!(after.differences(&before).count() < LIMIT);
    assert_eq!(after.hash(), tree(&model).hash());
}

#[test]
fn names_that_end_no_leaf_are_cut_at_the_limit() {
    let ending: Model = (0..u16::MAX)
        .map(|n| (name(n), 0))
        .filter(|(name, _)| !ends_here(name, 0))
        .collect();
    let mut set = tree(&ending);
    let mut model = ending;
    let gone: Vec<ResourceName> = model.keys().step_by(700).cloned().collect();
    for gone in gone.into_iter().take(5) {
        model.remove(&gone);
        set = set.edited(&[(gone, None)]);
        assert_eq!(hashes(&set), hashes(&tree(&model)));
    }
    let longest = set
        .inner_nodes
        .iter()
        .flat_map(|inner| inner.leaves.iter())
        .map(|leaf| leaf.items.len())
        .max();
    assert_eq!(longest, Some(LIMIT));
}
