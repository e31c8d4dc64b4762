//! What is remembered of streams and nodes, and for how long.

use super::*;
use crate::{
    protocol::{Delivery, Nonce, Subscription},
    resource::{ResourceType, Version},
    snapshot::Revision,
};

fn node(id: &str) -> Node {
    Node::from(crate::proto::envoy::config::core::v3::Node {
        id: id.into(),
        cluster: "c".into(),
        ..Default::default()
    })
}

fn info() -> StreamInfo {
    StreamInfo {
        protocol: Protocol::Grpc(Variant::Sotw),
        aggregated: true,
        peer: "127.0.0.1:1".into(),
    }
}

fn delivery(nonce: &str) -> Delivery {
    Delivery {
        resource_type: ResourceType::Cluster,
        version: Version::from("v"),
        nonce: Nonce::from(nonce.to_owned()),
        revision: Revision(7),
    }
}

fn open(fleet: &Arc<Fleet>, id: &str) -> StreamGuard {
    fleet.open_stream(&node(id), &NodeGroup::from("g"), info())
}

#[test]
fn state_follows_what_was_sent_and_answered_last() {
    let fleet = Fleet::new(Limits::default());
    let stream = open(&fleet, "n");
    let state = || fleet.node(&"n".into()).unwrap().types[0].state();
    stream.record(&Outcome::Subscribed {
        resource_type: ResourceType::Cluster,
        subscription: Subscription::default(),
    });
    assert_eq!(state(), TypeState::NotSent);
    stream.record(&Outcome::Sent(delivery("1")));
    assert_eq!(state(), TypeState::Stale);
    stream.record(&Outcome::Ack(delivery("1")));
    assert_eq!(state(), TypeState::Synced);
    stream.record(&Outcome::Sent(delivery("2")));
    stream.record(&Outcome::Nack {
        delivery: delivery("2"),
        code: 13,
        message: "no".into(),
    });
    assert_eq!(state(), TypeState::Error);
    let row = &fleet.node(&"n".into()).unwrap().types[0];
    assert_eq!(row.acked.as_ref().unwrap().nonce.to_string(), "1");
    assert_eq!((row.sent_total, row.nack_total), (2, 1));
}

#[test]
fn end_of_an_old_stream_leaves_the_new_one_alone() {
    let fleet = Fleet::new(Limits::default());
    let old = open(&fleet, "n");
    let new = open(&fleet, "n");
    new.record(&Outcome::Synced(Revision(3)));
    drop(old);
    let status = fleet.node(&"n".into()).unwrap();
    assert_eq!(status.streams.len(), 1);
    assert_eq!(status.streams[0].synced, Some(Revision(3)));
    drop(new);
    assert_eq!(fleet.open_streams(), 0);
}

#[test]
fn node_is_forgotten_some_time_after_its_last_stream() {
    let fleet = Fleet::new(Limits::default());
    let stream = open(&fleet, "n");
    let later = SystemTime::now() + Duration::from_secs(601);
    fleet.expire(later);
    assert_eq!(fleet.len(), 1, "it is connected");
    stream.record(&Outcome::Sent(delivery("1")));
    drop(stream);
    assert_eq!(fleet.node(&"n".into()).unwrap().types.len(), 1, "what it left is shown");
    fleet.expire(SystemTime::now());
    assert_eq!(fleet.len(), 1);
    fleet.expire(later);
    assert!(fleet.is_empty());
}

#[test]
fn full_books_forget_the_longest_gone() {
    let fleet = Fleet::new(Limits {
        nodes: 2,
        ..Limits::default()
    });
    let kept = open(&fleet, "a");
    drop(open(&fleet, "b"));
    drop(open(&fleet, "c"));
    let ids: Vec<_> = fleet.nodes(None).into_iter().map(|node| node.id.to_string()).collect();
    assert_eq!(ids, ["a", "c"]);
    drop(kept);
}

#[test]
fn watch_hands_out_each_change_once_and_what_was_forgotten() {
    let fleet = Fleet::new(Limits::default());
    let a = open(&fleet, "a");
    let mut watch = fleet.watch(Some(NodeGroup::from("g")));
    assert_eq!(watch.changes().len(), 1);
    assert!(watch.changes().is_empty());
    a.record(&Outcome::Synced(Revision(1)));
    assert!(matches!(&watch.changes()[..], [FleetChange::Node(node)] if node.streams[0].synced == Some(Revision(1))));
    drop(a);
    fleet.expire(SystemTime::now() + Duration::from_secs(601));
    assert!(matches!(&watch.changes()[..], [FleetChange::Forgotten(id)] if id.as_str() == "a"));
}

fn cluster_load(cluster: &str, issued: u64) -> ClusterLoad {
    ClusterLoad {
        cluster: cluster.to_owned(),
        issued,
        ..ClusterLoad::default()
    }
}

#[test]
fn load_report_keeps_the_busiest_and_takes_the_place_of_the_last() {
    let fleet = Fleet::new(Limits {
        load_clusters: 2,
        ..Limits::default()
    });
    let stream = open(&fleet, "n");
    let report = |clusters| {
        fleet.record_load(&"n".into(), clusters);
        fleet.node(&"n".into()).unwrap().load.unwrap()
    };
    report(vec![cluster_load("old", 1)]);
    let long = "l".repeat(10_000);
    let load = report(vec![cluster_load("a", 1), cluster_load(&long, 9), cluster_load("b", 1)]);
    let kept: Vec<_> = load.clusters.iter().map(|cluster| cluster.issued).collect();
    assert_eq!((kept, load.omitted, load.total), (vec![9, 1], 1, 2));
    assert_eq!(load.clusters[1].cluster, "a", "equals are in the order of their names");
    assert!(load.clusters[0].cluster.len() < 300, "names are bounded");
    drop(stream);
    assert!(
        fleet.node(&"n".into()).unwrap().load.is_some(),
        "it outlives the stream"
    );
}

#[test]
fn load_of_a_node_that_is_not_known_is_not_kept() {
    let fleet = Fleet::new(Limits::default());
    fleet.record_load(&"n".into(), vec![cluster_load("a", 1)]);
    assert!(fleet.is_empty());
}

#[test]
fn load_report_wakes_the_watches() {
    let fleet = Fleet::new(Limits::default());
    let _stream = open(&fleet, "n");
    let mut watch = fleet.watch(None);
    watch.changes();
    fleet.record_load(&"n".into(), vec![cluster_load("a", 1)]);
    assert!(matches!(&watch.changes()[..], [FleetChange::Node(node)] if node.load.is_some()));
}

#[test]
fn long_nack_message_is_cut_at_a_character() {
    let fleet = Fleet::new(Limits {
        nack_message_bytes: 4,
        ..Limits::default()
    });
    let stream = open(&fleet, "n");
    stream.record(&Outcome::Nack {
        delivery: delivery("1"),
        code: 13,
        message: "ab€cd".into(),
    });
    let row = fleet.node(&"n".into()).unwrap().types[0].clone();
    assert_eq!(row.nack.unwrap().message, "ab…");
}
