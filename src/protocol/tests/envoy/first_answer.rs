//! O-18: a first answer holds no less than without the order, since gRPC clients take absence as "does not exist".

use super::{
    super::fixture::*,
    peer::{BOTH, Peer},
};
use crate::{protocol::Variant, resource::ResourceType};

/// A cluster that no resource refers to yet.
fn before() -> Config {
    Config::default().with(Cluster, "a", "1")
}

/// A listener whose route configuration refers to a new cluster.
fn after() -> Config {
    before()
        .refers(Listener, "l", "1", &[(Route, "r")])
        .refers(Route, "r", "1", &[(Cluster, "new")])
        .eds_cluster("new", "1")
        .with(Endpoint, "new", "1")
}

/// A stream that holds `before`, never asked for listeners, and has not answered the cluster of `after` yet.
fn waiting(variant: Variant) -> (Stream, crate::protocol::Response) {
    let mut stream = Stream::new(variant);
    stream.publish(&before());
    ask(&mut stream, variant, &Cluster, &[]);
    let clusters = stream.one();
    ack(&mut stream, variant, &clusters, &[]);
    stream.publish(&after());
    let clusters = stream.one();
    assert!(gist(&clusters).contains("new"), "{clusters:?}");
    (stream, clusters)
}

fn ask(stream: &mut Stream, variant: Variant, kind: &ResourceType, names: &[&str]) {
    match variant {
        Variant::Sotw => stream.sotw(kind, names),
        Variant::Delta => stream.delta(kind, names, &[]),
    }
}

fn ack(stream: &mut Stream, variant: Variant, response: &crate::protocol::Response, names: &[&str]) {
    match variant {
        Variant::Sotw => stream.ack(response, names),
        Variant::Delta => stream.ack_delta(response),
    }
}

#[test]
fn first_listener_answer_is_not_empty_where_the_newest_snapshot_has_some() {
    for variant in BOTH {
        for names in [&[][..], &["l"]] {
            let (mut stream, clusters) = waiting(variant);
            ask(&mut stream, variant, &Listener, names);
            let mut sent = gists(&stream.drain());
            ack(&mut stream, variant, &clusters, &[]);
            sent.extend(gists(&stream.drain()));
            assert_eq!(sent, ["listener[l]"], "{variant:?} {names:?}");
        }
    }
}

#[test]
fn first_listener_answer_has_what_was_published_behind_another_publish_that_waits() {
    for variant in BOTH {
        for names in [&[][..], &["l"]] {
            let mut stream = Stream::new(variant);
            stream.publish(&before());
            ask(&mut stream, variant, &Cluster, &[]);
            let first = stream.one();
            ack(&mut stream, variant, &first, &[]);
            stream.publish(&before().with(Cluster, "x", "1"));
            let mut unanswered = stream.drain();
            stream.publish(&after().with(Cluster, "x", "1"));
            ask(&mut stream, variant, &Listener, names);
            let mut sent = Vec::new();
            for _ in 0..4 {
                unanswered.extend(stream.drain());
                for response in std::mem::take(&mut unanswered) {
                    let is_listener = response.delivery.resource_type == Listener;
                    sent.extend(Some(gist(&response)).filter(|_| is_listener));
                    let names = if is_listener { names } else { &[] };
                    ack(&mut stream, variant, &response, names);
                }
            }
            assert_eq!(sent, ["listener[l]"], "{variant:?} {names:?}");
        }
    }
}

#[test]
fn first_cluster_answer_is_the_newest_while_listeners_wait_for_their_ack() {
    for variant in BOTH {
        let mut stream = Stream::new(variant);
        stream.publish(&before());
        ask(&mut stream, variant, &Listener, &["l"]);
        for response in stream.drain() {
            ack(&mut stream, variant, &response, &["l"]);
        }
        stream.publish(&after());
        let mut sent = gists(&stream.drain());
        ask(&mut stream, variant, &Cluster, &["new"]);
        sent.extend(gists(&stream.drain()));
        assert_eq!(sent, ["listener[l]", "cluster[new]"], "{variant:?}");
    }
}

// O-2: the order does not hold back an answer for ever.
#[test]
fn first_answer_comes_once_the_time_of_the_order_is_over() {
    for variant in BOTH {
        let (mut stream, _unanswered) = waiting(variant);
        ask(&mut stream, variant, &Listener, &["l"]);
        let mut sent = gists(&stream.drain());
        stream.pass(std::time::Duration::from_secs(30));
        sent.extend(gists(&stream.drain()));
        assert!(sent.contains(&"listener[l]".to_owned()), "{variant:?}: {sent:?}");
        assert!(!sent.contains(&"listener[]".to_owned()), "{variant:?}: {sent:?}");
    }
}

#[test]
fn answer_is_empty_where_the_newest_snapshot_has_none() {
    for variant in BOTH {
        let mut peer = Peer::running(variant, &before());
        peer.settle();
        peer.assert_synced(1);
        assert!(peer.log().contains("listener[]"), "{}", peer.log());
    }
}
