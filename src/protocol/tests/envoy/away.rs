//! O-19: make before break across a reconnect. Changes made while an Envoy was cut off come in the same order.

use super::{super::fixture::*, link::ControlPlane, peer::Peer};
use crate::{protocol::Variant, resource::ResourceType};

/// A listener with RDS, its route configuration, and the cluster to which that routes.
fn to(cluster: &str, content: &str) -> Config {
    Config::default()
        .refers(Listener, "l", "1", &[(Route, "r")])
        .refers(Route, "r", content, &[(Cluster, cluster)])
        .eds_cluster(cluster, "1")
        .with(Endpoint, cluster, "1")
}

/// The first requests of a stream come in any order of types.
fn orders() -> Vec<Vec<ResourceType>> {
    let mut orders = vec![vec![]];
    for kind in [Cluster, Endpoint, Listener, Route] {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<ResourceType>| {
                let kind = kind.clone();
                (0..=order.len()).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, kind.clone());
                    order
                })
            })
            .collect();
    }
    orders
}

/// The control planes with which a client of each variant loses nothing.
fn cases() -> [(Variant, ControlPlane); 3] {
    [
        (Variant::Delta, ControlPlane::KeptRunning),
        (Variant::Delta, ControlPlane::Restarted),
        (Variant::Sotw, ControlPlane::KeptRunning),
    ]
}

/// Checks a change across a reconnect. `Peer` itself checks in every response that no route loses its cluster.
fn comes_in_order(before: &Config, while_away: &[Config], last: &str, content: &'static str, gone: &str) {
    for (variant, control_plane) in cases() {
        for order in orders() {
            let mut peer = Peer::running(variant, before);
            for config in while_away {
                peer.cut_off_publish(config);
            }
            peer.reconnect(control_plane, &order);
            peer.follow();
            peer.assert_holds(&Cluster, gone, "1");
            peer.settle();
            peer.assert_holds(&Route, "r", content);
            peer.assert_holds(&Cluster, last, "1");
            peer.assert_holds(&Cluster, gone, None);
            peer.assert_synced(1 + while_away.len() as u64);
        }
    }
}

#[test]
fn cluster_replaced_while_cut_off_serves_until_the_route_has_moved() {
    comes_in_order(&to("a", "1"), &[to("b", "2")], "b", "2", "a");
}

#[test]
fn route_waits_for_its_cluster_though_its_listener_changed_too() {
    let changed = to("b", "2").refers(Listener, "l", "9", &[(Route, "r")]);
    comes_in_order(&to("a", "1"), &[changed], "b", "2", "a");
}

#[test]
fn rollback_while_cut_off_keeps_the_cluster_in_use_until_the_route_has_moved() {
    comes_in_order(&to("b", "1"), &[to("a", "2"), to("a", "3")], "a", "3", "b");
}

#[test]
fn cluster_replaced_more_than_once_while_cut_off_serves_until_the_route_has_moved() {
    comes_in_order(&to("a", "1"), &[to("c", "1"), to("b", "2")], "b", "2", "a");
}

#[test]
fn listener_that_went_while_cut_off_keeps_its_cluster_until_its_route_is_let_go() {
    for (variant, control_plane) in cases() {
        for order in orders() {
            let mut peer = Peer::running(variant, &to("a", "1"));
            peer.cut_off_publish(&Config::default().with(Cluster, "b", "1"));
            peer.reconnect(control_plane, &order);
            peer.settle();
            peer.assert_holds(&Listener, "l", None);
            peer.assert_holds(&Cluster, "a", "1");
            // The drain is over.
            peer.ask(&Route, &[]);
            peer.settle();
            peer.assert_holds(&Cluster, "a", None);
        }
    }
}

#[test]
fn nothing_changed_while_cut_off_and_nothing_is_removed() {
    for (variant, control_plane) in cases() {
        for order in orders() {
            let mut peer = Peer::running(variant, &to("a", "1"));
            peer.reconnect(control_plane, &order);
            peer.settle();
            peer.assert_holds(&Cluster, "a", "1");
            peer.assert_holds(&Listener, "l", "1");
            peer.assert_holds(&Route, "r", "1");
            peer.assert_synced(1);
        }
    }
}

#[test]
fn cluster_of_a_refused_route_is_held_across_a_reconnect() {
    for variant in [Variant::Sotw, Variant::Delta] {
        let mut peer = Peer::running(variant, &to("a", "1"));
        let refused = to("b", "bad").eds_cluster("a", "1").with(Endpoint, "a", "1");
        peer.publish(&refused);
        peer.settle();
        let without = to("b", "bad").refers(Listener, "l", "bad", &[(Route, "r")]);
        peer.publish(&without);
        peer.settle();
        peer.assert_holds(&Cluster, "a", "1");
        peer.reconnect(ControlPlane::KeptRunning, &[Cluster, Endpoint, Listener, Route]);
        peer.settle();
        peer.assert_holds(&Cluster, "a", "1");
        peer.assert_holds(&Route, "r", "1");
    }
}
