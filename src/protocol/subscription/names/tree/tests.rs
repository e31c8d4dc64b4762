//! The tree is a set: it is compared with one after every edit.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The names of one edit: added and removed ones.
type Edit = (Vec<u16>, Vec<u16>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let few = || prop::collection::vec(0..600_u16, 0..4);
    let many = || prop::collection::vec(0..600_u16, 0..300);
    let edit = prop_oneof![8 => (few(), few()), 1 => (many(), few()), 1 => (few(), many())];
    prop::collection::vec(edit, 1..80)
}

fn texts(numbers: &[u16]) -> Vec<String> {
    numbers.iter().map(|number| format!("name-{number}")).collect()
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn of(model: &BTreeSet<String>) -> Tree {
    let names: Vec<ResourceName> = model.iter().map(|name| ResourceName::from(name.as_str())).collect();
    Tree::new(&names)
}

/// The number of nodes of `tree` that `other` does not share.
fn own_nodes(tree: &Tree, other: &Tree) -> usize {
    fn all(node: &Node, into: &mut Vec<usize>) {
        match node {
            Node::Leaf(names) => into.push(names.as_ptr() as usize),
            Node::Branch(children) => {
                into.push(children.as_ptr() as usize);
                children.iter().for_each(|child| all(&child.node, into));
            }
        }
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    all(&tree.root, &mut ours);
    all(&other.root, &mut theirs);
    let theirs: BTreeSet<usize> = theirs.into_iter().collect();
    ours.iter().filter(|node| !theirs.contains(node)).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn tree_is_a_sorted_set(edits in edits()) {
        let mut model = BTreeSet::new();
        let mut tree = Tree::new(&[]);
        let mut before: Option<(Tree, BTreeSet<String>)> = None;
        for (add, remove) in edits {
            let (add, remove) = (texts(&add), texts(&remove));
            tree = tree.edited(&refs(&add), &refs(&remove));
            remove.iter().for_each(|name| { model.remove(name); });
            model.extend(add);
            prop_assert!(tree.iter().map(ResourceName::as_str).eq(model.iter().map(String::as_str)));
            prop_assert_eq!((tree.len(), tree.iter().len()), (model.len(), model.len()));
            prop_assert_eq!(tree.bytes(), model.iter().map(String::len).sum::<usize>());
            for number in (0..600).step_by(7) {
                let name = format!("name-{number}");
                prop_assert_eq!(tree.has(&name), model.contains(&name));
            }
            let built = of(&model);
            prop_assert_eq!(tree.sum(), built.sum());
            prop_assert!(tree == built, "equal sets are equal, whatever edits made them");
            prop_assert!(built == tree, "equal sets are equal, whatever edits made them");
            if let Some((tree_before, model_before)) = before {
                prop_assert_eq!(tree == tree_before, model == model_before);
                prop_assert!(tree_before == of(&model_before), "an edit leaves the set before unchanged");
            }
            before = Some((tree.clone(), model.clone()));
        }
    }
}

#[test]
fn edit_makes_few_pages_whatever_the_length() {
    for len in [100_usize, 10_000, 400_000] {
        let names: Vec<ResourceName> = (0..len).map(|n| ResourceName::from(format!("name-{n:06}"))).collect();
        let tree = Tree::new(&names);
        for name in ["", "name-000050x", "z"] {
            let more = tree.edited(&[name], &[]);
            assert!(own_nodes(&more, &tree) <= 7, "{len}: {}", own_nodes(&more, &tree));
            let less = more.edited(&[], &[name]);
            assert!(own_nodes(&less, &more) <= 5, "{len}: {}", own_nodes(&less, &more));
            assert!(less == tree);
        }
    }
}
