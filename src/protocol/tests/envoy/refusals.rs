//! O-20: a refusal holds back what depends on the refused resource, has an exit, and is reported until it is mended.

use super::{
    super::fixture::*,
    peer::{BOTH, Peer},
};
use crate::protocol::{Outcome, Variant};

/// Two listeners, each with its own route configuration and cluster.
fn base() -> Config {
    Config::default()
        .with(Cluster, "a", "1")
        .with(Cluster, "b", "1")
        .refers(Listener, "l", "1", &[(Route, "r")])
        .refers(Listener, "l2", "1", &[(Route, "r2")])
        .refers(Route, "r", "1", &[(Cluster, "a")])
        .refers(Route, "r2", "1", &[(Cluster, "b")])
}

fn without_second(config: Config) -> Config {
    config
        .without(Listener, "l2")
        .without(Route, "r2")
        .without(Cluster, "b")
}

fn is_blocked_or_synced(peer: &Peer, revision: u64) -> Option<bool> {
    peer.stream.outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::Synced(synced) if synced.0 == revision => Some(true),
        Outcome::Blocked(blocked) if blocked.0 == revision => Some(false),
        _ => None,
    })
}

// === a refused resource holds no removal of another one ===

#[test]
fn listener_is_removed_though_an_unrelated_cluster_is_refused() {
    for variant in BOTH {
        let mut peer = Peer::running(variant, &base());
        peer.publish(&without_second(base()).with(Cluster, "c", "bad"));
        peer.settle();
        peer.assert_holds(&Cluster, "c", None);
        peer.assert_holds(&Listener, "l2", None);
        // The drain of the old listener is over.
        peer.ask(&Route, &["r"]);
        peer.settle();
        peer.assert_holds(&Cluster, "b", None);
        peer.assert_holds(&Cluster, "a", "1");
        assert_eq!(is_blocked_or_synced(&peer, 2), Some(false), "{}", peer.log());
    }
}

#[test]
fn listener_is_removed_though_another_listener_is_refused() {
    for variant in BOTH {
        let mut peer = Peer::running(variant, &base());
        peer.publish(&without_second(base()).refers(Listener, "l3", "bad", &[(Route, "r")]));
        peer.settle();
        peer.assert_holds(&Listener, "l3", None);
        peer.assert_holds(&Listener, "l2", None);
        peer.ask(&Route, &["r"]);
        peer.settle();
        peer.assert_holds(&Cluster, "b", None);
    }
}

#[test]
fn cluster_stays_where_the_route_that_moves_away_from_it_is_refused() {
    for variant in BOTH {
        let mut peer = Peer::running(variant, &base());
        let next = base()
            .without(Cluster, "b")
            .with(Cluster, "c", "1")
            .refers(Route, "r2", "bad", &[(Cluster, "c")]);
        peer.publish(&next);
        peer.settle();
        peer.assert_holds(&Route, "r2", "1");
        peer.assert_holds(&Cluster, "b", "1");
        // Once mended, the route configuration is sent.
        peer.publish(&next.refers(Route, "r2", "3", &[(Cluster, "c")]));
        peer.settle();
        peer.assert_holds(&Route, "r2", "3");
        peer.assert_holds(&Cluster, "b", None);
        peer.assert_synced(3);
    }
}

#[test]
fn change_that_does_not_need_the_refused_cluster_goes_on() {
    for variant in BOTH {
        let mut peer = Peer::running(variant, &base());
        let next = base()
            .with(Cluster, "c", "bad")
            .refers(Route, "r", "2", &[(Cluster, "c")]);
        peer.publish(&next);
        peer.settle();
        peer.assert_holds(&Route, "r", "1");
        peer.publish(&next.refers(Route, "r2", "3", &[(Cluster, "b")]));
        peer.settle();
        peer.assert_holds(&Route, "r2", "3");
        peer.assert_holds(&Route, "r", "1");
    }
}

// === a refusal of a resource that is only retained ===

#[test]
fn refusal_of_a_route_that_is_only_left_with_the_client_stops_no_removal() {
    for variant in BOTH {
        let mut peer = Peer::running(variant, &base());
        // The bad `r2` is on its way when `l2` is removed; the good `r2` is retained while the old listener drains.
        peer.publish(&base().refers(Route, "r2", "bad", &[(Cluster, "b")]));
        peer.publish(&without_second(base()));
        peer.settle();
        peer.assert_holds(&Listener, "l2", None);
        peer.assert_holds(&Cluster, "b", "1");
        peer.ask(&Route, &["r"]);
        peer.settle();
        peer.assert_holds(&Cluster, "b", None);
        peer.assert_synced(3);
    }
}

#[test]
fn refusal_of_endpoints_of_a_cluster_that_goes_stops_no_removal() {
    for variant in BOTH {
        let with_endpoints = base().eds_cluster("b", "1").with(Endpoint, "b", "1");
        let mut peer = Peer::running(variant, &with_endpoints);
        peer.publish(&with_endpoints.clone().with(Endpoint, "b", "bad"));
        peer.publish(&without_second(with_endpoints).without(Endpoint, "b"));
        peer.settle();
        peer.assert_holds(&Listener, "l2", None);
        peer.ask(&Route, &["r"]);
        peer.settle();
        peer.assert_holds(&Cluster, "b", None);
    }
}

// === a refusal is reported until it is mended ===

#[test]
fn refusal_of_a_route_is_told_until_it_is_mended_whatever_else_is_acked() {
    for variant in BOTH {
        let mut peer = Peer::running(variant, &base());
        let refused = base().refers(Route, "r", "bad", &[(Cluster, "a")]);
        peer.publish(&refused);
        peer.settle();
        assert_eq!(peer.reported_refused(&Route), Some(vec!["r".into()]), "{}", peer.log());
        assert_eq!(is_blocked_or_synced(&peer, 2), Some(false), "{}", peer.log());

        peer.publish(&refused.refers(Route, "r2", "3", &[(Cluster, "b")]));
        peer.settle();
        peer.assert_holds(&Route, "r2", "3");
        assert_eq!(peer.reported_refused(&Route), Some(vec!["r".into()]), "{}", peer.log());
        assert_eq!(is_blocked_or_synced(&peer, 3), Some(false), "{}", peer.log());

        peer.publish(&base().refers(Route, "r", "4", &[(Cluster, "a")]));
        peer.settle();
        assert_eq!(peer.reported_refused(&Route), Some(vec![]), "{}", peer.log());
        peer.assert_synced(4);
    }
}

#[test]
fn refusal_of_a_cluster_is_told_until_it_is_gone_whatever_else_is_acked() {
    let mut peer = Peer::running(Variant::Delta, &base());
    peer.publish(&base().with(Cluster, "c", "bad"));
    peer.settle();
    assert_eq!(
        peer.reported_refused(&Cluster),
        Some(vec!["c".into()]),
        "{}",
        peer.log()
    );
    peer.publish(&base().with(Cluster, "c", "bad").with(Cluster, "d", "1"));
    peer.settle();
    peer.assert_holds(&Cluster, "d", "1");
    assert_eq!(
        peer.reported_refused(&Cluster),
        Some(vec!["c".into()]),
        "{}",
        peer.log()
    );
    assert_eq!(is_blocked_or_synced(&peer, 3), Some(false), "{}", peer.log());
    peer.publish(&base().with(Cluster, "d", "1"));
    peer.settle();
    assert_eq!(peer.reported_refused(&Cluster), Some(vec![]), "{}", peer.log());
    peer.assert_synced(4);
}

// === every state after a refusal has an exit ===

#[test]
fn after_two_listeners_exchanged_addresses_in_vain_the_next_good_publish_gets_through() {
    for variant in BOTH {
        let at = |first: &str, second: &str, content: &str| {
            base()
                .refers(Listener, "l", content, &[(Route, "r")])
                .claims(Listener, "l", first)
                .refers(Listener, "l2", content, &[(Route, "r2")])
                .claims(Listener, "l2", second)
        };
        let mut peer = Peer::running(variant, &at("1", "2", "1"));
        peer.publish(&at("2", "1", "2"));
        peer.settle();
        peer.publish(&at("3", "4", "3"));
        peer.settle();
        peer.assert_holds(&Listener, "l", "3");
        peer.assert_holds(&Listener, "l2", "3");
        peer.assert_synced(3);
    }
}

#[test]
fn after_a_refused_listener_the_next_good_one_gets_through_on_the_same_address() {
    for variant in BOTH {
        let with = |name: &str, content: &str| {
            base()
                .refers(Listener, name, content, &[(Route, "r")])
                .claims(Listener, name, "address")
        };
        let mut peer = Peer::running(variant, &with("x", "1"));
        peer.publish(&with("y", "bad"));
        peer.settle();
        peer.assert_holds(&Listener, "y", None);
        for (revision, name) in [(3, "z"), (4, "x")] {
            peer.publish(&with(name, "3"));
            peer.settle();
            peer.assert_holds(&Listener, name, "3");
            peer.assert_synced(revision);
        }
    }
}
