//! Places that change hands: an address, the key of a scope, a domain. Envoy accepts a resource that claims a place
//! only once the holder of that place is gone or changed, in the same response at the latest (O-17).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::client::{Client, Gone};
use crate::{
    protocol::{Contents, policy::has_places, type_state::ClientView},
    resource::{Place, Resource, ResourceName},
    snapshot::TypeResources,
};

#[derive(Debug, Default)]
pub(super) struct HandOver {
    /// Removed names that leave in this step, because others take their places.
    pub(super) leaving: BTreeSet<ResourceName>,
    /// Names that give up places, each before the one that takes over: Envoy applies a response's listeners and scopes
    /// in order.
    pub(super) givers: Vec<ResourceName>,
}

/// A resource that claims a place, and the resource that holds it.
struct Claim<'a> {
    by: &'a ResourceName,
    holder: &'a ResourceName,
}

/// Finds the resources that take places of others. The resource that changes and the one that takes its place go
/// together or wait together: those that must wait are added to `blocked`. The resources in `lasts` may wait for long.
pub(super) fn hand_over(
    client: Client<'_>,
    to: &TypeResources,
    changed: &Contents,
    gone: &[Gone],
    (blocked, lasts): (&mut BTreeSet<ResourceName>, &BTreeSet<ResourceName>),
) -> HandOver {
    let mut hand_over = HandOver::default();
    if !has_places(client.kind) {
        return hand_over;
    }
    let view = client.view;
    let claims = new_claims(view, changed);
    if claims.is_empty() {
        return hand_over;
    }
    let holders = holders(view, changed, gone);
    let mut contested: Vec<Claim<'_>> = Vec::new();
    for (by, place) in &claims {
        let others = holders
            .get(place)
            .into_iter()
            .flatten()
            .filter(|holder| ***holder != by.name);
        contested.extend(others.map(|holder| Claim { by: &by.name, holder }));
    }
    wait_together(&contested, to, changed, blocked);
    if blocked.iter().any(|name| view.holds_unknown_as(name)) {
        // A waiting resource of unknown content may hold any of the places. If its wait may last, resources that the
        // client already has are taken to claim only places they had.
        let may_last = blocked
            .iter()
            .filter(|name| view.holds_unknown_as(name))
            .all(|name| lasts.contains(name));
        let new = claims
            .iter()
            .filter(|(by, _)| !may_last || !view.holds_unknown_as(&by.name));
        blocked.extend(new.map(|(by, _)| by.name.clone()));
    }
    let goes = |name: &ResourceName| !blocked.contains(name);
    for claim in contested.iter().filter(|claim| goes(claim.by)) {
        if to.named(claim.holder.as_str()).is_none() {
            hand_over.leaving.insert(claim.holder.clone());
        }
    }
    hand_over.givers = givers(&contested, to, blocked);
    if claims.iter().any(|(by, _)| goes(&by.name)) {
        // The places of these resources are unknown, and may be the claimed ones.
        let retained = view
            .retained()
            .values()
            .map(|retained| (&retained.resource, retained.known));
        let left = retained.filter(|(resource, _)| to.named(resource.name.as_str()).is_none());
        let gone = gone.iter().map(|gone| (&gone.resource, gone.known));
        let unknown = left
            .chain(gone)
            .filter(|(resource, known)| !known || resource.places.is_empty());
        hand_over
            .leaving
            .extend(unknown.map(|(resource, _)| resource.name.clone()));
    }
    hand_over
}

/// For a first answer: blocks each resource that claims a place of a waiting one, if that is given in its older form.
pub(super) fn wait_with_older(
    client: Client<'_>,
    changed: &Contents,
    older: &TypeResources,
    blocked: &mut BTreeSet<ResourceName>,
) {
    if !has_places(client.kind) {
        return;
    }
    loop {
        let given = blocked.iter().filter(|name| !client.view.has_given(name));
        let taken: BTreeSet<&Place> = given
            .filter_map(|name| older.named(name.as_str()))
            .flat_map(|resource| &resource.places)
            .collect();
        let claims = |resource: &&Arc<Resource>| resource.places.iter().any(|place| taken.contains(place));
        let claimants: Vec<ResourceName> = changed
            .iter()
            .filter(|resource| !blocked.contains(&resource.name))
            .filter(claims)
            .map(|resource| resource.name.clone())
            .collect();
        if claimants.is_empty() {
            return;
        }
        blocked.extend(claimants);
    }
}

/// The places that changed resources claim and did not have before.
fn new_claims<'a>(view: &ClientView, changed: &'a Contents) -> Vec<(&'a Arc<Resource>, &'a Place)> {
    let mut claims = Vec::new();
    for resource in changed.iter().filter(|resource| !resource.places.is_empty()) {
        let before = view
            .holding(&resource.name)
            .filter(|_| !view.is_doubtful(&resource.name));
        let had = |place: &Place| before.is_some_and(|before| before.places.contains(place));
        claims.extend(
            resource
                .places
                .iter()
                .filter(|place| !had(place))
                .map(|place| (resource, place)),
        );
    }
    claims
}

/// The holders of each place at the client that will change or go, or whose change was refused.
fn holders<'a>(
    view: &'a ClientView,
    changed: &Contents,
    gone: &'a [Gone],
) -> BTreeMap<&'a Place, Vec<&'a ResourceName>> {
    let mut holders: BTreeMap<&Place, Vec<&ResourceName>> = BTreeMap::new();
    let changing = changed.iter().filter_map(|resource| view.holding(&resource.name));
    let gone = gone.iter().map(|gone| &gone.resource);
    for resource in changing.chain(gone).chain(view.exceptional()) {
        for place in &resource.places {
            let names = holders.entry(place).or_default();
            if !names.contains(&&resource.name) {
                names.push(&resource.name);
            }
        }
    }
    holders
}

/// The resources that give up a place and stay, each before the resource that takes it.
fn givers(claims: &[Claim<'_>], to: &TypeResources, blocked: &BTreeSet<ResourceName>) -> Vec<ResourceName> {
    let goes = |claim: &&Claim<'_>| !blocked.contains(claim.by) && to.named(claim.holder.as_str()).is_some();
    let going: Vec<&Claim<'_>> = claims.iter().filter(goes).collect();
    let mut order: Vec<&ResourceName> = Vec::new();
    // Each round takes the resources whose own new places are free by then. A circle is left over, which no order
    // resolves.
    loop {
        let is_free = |name: &ResourceName| {
            let mut taken = going.iter().filter(|claim| claim.by == name);
            taken.all(|claim| order.contains(&claim.holder))
        };
        let next = going
            .iter()
            .find(|claim| !order.contains(&claim.holder) && is_free(claim.holder));
        let Some(claim) = next else {
            return order.into_iter().cloned().collect();
        };
        order.push(claim.holder);
    }
}

/// Blocks a claiming resource while the holder cannot change, and a holder while the claiming resource waits.
fn wait_together(claims: &[Claim<'_>], to: &TypeResources, changed: &Contents, blocked: &mut BTreeSet<ResourceName>) {
    loop {
        let before = blocked.len();
        for claim in claims {
            if to.named(claim.holder.as_str()).is_none() {
                continue;
            }
            let holder_stays = blocked.contains(claim.holder) || changed.get(claim.holder).is_none();
            if holder_stays {
                blocked.insert(claim.by.clone());
            } else if blocked.contains(claim.by) {
                blocked.insert(claim.holder.clone());
            }
        }
        if blocked.len() == before {
            return;
        }
    }
}
