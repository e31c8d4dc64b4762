//! Splits large delta responses: gRPC clients take messages of 4 MiB by default (L-13).
//!
//! All parts are recorded as sent at once, so that nothing overtakes them; they are sent one after the other.

use std::sync::Arc;

use super::draft::Draft;
use crate::{
    protocol::Contents,
    resource::{Resource, ResourceName},
};

/// The most bytes that protobuf adds to a resource or a name, and to the response.
const ENVELOPE: usize = 32;
const RESPONSE_ENVELOPE: usize = 512;

/// The contents of one response.
#[derive(Debug)]
pub(in crate::protocol) struct Part {
    pub(in crate::protocol) resources: Contents,
    pub(in crate::protocol) removed: Vec<ResourceName>,
    pub(in crate::protocol) unresolved: Vec<ResourceName>,
}

/// Divides a draft into parts of at most `most` bytes and at least one item; `None` leaves the draft whole.
pub(in crate::protocol) fn parts(draft: &mut Draft, most: Option<usize>) -> (Part, Vec<Part>) {
    let resources = std::mem::take(&mut draft.resources);
    let removed = std::mem::take(&mut draft.removed);
    let unresolved = std::mem::take(&mut draft.unresolved);
    let fits = |room: usize| {
        let of_resources: usize = resources.as_slice().iter().map(|resource| size_of(resource)).sum();
        let of_names: usize = removed.iter().chain(&unresolved).map(size_of_name).sum();
        of_resources + of_names <= room
    };
    let room = most.map(|most| most.saturating_sub(RESPONSE_ENVELOPE));
    let Some(room) = room.filter(|room| !fits(*room)) else {
        let whole = Part {
            resources,
            removed,
            unresolved,
        };
        return (whole, Vec::new());
    };
    let resources = divide(resources.as_slice(), room, |resource| size_of(resource)).map(Item::Resources);
    let removed = divide(&removed, room, size_of_name).map(Item::Removed);
    let unresolved = divide(&unresolved, room, size_of_name).map(Item::Unresolved);
    let mut parts = resources.chain(removed).chain(unresolved).map(Part::from);
    let first = parts.next().expect("what does not fit is not nothing");
    (first, parts.collect())
}

/// The contents of one part. A part that mixes these kinds would save nothing.
enum Item<'a> {
    Resources(&'a [Arc<Resource>]),
    Removed(&'a [ResourceName]),
    Unresolved(&'a [ResourceName]),
}

impl From<Item<'_>> for Part {
    fn from(item: Item<'_>) -> Self {
        let mut part = Self {
            resources: Contents::default(),
            removed: Vec::new(),
            unresolved: Vec::new(),
        };
        match item {
            Item::Resources(resources) => part.resources = Contents::Chosen(resources.to_vec()),
            Item::Removed(names) => part.removed = names.to_vec(),
            Item::Unresolved(names) => part.unresolved = names.to_vec(),
        }
        part
    }
}

/// Divides a list into runs of at most `room` bytes and at least one item.
fn divide<'a, T>(mut rest: &'a [T], room: usize, size: impl Fn(&T) -> usize + 'a) -> impl Iterator<Item = &'a [T]> {
    std::iter::from_fn(move || {
        let mut taken = 0;
        let fits = |item: &&T| {
            taken += size(item);
            taken <= room
        };
        let most = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (run, left) = rest.split_at(most);
        rest = left;
        (!run.is_empty()).then_some(run)
    })
}

fn size_of(resource: &Resource) -> usize {
    let aliases: usize = resource.aliases.iter().map(size_of_name).sum();
    resource.body.len() + resource.version.as_str().len() + size_of_name(&resource.name) + aliases + ENVELOPE
}

fn size_of_name(name: &ResourceName) -> usize {
    name.as_str().len() + ENVELOPE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fit_their_room_and_hold_one_at_least() {
        let sizes = [3, 3, 5, 20, 1, 1];
        let runs: Vec<Vec<usize>> = divide(&sizes, 8, |size| *size).map(<[usize]>::to_vec).collect();
        assert_eq!(runs, [vec![3, 3], vec![5], vec![20], vec![1, 1]]);
        assert_eq!(divide::<usize>(&[], 8, |size| *size).count(), 0);
    }
}
