//! O-16: a client that was given a parent gets its children, even if the newest snapshot has neither any more.

use std::time::Duration;

use super::{
    super::fixture::*,
    peer::{BOTH, Peer},
};
use crate::{protocol::Variant, resource::ResourceType};

fn base() -> Config {
    Config::default()
        .with(Cluster, "a", "1")
        .refers(Listener, "l", "1", &[(Route, "r")])
        .refers(Route, "r", "1", &[(Cluster, "a")])
}

/// Publishes a parent `new` that refers to the child `new`, gives it to the client, and takes both back before the
/// client asks for the child. The client must get the child or the removal of the parent, and not wait for ever.
fn taken_back(variant: Variant, parent: &ResourceType, child: &ResourceType, is_acked: bool) {
    let wildcards: &[ResourceType] = if *parent == ScopedRoute { &[ScopedRoute] } else { &[] };
    let mut peer = Peer::running_with(variant, &base(), wildcards);
    let to: &[(ResourceType, &str)] = if *child == Route { &[(Cluster, "a")] } else { &[] };
    let with_both = base()
        .refers(parent.clone(), "new", "1", &[(child.clone(), "new")])
        .refers(child.clone(), "new", "1", to);
    peer.publish(&with_both);
    peer.assert_holds(parent, "new", "1");
    if is_acked {
        peer.answer(parent);
    }
    peer.publish(&base());
    let was_removed = peer.holds(parent, "new").is_none();
    // The request was on its way when the parent was taken back.
    let mut names: Vec<&str> = if *child == Route { vec!["r"] } else { vec![] };
    names.push("new");
    peer.ask(child, &names);
    let is_answered = peer.holds(child, "new").is_some();
    assert!(
        is_answered || was_removed || peer.holds(parent, "new").is_none(),
        "{parent} → {child}, ACK {is_acked}: the client is never answered: {}",
        peer.log()
    );
    peer.settle();
    peer.pass(Duration::from_millis(250));
    peer.settle();
    peer.assert_holds(parent, "new", None);
}

fn in_both(parent: &ResourceType, child: &ResourceType) {
    for variant in BOTH {
        for is_acked in [false, true] {
            taken_back(variant, parent, child, is_acked);
        }
    }
}

#[test]
fn endpoints_of_a_cluster_taken_back_are_answered() {
    in_both(&Cluster, &Endpoint);
}

#[test]
fn secret_of_a_cluster_taken_back_is_answered() {
    in_both(&Cluster, &Secret);
}

#[test]
fn route_of_a_listener_taken_back_is_answered() {
    in_both(&Listener, &Route);
}

#[test]
fn secret_of_a_listener_taken_back_is_answered() {
    in_both(&Listener, &Secret);
}

#[test]
fn extension_configuration_of_a_listener_taken_back_is_answered() {
    in_both(&Listener, &ExtensionConfig);
}

#[test]
fn route_of_a_scope_taken_back_is_answered() {
    in_both(&ScopedRoute, &Route);
}

#[test]
fn virtual_hosts_of_a_route_taken_back_are_answered() {
    let with_hosts = base()
        .refers(Listener, "new", "1", &[(Route, "new")])
        .refers(Route, "new", "1", &[(Cluster, "a")])
        .refers(VirtualHost, "new/host", "1", &[(Cluster, "a")]);
    for names in [&[][..], &["new/host"]] {
        let mut peer = Peer::running(Variant::Delta, &base());
        peer.publish(&with_hosts);
        peer.follow();
        peer.assert_holds(&Route, "new", "1");
        peer.publish(&base());
        peer.ask(&VirtualHost, names);
        let is_answered = peer.holds(&VirtualHost, "new/host").is_some();
        let is_gone = |kind| peer.holds(kind, "new").is_none();
        assert!(
            is_answered || is_gone(&Listener) || is_gone(&Route),
            "{names:?}: the client is never answered: {}",
            peer.log()
        );
        peer.settle();
        peer.assert_holds(&Listener, "new", None);
    }
}

#[test]
fn endpoints_are_answered_where_the_cluster_alone_was_replaced() {
    // The parent is still published, with another child.
    for variant in BOTH {
        let mut peer = Peer::running(variant, &base());
        let named = |child: &str| {
            base()
                .refers(Cluster, "new", child, &[(Endpoint, child)])
                .with(Endpoint, child, "1")
        };
        peer.publish(&named("1"));
        peer.assert_holds(&Cluster, "new", "1");
        peer.publish(&named("2"));
        peer.ask(&Endpoint, &["1"]);
        let is_replaced = peer.holds(&Cluster, "new").as_deref() == Some("2");
        assert!(
            is_replaced || peer.holds(&Endpoint, "1").is_some(),
            "the client is never answered: {}",
            peer.log()
        );
        peer.settle();
        peer.pass(Duration::from_millis(250));
        peer.settle();
        peer.assert_holds(&Cluster, "new", "2");
        peer.assert_holds(&Endpoint, "2", "1");
    }
}
