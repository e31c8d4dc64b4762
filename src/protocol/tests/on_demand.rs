//! W-9: what a wildcard leaves out, and those who ask for it by name are given.

use super::fixture::*;
use crate::{
    node::Pattern,
    protocol::{Policy, Scope, Variant},
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
