//! W-9: resources that a wildcard leaves out, and that clients get by name.

use super::fixture::*;
use crate::{
    node::Pattern,
    proto::envoy::config::core::v3::Node,
    protocol::{Names, Policy, Scope, Variant},
};

fn config() -> Config {
    Config::default()
        .with(Cluster, "a", "1")
        .with(Cluster, "tenant-1", "1")
        .with(Cluster, "tenant-2", "1")
}

fn stream(variant: Variant) -> Stream {
    let policy = Policy {
        on_demand: [(Cluster, [Pattern::from("tenant-*")].as_slice().into())].into(),
        ..Policy::default()
    };
    let mut stream = Stream::with_policy(variant, Scope::Aggregated, policy);
    stream.publish(&config());
    stream
}

#[test]
fn wildcard_leaves_out_what_is_on_demand() {
    for names in [&[][..], &["*"]] {
        let mut sotw = stream(Variant::Sotw);
        sotw.sotw(&Cluster, names);
        let all = sotw.one();
        assert_eq!(gist(&all), "cluster[a]");
        sotw.ack(&all, names);
        sotw.publish(&config().with(Cluster, "tenant-1", "2"));
        sotw.silence();
        sotw.publish(&config().with(Cluster, "a", "2"));
        assert_eq!(gist(&sotw.one()), "cluster[a]");

        let mut delta = stream(Variant::Delta);
        delta.delta(&Cluster, names, &[]);
        let all = delta.one();
        assert_eq!(gist(&all), "cluster[a]");
        delta.ack_delta(&all);
        delta.publish(&config().with(Cluster, "tenant-1", "2"));
        delta.silence();
        delta.publish(&config().without(Cluster, "tenant-1"));
        delta.silence();
    }
}

#[test]
fn name_on_demand_is_given_beside_the_wildcard() {
    let mut sotw = stream(Variant::Sotw);
    sotw.sotw(&Cluster, &["*", "tenant-2"]);
    assert_eq!(gist(&sotw.one()), "cluster[a tenant-2]");

    let mut delta = stream(Variant::Delta);
    delta.delta(&Cluster, &["*"], &[]);
    let all = delta.one();
    delta.ack_delta(&all);
    delta.delta(&Cluster, &["tenant-2"], &[]);
    assert_eq!(gist(&delta.one()), "cluster[tenant-2]");
}

// D-9
#[test]
fn on_demand_name_given_up_under_the_wildcard_is_removed() {
    let mut delta = stream(Variant::Delta);
    delta.delta(&Cluster, &["*", "a", "tenant-2"], &[]);
    let all = delta.one();
    assert_eq!(gist(&all), "cluster[a tenant-2]");
    delta.ack_delta(&all);
    delta.delta(&Cluster, &[], &["a", "tenant-2"]);
    assert_eq!(gist(&delta.one()), "cluster[a -tenant-2]");
}

// S-20
#[test]
fn full_state_holds_what_another_stream_of_the_node_asks_for() {
    let names = |names: &[&str]| Names::from(names.iter().map(|name| (*name).into()).collect::<Vec<_>>());
    let mut sotw = stream(Variant::Sotw);
    sotw.session.on_asked_by_node(&Cluster, names(&["tenant-1"]));
    sotw.sotw(&Cluster, &[]);
    let all = sotw.one();
    assert_eq!(
        gist(&all),
        "cluster[a]",
        "the names are reported again once the type is requested"
    );
    sotw.ack(&all, &[]);
    sotw.session.on_asked_by_node(&Cluster, names(&["tenant-1"]));
    let all = sotw.one();
    assert_eq!(gist(&all), "cluster[a tenant-1]");
    sotw.ack(&all, &[]);
    sotw.session
        .on_asked_by_node(&Cluster, names(&["tenant-1", "tenant-2"]));
    sotw.session.on_asked_by_node(&Cluster, names(&["tenant-2"]));
    sotw.publish(&config().with(Cluster, "a", "2"));
    assert_eq!(gist(&sotw.one()), "cluster[a tenant-2]");

    let mut delta = stream(Variant::Delta);
    delta.delta(&Cluster, &[], &[]);
    let all = delta.one();
    delta.ack_delta(&all);
    delta.session.on_asked_by_node(&Cluster, names(&["tenant-1"]));
    delta.silence();
}

// L-3
#[test]
fn node_without_an_id_is_no_other_node() {
    let mut sotw = stream(Variant::Sotw);
    sotw.sotw(&Cluster, &[]);
    let all = sotw.one();
    let mut request = super::fixture::sotw(
        &Cluster,
        &[],
        all.delivery.version.as_str(),
        &all.delivery.nonce.to_string(),
    );
    request.node = Some(Node::default());
    sotw.send(&request);
    sotw.silence();
    request.node = Some(Node {
        id: "another".to_owned(),
        ..Node::default()
    });
    assert!(sotw.session.on_request(&(&request).into()).is_err());
}
