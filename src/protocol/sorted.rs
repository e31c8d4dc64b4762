//! Sorted texts: sorts lists of thousands of names, and walks two of them side by side.

use std::{cmp::Ordering, sync::Arc};

use crate::resource::Resource;

/// Sorts by text. The sort is stable.
///
/// The names of a list often share a prefix, so the few bytes behind the common prefix are compared first.
pub(super) fn sort_by_text<T>(items: &mut Vec<T>, text: impl Fn(&T) -> &str) {
    if items.is_sorted_by(|a, b| text(a) <= text(b)) {
        return;
    }
    let common = common_prefix(items.iter().map(|item| text(item).as_bytes()));
    let mut keyed: Vec<(u64, T)> = items
        .drain(..)
        .map(|item| (key(&text(&item).as_bytes()[common..]), item))
        .collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| text(&a.1).cmp(text(&b.1))));
    items.extend(keyed.into_iter().map(|(_, item)| item));
}

/// Sorts by name, and keeps one resource of each name.
pub(super) fn sort_once(resources: &mut Vec<Arc<Resource>>) {
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    resources.dedup_by(|a, b| a.name == b.name);
}

/// Finds the wanted text in `rest`, the part of a sorted list still to be walked. Wanted texts must be sorted, too.
pub(super) fn walk_to<'a, T>(rest: &mut &'a [T], wanted: &str, text: impl Fn(&T) -> &str) -> Option<&'a T> {
    while let Some((first, after)) = rest.split_first() {
        match text(first).cmp(wanted) {
            Ordering::Less => *rest = after,
            Ordering::Equal => return Some(first),
            Ordering::Greater => return None,
        }
    }
    None
}

/// The number of bytes that all texts begin with.
fn common_prefix<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(mut common) = texts.next() else {
        return 0;
    };
    for text in texts {
        if !text.starts_with(common) {
            let alike = common.iter().zip(text).take_while(|(a, b)| a == b).count();
            common = &common[..alike];
        }
    }
    common.len()
}

/// The first eight bytes as a number of the same order. Missing bytes count as zero.
fn key(text: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = text.len().min(first.len());
    first[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Short texts that often begin alike, so that one is the prefix of another.
    fn texts() -> impl Strategy<Value = Vec<String>> {
        let text = prop_oneof!["[ab\0]{0,3}", "common/[ab\0é]{0,12}", "common/prefix-[0-9]{1,3}"];
        prop_oneof![
            prop::collection::vec(text, 0..40),
            prop::collection::vec("common/[ab\0é]{0,12}", 0..40),
        ]
    }

    proptest! {
        #[test]
        fn texts_are_sorted_as_a_stable_sort_sorts_them(texts in texts()) {
            let mut sorted: Vec<(usize, String)> = texts.into_iter().enumerate().collect();
            let mut expected = sorted.clone();
            expected.sort_by(|a, b| a.1.cmp(&b.1));
            sort_by_text(&mut sorted, |(_, text)| text);
            prop_assert_eq!(sorted, expected);
        }

        #[test]
        fn walking_finds_what_a_search_finds(mut list in texts(), mut wanted in texts()) {
            list.sort();
            wanted.sort();
            let mut rest = &list[..];
            for text in &wanted {
                let found = walk_to(&mut rest, text, |listed| listed);
                prop_assert_eq!(found, list.iter().find(|listed| *listed == text));
            }
        }
    }
}
