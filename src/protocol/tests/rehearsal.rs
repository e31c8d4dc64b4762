//! A rehearsal lists exactly the messages that a node is sent: same sessions, same order.

use std::{sync::Arc, time::Instant};

use super::fixture::*;
use crate::{
    protocol::{Message, Policy, RehearsedStream, Scope, Subscription, Unshared, Variant, rehearse},
    resource::ResourceType,
    snapshot::Snapshot,
};

fn config(route_to: &str) -> Config {
    Config::default()
        .refers(Listener, "l", "1", &[(Route, "r")])
        .refers(Route, "r", "1", &[(Cluster, route_to)])
        .eds_cluster(route_to, "1")
        .with(Endpoint, route_to, "1")
}

fn subscription(names: &[&str]) -> Subscription {
    let mut subscription = Subscription::default();
    subscription.replace(names, true, &Unshared);
    subscription
}

/// An Envoy on ADS that has the cluster `old`.
fn envoy(variant: Variant) -> Vec<RehearsedStream> {
    vec![RehearsedStream {
        variant,
        scope: Scope::Aggregated,
        subscriptions: vec![
            (Cluster, subscription(&[])),
            (Endpoint, subscription(&["old"])),
            (Listener, subscription(&[])),
            (Route, subscription(&["r"])),
        ],
    }]
}

/// `0 cluster +new`: the round, the type, the added, changed and removed names, and the number of repeated resources.
fn gists(messages: &[Message]) -> Vec<String> {
    let gist = |message: &Message| {
        let mut text = format!("{} {}", message.round - messages[0].round, message.resource_type);
        for (sign, names) in [('+', &message.added), ('~', &message.changed), ('-', &message.removed)] {
            names.iter().for_each(|name| text.push_str(&format!(" {sign}{name}")));
        }
        if message.repeated > 0 {
            text.push_str(&format!(" ={}", message.repeated));
        }
        text
    };
    messages.iter().map(gist).collect()
}

fn step(parts: &[RehearsedStream], from: &Config, to: &Config) -> Vec<String> {
    let from = from.at(1, None);
    let to = to.at(2, Some(&from));
    rehearsed(parts, Some(&from), &to)
}

fn rehearsed(parts: &[RehearsedStream], from: Option<&Arc<Snapshot>>, to: &Arc<Snapshot>) -> Vec<String> {
    let policy = Arc::new(Policy::default());
    gists(&rehearse(&policy, parts, from, to, Instant::now()))
}

#[test]
fn a_route_that_moves_is_told_make_before_break() {
    assert_eq!(
        step(&envoy(Variant::Delta), &config("old"), &config("new")),
        ["0 cluster +new", "0 endpoint +new", "1 route ~r", "2 cluster -old"]
    );
    assert_eq!(
        step(&envoy(Variant::Sotw), &config("old"), &config("new")),
        [
            "0 cluster +new =1",
            "0 endpoint +new",
            "1 route ~r",
            "2 cluster -old =1"
        ]
    );
}

#[test]
fn a_changed_cluster_is_followed_by_its_endpoints() {
    let changed = config("old").eds_cluster("old", "2");
    for variant in [Variant::Sotw, Variant::Delta] {
        assert_eq!(
            step(&envoy(variant), &config("old"), &changed),
            ["0 cluster ~old", "0 endpoint =1"]
        );
    }
}

#[test]
fn nothing_is_said_where_nothing_changes_for_the_node() {
    let more = config("old").with(Endpoint, "unasked", "1").with(Secret, "s", "1");
    assert_eq!(step(&envoy(Variant::Delta), &config("old"), &more), [""; 0]);
    assert_eq!(step(&[], &config("old"), &config("new")), [""; 0]);
}

#[test]
fn streams_of_one_type_are_not_ordered_and_ask_for_what_they_are_told_of() {
    let part = |kind: ResourceType, names: &[&str]| RehearsedStream {
        variant: Variant::Delta,
        scope: Scope::Single(kind.clone()),
        subscriptions: vec![(kind, subscription(names))],
    };
    let parts = [part(Cluster, &[]), part(Endpoint, &["old"])];
    assert_eq!(
        step(&parts, &config("old"), &config("new")),
        ["0 cluster +new -old", "0 endpoint +new"]
    );
    // The first cluster with endpoints opens a stream for them.
    let alone = [part(Cluster, &[])];
    let empty = Config::default().with(Cluster, "static", "1");
    assert_eq!(
        step(
            &alone,
            &empty,
            &empty.clone().eds_cluster("a", "1").with(Endpoint, "a", "1")
        ),
        ["0 cluster +a", "0 endpoint +a"]
    );
}

#[test]
fn a_node_that_was_met_with_silence_is_told_everything() {
    let to = config("old").at(1, None);
    assert_eq!(
        rehearsed(&envoy(Variant::Delta), None, &to),
        ["0 cluster +old", "0 endpoint +old", "0 listener +l", "0 route +r"]
    );
}
