//! O-15: a cluster that warms for long delays itself and what newly refers to it, and nothing else.

use std::time::Duration;

use super::{
    super::fixture::*,
    peer::{BOTH, Peer},
};
use crate::{
    protocol::{Awaiting, Outcome, Standing, Variant},
    resource::{ResourceType, Warming},
};

/// An Envoy withholds the ACK of CDS while a cluster warms; after this silence another SotW response may follow.
const SILENCE: Duration = Duration::from_millis(250);

/// Two listeners with a route configuration each, both to the cluster `a`.
fn base() -> Config {
    Config::default()
        .eds_cluster("a", "1")
        .with(Endpoint, "a", "1")
        .refers(Listener, "l", "1", &[(Route, "r")])
        .refers(Listener, "l2", "1", &[(Route, "r2")])
        .refers(Route, "r", "1", &[(Cluster, "a")])
        .refers(Route, "r2", "1", &[(Cluster, "a")])
}

fn with_slow(config: Config) -> Config {
    config.eds_cluster("slow", "1").with(Endpoint, "slow", "1")
}

/// An Envoy that was given the cluster `slow` and its endpoints; `slow` warms.
fn warming(variant: Variant, config: &Config) -> Peer {
    let mut peer = Peer::running(variant, &base());
    peer.publish(config);
    peer.assert_holds(&Cluster, "slow", "1");
    peer.follow();
    peer.assert_holds(&Endpoint, "slow", "1");
    peer.answer(&Endpoint);
    peer
}

/// The type and name of a changed resource, and its references.
type Change<'a> = (ResourceType, &'a str, &'a [(ResourceType, &'a str)]);

fn standing(peer: &Peer) -> Standing {
    let reported = peer.stream.outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::Standing(standing) => Some(standing.clone()),
        _ => None,
    });
    reported.unwrap_or_default()
}

#[test]
fn change_that_names_nothing_new_goes_while_a_cluster_warms() {
    let changes: [Change<'_>; 3] = [
        (Route, "r", &[(Cluster, "a")]),
        (Listener, "l", &[(Route, "r")]),
        (Endpoint, "a", &[]),
    ];
    for variant in BOTH {
        for (kind, name, to) in &changes {
            let mut peer = warming(variant, &with_slow(base()));
            peer.publish(&with_slow(base()).refers(kind.clone(), name, "2", to));
            peer.assert_holds(kind, name, "2");
        }
    }
}

#[test]
fn new_listener_and_its_route_go_while_a_cluster_warms() {
    for variant in BOTH {
        let mut peer = warming(variant, &with_slow(base()));
        let next =
            with_slow(base())
                .refers(Listener, "l3", "1", &[(Route, "r3")])
                .refers(Route, "r3", "1", &[(Cluster, "a")]);
        peer.publish(&next);
        peer.assert_holds(&Listener, "l3", "1");
        peer.follow();
        peer.assert_holds(&Route, "r3", "1");
    }
}

#[test]
fn removed_listener_goes_while_a_cluster_warms() {
    for variant in BOTH {
        let mut peer = warming(variant, &with_slow(base()));
        let next = with_slow(base()).without(Listener, "l2").without(Route, "r2");
        peer.publish(&next);
        peer.assert_holds(&Listener, "l2", None);
    }
}

#[test]
fn of_two_routes_only_the_one_that_names_the_warming_cluster_waits() {
    for variant in BOTH {
        let next =
            with_slow(base())
                .refers(Route, "r", "2", &[(Cluster, "slow")])
                .refers(Route, "r2", "2", &[(Cluster, "a")]);
        let mut peer = warming(variant, &next);
        peer.assert_holds(&Route, "r2", "2");
        peer.assert_holds(&Route, "r", "1");
        peer.answer(&Route);
        peer.assert_holds(&Route, "r", "1");
        peer.answer(&Cluster);
        peer.assert_holds(&Route, "r", "2");
        peer.settle();
        peer.assert_synced(2);
    }
}

#[test]
fn of_two_listeners_only_the_one_whose_cluster_warms_waits() {
    for variant in BOTH {
        let next = with_slow(base())
            .refers(Listener, "l", "2", &[(Cluster, "slow")])
            .refers(Listener, "l2", "2", &[(Route, "r2")]);
        let mut peer = warming(variant, &next);
        peer.assert_holds(&Listener, "l2", "2");
        peer.assert_holds(&Listener, "l", "1");
        peer.answer(&Listener);
        peer.answer(&Cluster);
        peer.assert_holds(&Listener, "l", "2");
    }
}

#[test]
fn further_clusters_come_while_one_warms() {
    for variant in BOTH {
        let mut peer = warming(variant, &with_slow(base()));
        peer.publish(&with_slow(base()).with(Cluster, "fast", "1"));
        peer.pass(SILENCE);
        peer.assert_holds(&Cluster, "fast", "1");
        peer.assert_holds(&Cluster, "slow", "1");
        peer.publish(&with_slow(base()).with(Cluster, "fast", "2"));
        peer.pass(SILENCE);
        peer.assert_holds(&Cluster, "fast", "2");
        peer.settle();
        peer.assert_synced(4);
    }
}

#[test]
fn endpoints_of_a_further_cluster_are_answered_while_one_warms() {
    for variant in BOTH {
        let mut peer = warming(variant, &with_slow(base()));
        peer.publish(&with_slow(base()).eds_cluster("fast", "1").with(Endpoint, "fast", "1"));
        peer.pass(SILENCE);
        peer.follow();
        peer.assert_holds(&Endpoint, "fast", "1");
    }
}

#[test]
fn status_says_which_route_waits_for_which_cluster() {
    for variant in BOTH {
        let next =
            with_slow(base())
                .refers(Route, "r", "2", &[(Cluster, "slow")])
                .refers(Route, "r2", "2", &[(Cluster, "a")]);
        let mut peer = warming(variant, &next);
        let standing = standing(&peer);
        assert_eq!(standing.waiting, 1, "{standing:?} {}", peer.log());
        let wait = &standing.waits[0];
        assert_eq!((&wait.resource_type, wait.name.as_str()), (&Route, "r"), "{standing:?}");
        let on: Vec<_> = wait
            .on
            .iter()
            .map(|on| (&on.resource_type, on.name.as_str(), on.reason))
            .collect();
        assert_eq!(on, [(&Cluster, "slow", Awaiting::Unanswered)], "{variant:?}");
        peer.settle();
        assert_eq!(self::standing(&peer), Standing::default(), "{}", peer.log());
    }
}

/// A further cluster with a route to it, published while `slow` warms.
fn with_fast(warming: Warming) -> Config {
    let clusters = with_slow(base()).eds_cluster("fast", "1").with(Endpoint, "fast", "1");
    let clusters = if warming == Warming::AtOnce {
        with_slow(base()).with(Cluster, "fast", "1")
    } else {
        clusters
    };
    let clusters = clusters.warms("fast", warming);
    clusters.refers(Route, "r", "2", &[(Cluster, "fast")])
}

#[test]
fn route_to_a_further_cluster_goes_once_its_endpoints_were_accepted() {
    for variant in BOTH {
        let mut peer = warming(variant, &with_slow(base()));
        peer.publish(&with_fast(Warming::WithEndpoints));
        peer.pass(SILENCE);
        peer.assert_holds(&Cluster, "fast", "1");
        peer.follow();
        peer.assert_holds(&Endpoint, "fast", "1");
        peer.assert_holds(&Route, "r", "1");
        peer.warms_up("fast");
        peer.answer(&Endpoint);
        peer.assert_holds(&Route, "r", "2");
    }
}

#[test]
fn route_to_a_further_cluster_with_its_own_endpoints_goes_while_one_warms() {
    for variant in BOTH {
        let mut peer = warming(variant, &with_slow(base()));
        peer.publish(&with_fast(Warming::AtOnce));
        peer.pass(SILENCE);
        peer.assert_holds(&Cluster, "fast", "1");
        peer.assert_holds(&Route, "r", "1");
        peer.warms_up("fast");
        peer.pass(SILENCE);
        peer.assert_holds(&Route, "r", "2");
    }
}

#[test]
fn route_to_a_further_cluster_waits_where_nothing_shows_that_it_is_warm() {
    for variant in BOTH {
        let mut peer = warming(variant, &with_slow(base()));
        peer.publish(&with_fast(Warming::Unseen));
        peer.pass(SILENCE);
        peer.follow();
        peer.answer(&Endpoint);
        peer.pass(SILENCE);
        peer.assert_holds(&Route, "r", "1");
        peer.settle();
        peer.assert_holds(&Route, "r", "2");
    }
}
