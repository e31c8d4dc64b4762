//! The resources that a reconnecting client presents (D-5).

use std::{borrow::Cow, slice};

use super::{
    sorted::{sort_by_text, walk_to},
    subscription::Names,
};
use crate::resource::{ResourceName, xdstp};

/// A name, and the version that the client holds under it.
pub(super) type PresentedVersion<'a> = (Cow<'a, str>, &'a str);

/// Canonical names and their versions: sorted, each name once.
#[derive(Debug)]
pub(super) struct Presented<'a>(Vec<PresentedVersion<'a>>);

/// A cursor over the presented names, for lookups in sorted order.
#[derive(Debug)]
pub(super) struct Walk<'p, 'a>(&'p [PresentedVersion<'a>]);

// === impl Presented ===

impl<'a> Presented<'a> {
    /// Takes the list of a request, in any order. Of equal names the last one counts.
    pub(super) fn new(mut held: Vec<PresentedVersion<'a>>) -> Self {
        for (name, _) in &mut held {
            xdstp::canonicalize_cow(name);
        }
        sort_by_text(&mut held, |(name, _)| name);
        held.dedup_by(|later, kept| {
            let again = later.0 == kept.0;
            if again {
                kept.1 = later.1;
            }
            again
        });
        Self(held)
    }

    /// Replaces every version by the empty one, which no resource has: each resource is sent again, or removed if gone.
    pub(super) fn distrusted(mut self) -> Self {
        self.0.iter_mut().for_each(|(_, version)| *version = "");
        self
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> slice::Iter<'_, PresentedVersion<'a>> {
        self.0.iter()
    }

    pub(super) fn walk(&self) -> Walk<'_, 'a> {
        Walk(&self.0)
    }

    /// The names of the list that the client does not present.
    pub(super) fn lacking(&self, names: &Names) -> Names {
        let mut walk = self.walk();
        let lacking = names.iter().filter(|name| !walk.holds(name));
        let lacking: Vec<ResourceName> = lacking.cloned().collect();
        if lacking.len() == names.len() {
            return names.clone();
        }
        lacking.into()
    }
}

// === impl Walk ===

impl Walk<'_, '_> {
    /// Returns true if the client presents the name. Names must be looked up in sorted order.
    pub(super) fn holds(&mut self, name: &ResourceName) -> bool {
        walk_to(&mut self.0, name.as_str(), |(held, _)| held).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(held: &[(&'static str, &'static str)]) -> Presented<'static> {
        Presented::new(
            held.iter()
                .map(|(name, version)| (Cow::Borrowed(*name), *version))
                .collect(),
        )
    }

    fn names(list: &[&str]) -> Names {
        list.iter().copied().map(ResourceName::from).collect::<Vec<_>>().into()
    }

    #[test]
    fn last_version_of_a_name_counts_however_the_name_is_written() {
        let presented = presented(&[
            ("xdstp://a/t.T/x?b=2&a=1", "1"),
            ("b", "1"),
            ("a", "1"),
            ("b", "2"),
            ("xdstp://a/t.T/x?a=1&b=2", "2"),
            ("b", "3"),
        ]);
        let held: Vec<_> = presented.iter().map(|(name, version)| (&**name, *version)).collect();
        assert_eq!(held, [("a", "1"), ("b", "3"), ("xdstp://a/t.T/x?a=1&b=2", "2")]);
    }

    #[test]
    fn what_is_not_presented_is_lacking() {
        let presented = presented(&[("d", "1"), ("b", "1")]);
        assert_eq!(
            presented.lacking(&names(&["a", "b", "c", "d", "e"])),
            names(&["a", "c", "e"])
        );
        assert_eq!(presented.lacking(&names(&["a", "c"])), names(&["a", "c"]));
        assert!(presented.lacking(&names(&["b", "d"])).is_empty());
    }

    #[test]
    fn distrusted_versions_are_those_of_no_resource() {
        let presented = presented(&[("a", "1"), ("b", "2")]).distrusted();
        assert!(presented.iter().all(|(_, version)| version.is_empty()));
        assert_eq!(presented.len(), 2);
    }
}
