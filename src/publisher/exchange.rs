//! Finds listeners that exchange their addresses in one publish, which no Envoy can follow (O-17).
//!
//! Envoy applies the listeners of a response one after the other, and refuses a listener whose address another one still
//! has. If one listener moves away first, the other can follow; in a circle no listener can be first. Envoy applies scopes
//! and virtual hosts all at once: they may exchange their places.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    admission::{Finding, Places, Severity, codes},
    resource::{Place, Resource, ResourceName, ResourceType},
    snapshot::{Types, of_type},
};

/// Listeners that a message names; beyond it the message gives the number.
const NAMED: usize = 4;

/// A place that one listener takes from another, which stays in the snapshot.
#[derive(Clone, Copy)]
struct Move<'a> {
    place: &'a Place,
    from: &'a ResourceName,
}

/// The moves of each listener, by its name.
type Moves<'a> = BTreeMap<&'a ResourceName, Vec<Move<'a>>>;

/// Warns of every circle of moves between two states.
pub(super) fn check(before: &Types, after: &Types, places: &Places) -> Vec<Finding> {
    let mut moves = moves(before, after);
    drop_ends(&mut moves);
    circles(&moves).iter().map(|circle| warning(circle, places)).collect()
}

/// The places that changed listeners take from other changed ones.
fn moves<'a>(before: &'a Types, after: &'a Types) -> Moves<'a> {
    let (before, after) = (
        of_type(before, &ResourceType::Listener),
        of_type(after, &ResourceType::Listener),
    );
    let changed: Vec<(&Resource, &Resource)> = after
        .differences(before)
        .filter_map(|(old, new)| Some((&**old?, &**new?)))
        .filter(|(old, new)| old.places != new.places)
        .collect();
    let gives = |old: &'a Resource, new: &'a Resource| {
        let given = old.places.iter().filter(|place| !new.places.contains(place));
        given.map(|place| (place, &old.name))
    };
    let givers: BTreeMap<&Place, &ResourceName> = changed.iter().flat_map(|(old, new)| gives(old, new)).collect();
    let takes = |(_, new): &(&Resource, &'a Resource)| {
        let taken = new.places.iter().filter_map(|place| {
            let from = *givers.get(place)?;
            Some(Move { place, from })
        });
        (&new.name, taken.collect())
    };
    changed.iter().map(takes).collect()
}

/// Removes the listeners that can move first, then those that can follow them, until only circles are left.
fn drop_ends(moves: &mut Moves<'_>) {
    let mut takers: BTreeMap<&ResourceName, Vec<&ResourceName>> = BTreeMap::new();
    for (taker, taken) in moves.iter() {
        for one in taken {
            takers.entry(one.from).or_default().push(taker);
        }
    }
    let mut waits: BTreeMap<&ResourceName, usize> = moves.iter().map(|(name, taken)| (*name, taken.len())).collect();
    let mut free: Vec<&ResourceName> = waits
        .iter()
        .filter(|(_, left)| **left == 0)
        .map(|(name, _)| *name)
        .collect();
    while let Some(name) = free.pop() {
        moves.remove(name);
        for taker in takers.remove(name).unwrap_or_default() {
            if let Some(left) = waits.get_mut(taker) {
                *left -= 1;
                if *left == 0 {
                    free.push(taker);
                }
            }
        }
    }
    for taken in moves.values_mut() {
        taken.retain(|one| waits.get(one.from).is_some_and(|left| *left > 0));
    }
}

/// Circles that share no listener, where each listener takes a place from another.
fn circles<'a>(moves: &Moves<'a>) -> Vec<Vec<(&'a ResourceName, Move<'a>)>> {
    let (mut seen, mut circles) = (BTreeSet::new(), Vec::new());
    for start in moves.keys() {
        let mut path: Vec<(&ResourceName, Move<'_>)> = Vec::new();
        let mut at = *start;
        while seen.insert(at) {
            let Some(next) = moves.get(at).and_then(|taken| taken.first()) else {
                break;
            };
            path.push((at, *next));
            at = next.from;
        }
        // The path may begin outside of the circle, or end in a circle that was already found.
        if let Some(first) = path.iter().position(|(name, _)| *name == at) {
            circles.push(path.split_off(first));
        }
    }
    circles
}

fn warning(circle: &[(&ResourceName, Move<'_>)], places: &Places) -> Finding {
    let texts = circle.iter().take(NAMED);
    let mut texts: Vec<String> = texts
        .map(|(taker, taken)| format!("\"{taker}\" takes {} from \"{}\"", taken.place, taken.from))
        .collect();
    if circle.len() > NAMED {
        texts.push(format!("and so on for {} listeners in all", circle.len()));
    }
    let message = format!(
        "listeners exchange addresses: {}. An Envoy refuses that in any one response: publish twice, at first with one of \
         them on a free address",
        texts.join(", ")
    );
    let first = circle.first().map(|(name, _)| *name);
    Finding {
        severity: Severity::Warning,
        code: codes::EXCHANGE,
        message,
        place: first.and_then(|name| places.of_resource(&ResourceType::Listener, name)),
        type_url: Some(ResourceType::Listener.type_url().to_owned()),
        resource: first.map(ToString::to_string),
        field: Some("address".to_owned()),
    }
}

#[cfg(test)]
mod tests;
