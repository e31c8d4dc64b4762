//! O-17: a resource that takes over a place comes with the removal or the change of the one that gives it up.

use super::{
    super::fixture::*,
    peer::{BOTH, Peer},
};
use crate::{protocol::Variant, resource::ResourceType};

const PLACE: &str = "the place";
const ANOTHER: &str = "another place";

/// A configuration in which a listener keeps the route configuration `r` in use.
fn base() -> Config {
    Config::default()
        .with(Cluster, "a", "1")
        .refers(Listener, "main", "1", &[(Route, "r")])
        .refers(Route, "r", "1", &[(Cluster, "a")])
}

/// Adds a resource that claims a place: a listener or scope with the route configuration `r`, or a virtual host of `r`.
fn claimant(config: Config, kind: &ResourceType, name: &str, place: &str) -> Config {
    let to = if *kind == VirtualHost {
        (Cluster, "a")
    } else {
        (Route, "r")
    };
    config
        .refers(kind.clone(), name, place, &[to])
        .claims(kind.clone(), name, place)
}

fn running(variant: Variant, kind: &ResourceType, config: &Config) -> Peer {
    let wildcards: &[ResourceType] = if *kind == Listener {
        &[]
    } else {
        std::slice::from_ref(kind)
    };
    Peer::running_with(variant, config, wildcards)
}

/// The variants in which the type exists.
fn variants(kind: &ResourceType) -> &'static [Variant] {
    if *kind == VirtualHost { &[Variant::Delta] } else { &BOTH }
}

fn is_taken_over_in_one_step(kind: &ResourceType, before: &Config, after: &Config, gone: Option<&str>, there: &[&str]) {
    for variant in variants(kind) {
        let mut peer = running(*variant, kind, before);
        peer.publish(after);
        if let Some(gone) = gone {
            peer.assert_holds(kind, gone, None);
        }
        for name in there {
            assert!(peer.holds(kind, name).is_some(), "{name}: {}", peer.log());
        }
        peer.assert_nothing_refused();
        peer.settle();
        peer.assert_nothing_refused();
        peer.assert_synced(2);
    }
}

/// Renames a resource, to a name that sorts after the old one and to one that sorts before it.
fn renamed(kind: &ResourceType) {
    for new in ["r/z", "r/a"] {
        let before = claimant(base(), kind, "r/old", PLACE);
        let after = claimant(base(), kind, new, PLACE);
        is_taken_over_in_one_step(kind, &before, &after, Some("r/old"), &[new]);
    }
}

#[test]
fn renamed_listener_goes_with_the_removal_of_the_old_one() {
    renamed(&Listener);
}

#[test]
fn renamed_scope_goes_with_the_removal_of_the_old_one() {
    renamed(&ScopedRoute);
}

#[test]
fn renamed_virtual_host_goes_with_the_removal_of_the_old_one() {
    renamed(&VirtualHost);
}

fn handed_on(kind: &ResourceType, giver: &str, taker: &str) {
    let before = claimant(base(), kind, giver, PLACE);
    let after = claimant(claimant(base(), kind, giver, ANOTHER), kind, taker, PLACE);
    is_taken_over_in_one_step(kind, &before, &after, None, &[giver, taker]);
}

#[test]
fn address_handed_on_by_a_listener_that_moves_goes_with_that_move() {
    handed_on(&Listener, "a", "b");
}

#[test]
fn key_handed_on_by_a_scope_that_changes_goes_with_that_change() {
    handed_on(&ScopedRoute, "a", "b");
    handed_on(&ScopedRoute, "b", "a");
}

#[test]
fn domain_handed_on_by_a_virtual_host_that_changes_goes_with_that_change() {
    handed_on(&VirtualHost, "r/a", "r/b");
    handed_on(&VirtualHost, "r/b", "r/a");
}

#[test]
fn scopes_and_virtual_hosts_exchange_their_places_in_one_response() {
    for kind in [ScopedRoute, VirtualHost] {
        let both = |first, second| claimant(claimant(base(), &kind, "r/a", first), &kind, "r/b", second);
        let (before, after) = (both(PLACE, ANOTHER), both(ANOTHER, PLACE));
        is_taken_over_in_one_step(&kind, &before, &after, None, &["r/a", "r/b"]);
    }
}

// O-3, O-17: make before break still holds.
#[test]
fn one_that_takes_over_a_place_waits_for_its_cluster_and_the_old_one_serves_until_then() {
    for kind in [Listener, ScopedRoute, VirtualHost] {
        for variant in variants(&kind) {
            let before = claimant(base(), &kind, "r/old", PLACE);
            let to = if kind == VirtualHost {
                (Cluster, "b")
            } else {
                (Route, "r2")
            };
            let after = base()
                .eds_cluster("b", "1")
                .with(Endpoint, "b", "1")
                .refers(Route, "r2", "1", &[(Cluster, "b")])
                .refers(kind.clone(), "r/new", "1", &[to])
                .claims(kind.clone(), "r/new", PLACE);
            let mut peer = running(*variant, &kind, &before);
            peer.publish(&after);
            peer.follow();
            peer.answer(&Endpoint);
            assert!(peer.holds(&kind, "r/old").is_some(), "{}", peer.log());
            peer.assert_holds(&kind, "r/new", None);
            peer.answer(&Cluster);
            peer.assert_holds(&kind, "r/new", "1");
            peer.assert_holds(&kind, "r/old", None);
            peer.settle();
            peer.assert_nothing_refused();
            peer.assert_synced(2);
        }
    }
}

#[test]
fn one_renamed_twice_within_a_round_trip_is_never_beside_its_former_self() {
    for kind in [Listener, ScopedRoute, VirtualHost] {
        for variant in variants(&kind) {
            let named = |name| claimant(base(), &kind, name, PLACE);
            let mut peer = running(*variant, &kind, &named("r/b"));
            peer.publish(&named("r/c"));
            peer.publish(&named("r/a"));
            peer.settle();
            peer.assert_nothing_refused();
            peer.assert_holds(&kind, "r/a", PLACE);
            peer.assert_holds(&kind, "r/b", None);
            peer.assert_holds(&kind, "r/c", None);
            peer.assert_synced(3);
        }
    }
}

#[test]
fn refused_taker_is_gone_once_its_giver_is_as_before() {
    for variant in BOTH {
        let before = claimant(base(), &Listener, "l0", PLACE);
        let mut peer = running(variant, &Listener, &before);
        let swapped = claimant(base(), &Listener, "l1", PLACE)
            .refers(Listener, "l0", "bad", &[(Route, "r2")])
            .refers(Route, "r2", "1", &[(Cluster, "b")])
            .with(Cluster, "b", "1")
            .claims(Listener, "l0", ANOTHER);
        peer.publish(&swapped);
        peer.answer(&Cluster);
        peer.publish(&before);
        peer.settle();
        peer.assert_holds(&Listener, "l1", None);
        peer.assert_holds(&Listener, "l0", PLACE);
        assert!(peer.refusals() <= 1, "{}", peer.log());
        peer.assert_synced(3);
    }
}

#[test]
fn refused_taker_comes_once_the_other_one_gives_way() {
    for variant in BOTH {
        let with = |one: &str, two: &str| {
            let first = claimant(base(), &Listener, "l0", one);
            claimant(first, &Listener, "l1", two)
        };
        let mut peer = running(variant, &Listener, &with(PLACE, ANOTHER));
        peer.publish(&with(ANOTHER, PLACE));
        peer.settle();
        peer.publish(&with("a third place", PLACE));
        peer.settle();
        peer.assert_holds(&Listener, "l0", "a third place");
        peer.assert_holds(&Listener, "l1", PLACE);
        peer.assert_synced(3);
    }
}
