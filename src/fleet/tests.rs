//! Tests of the records of streams and nodes, and of their lifetimes.

use std::time::Duration;

use super::*;
use crate::{
    protocol::{Nonce, Subscription, Variant},
    resource::{ResourceName, ResourceType, Version},
};

fn node(id: &str) -> Node {
    Node::from(crate::proto::envoy::config::core::v3::Node {
        id: id.into(),
        cluster: "c".into(),
        ..Default::default()
    })
}

fn fleet(limits: Limits) -> Arc<Fleet> {
    Fleet::new(limits, Arc::default())
}

fn info() -> StreamInfo {
    StreamInfo {
        pace: None,
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
    let fleet = fleet(Limits::default());
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
    let fleet = fleet(Limits::default());
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
    let fleet = fleet(Limits::default());
    let stream = open(&fleet, "n");
    let later = Instant::now() + Duration::from_secs(601);
    fleet.expire(later);
    assert_eq!(fleet.len(), 1, "it is connected");
    stream.record(&Outcome::Sent(delivery("1")));
    drop(stream);
    assert_eq!(
        fleet.node(&"n".into()).unwrap().types.len(),
        1,
        "the rows of its last stream are shown"
    );
    fleet.expire(Instant::now());
    assert_eq!(fleet.len(), 1);
    fleet.expire(later);
    assert!(fleet.is_empty());
}

#[test]
fn full_records_forget_the_longest_gone() {
    let fleet = fleet(Limits {
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
    let fleet = fleet(Limits::default());
    let a = open(&fleet, "a");
    let mut watch = fleet.watch(Some(NodeGroup::from("g")));
    assert_eq!(watch.changes().len(), 1);
    assert!(watch.changes().is_empty());
    a.record(&Outcome::Synced(Revision(1)));
    assert!(matches!(&watch.changes()[..], [FleetChange::Node(node)] if node.streams[0].synced == Some(Revision(1))));
    drop(a);
    fleet.expire(Instant::now() + Duration::from_secs(601));
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
    let fleet = fleet(Limits {
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
    assert_eq!(load.clusters[1].cluster, "a", "equal loads are sorted by name");
    assert!(load.clusters[0].cluster.len() < 300, "names are bounded");
    drop(stream);
    assert!(
        fleet.node(&"n".into()).unwrap().load.is_some(),
        "it outlives the stream"
    );
}

#[test]
fn load_of_a_node_that_is_not_known_is_not_kept() {
    let fleet = fleet(Limits::default());
    fleet.record_load(&"n".into(), vec![cluster_load("a", 1)]);
    assert!(fleet.is_empty());
}

#[test]
fn load_report_wakes_the_watches() {
    let fleet = fleet(Limits::default());
    let _stream = open(&fleet, "n");
    let mut watch = fleet.watch(None);
    watch.changes();
    fleet.record_load(&"n".into(), vec![cluster_load("a", 1)]);
    assert!(matches!(&watch.changes()[..], [FleetChange::Node(node)] if node.load.is_some()));
}

#[test]
fn long_nack_message_is_cut_at_a_character() {
    let fleet = fleet(Limits {
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

fn nack(nonce: &str, message: &str) -> Outcome {
    Outcome::Nack {
        delivery: delivery(nonce),
        code: 13,
        message: message.into(),
    }
}

fn refused(names: &[&str]) -> Outcome {
    Outcome::Refused {
        resource_type: ResourceType::Cluster,
        names: names.len(),
        sample: names.iter().map(|name| ResourceName::from(*name)).collect(),
    }
}

/// The row of clusters of node `n`: its state, the message of its NACK, and the refused names.
fn clusters_of(fleet: &Fleet) -> (TypeState, String, Vec<String>) {
    let row = fleet.node(&"n".into()).unwrap().types[0].clone();
    assert_eq!(row.refused, row.refused_sample.len());
    (
        row.state(),
        row.nack.map(|nack| nack.message).unwrap_or_default(),
        row.refused_sample.iter().map(ToString::to_string).collect(),
    )
}

fn record(stream: &StreamGuard, outcomes: impl IntoIterator<Item = Outcome>) {
    for outcome in outcomes {
        stream.record(&outcome);
    }
}

#[test]
fn refusal_stands_until_it_is_mended_whatever_else_is_acked() {
    let fleet = fleet(Limits::default());
    let stream = open(&fleet, "n");
    let refuses_b = (TypeState::Error, "no".to_owned(), vec!["b".to_owned()]);
    record(
        &stream,
        [Outcome::Sent(delivery("1")), nack("1", "no"), refused(&["b"])],
    );
    assert_eq!(clusters_of(&fleet), refuses_b);
    stream.record(&Outcome::Sent(delivery("2")));
    assert_eq!(clusters_of(&fleet), refuses_b);
    stream.record(&Outcome::Ack(delivery("2")));
    assert_eq!(clusters_of(&fleet), refuses_b);
    assert_eq!(fleet.census(Instant::now()).refusing, 1);

    stream.record(&refused(&[]));
    let row = clusters_of(&fleet);
    assert_eq!((row.0, row.2), (TypeState::Synced, Vec::new()));
    assert_eq!(fleet.census(Instant::now()).refusing, 0);
}

#[test]
fn what_was_refused_and_taken_back_is_synced_though_nothing_is_sent_for_it() {
    let fleet = fleet(Limits::default());
    let stream = open(&fleet, "n");
    record(
        &stream,
        [
            Outcome::Sent(delivery("1")),
            nack("1", "no"),
            refused(&["b"]),
            refused(&[]),
        ],
    );
    assert_eq!(clusters_of(&fleet).0, TypeState::Synced);
}

#[test]
fn words_are_those_of_the_newest_nack_that_stands() {
    let fleet = fleet(Limits::default());
    let stream = open(&fleet, "n");
    let refuse = |nonce: &str, words: &str, all: &[&str]| {
        record(
            &stream,
            [Outcome::Sent(delivery(nonce)), nack(nonce, words), refused(all)],
        );
    };
    refuse("1", "b is bad", &["b"]);
    refuse("2", "c is bad", &["b", "c"]);
    assert_eq!(clusters_of(&fleet).1, "c is bad");
    stream.record(&refused(&["b"]));
    assert_eq!(clusters_of(&fleet).1, "b is bad");
    for number in 3..1000 {
        let name = format!("n{number}");
        refuse(&number.to_string(), &name, &["b", &name]);
    }
    assert_eq!(clusters_of(&fleet).1, "n999");
}

#[test]
fn poll_that_presents_what_it_refused_before_has_accepted_it() {
    let fleet = fleet(Limits::default());
    let rest = StreamInfo {
        pace: None,
        protocol: Protocol::Rest,
        ..info()
    };
    let stream = fleet.open_stream(&node("n"), &NodeGroup::from("g"), rest);
    record(&stream, [Outcome::Sent(delivery("1")), nack("1", "no")]);
    assert_eq!(clusters_of(&fleet).0, TypeState::Error);
    stream.record(&Outcome::Ack(delivery("1")));
    assert_eq!(clusters_of(&fleet).0, TypeState::Synced);
}

/// The verdicts of node `n` on all revisions, the last being current: "accepted", "pending", or the NACK's message.
fn outcomes(fleet: &Fleet, last: u64) -> Vec<String> {
    let revisions: Vec<Revision> = (7..=last).map(Revision).collect();
    let reported = fleet.outcomes(None, &revisions, Some(Revision(last)));
    let word = |nodes: &Vec<NodeOutcome>| match nodes.first().map(|node| &node.verdict) {
        None => "none".to_owned(),
        Some(Verdict::Pending) => "pending".to_owned(),
        Some(Verdict::Accepted(_)) => "accepted".to_owned(),
        Some(Verdict::Refused(refusals)) => refusals[0].nack.message.clone(),
    };
    reported.iter().map(word).collect()
}

#[test]
fn revision_that_leaves_the_refused_as_it_was_is_refused_too() {
    let fleet = fleet(Limits::default());
    let stream = open(&fleet, "n");
    let at = |nonce: &str, revision: u64| Delivery {
        revision: Revision(revision),
        ..delivery(nonce)
    };
    record(
        &stream,
        [
            Outcome::Sent(delivery("1")),
            nack("1", "no"),
            refused(&["b"]),
            Outcome::Blocked(Revision(7)),
        ],
    );
    assert_eq!(outcomes(&fleet, 7), ["no"]);
    // Another cluster changes and is accepted.
    stream.record(&Outcome::Sent(at("2", 8)));
    assert_eq!(outcomes(&fleet, 8), ["no", "pending"]);
    record(&stream, [Outcome::Ack(at("2", 8)), Outcome::Blocked(Revision(8))]);
    assert_eq!(outcomes(&fleet, 8), ["no", "no"]);
    let status = fleet.node(&"n".into()).unwrap();
    assert_eq!(status.streams[0].blocked, Some(Revision(8)));
    // The next revision mends the refused cluster.
    record(
        &stream,
        [
            refused(&[]),
            Outcome::Sent(at("3", 9)),
            Outcome::Ack(at("3", 9)),
            Outcome::Synced(Revision(9)),
        ],
    );
    assert_eq!(outcomes(&fleet, 9), ["no", "no", "accepted"], "earlier verdicts stay");
    assert_eq!(fleet.node(&"n".into()).unwrap().streams[0].blocked, None);
}

#[test]
fn refusal_of_a_gone_node_is_still_reported() {
    let fleet = fleet(Limits::default());
    let stream = open(&fleet, "n");
    record(
        &stream,
        [
            Outcome::Sent(delivery("1")),
            nack("1", "no"),
            refused(&["b"]),
            Outcome::Sent(delivery("2")),
            Outcome::Ack(delivery("2")),
        ],
    );
    drop(stream);
    assert_eq!(clusters_of(&fleet).0, TypeState::Error);
    assert_eq!(fleet.census(Instant::now()).refusing, 0, "the node is gone");
    assert_eq!(outcomes(&fleet, 7), ["no"]);
}

#[test]
fn client_that_comes_with_what_is_current_is_synced_and_counts() {
    let fleet = fleet(Limits::default());
    let delta = StreamInfo {
        pace: None,
        protocol: Protocol::Grpc(Variant::Delta),
        ..info()
    };
    let stream = fleet.open_stream(&node("n"), &NodeGroup::from("g"), delta);
    record(
        &stream,
        [
            Outcome::Subscribed {
                resource_type: ResourceType::Cluster,
                subscription: Subscription::default(),
            },
            Outcome::Presented(delivery("")),
            Outcome::Synced(Revision(7)),
        ],
    );
    let status = fleet.node(&"n".into()).unwrap();
    let row = &status.types[0];
    assert_eq!(row.state(), TypeState::Synced);
    let held = row.acked.as_ref().unwrap();
    assert_eq!((held.version.to_string(), held.revision), ("v".to_owned(), Revision(7)));
    assert_eq!((row.sent_total, status.streams[0].synced), (0, Some(Revision(7))));
    assert_eq!(outcomes(&fleet, 7), ["accepted"]);
}

#[test]
fn a_clock_that_is_set_neither_forgets_a_node_nor_calls_it_late() {
    let fleet = fleet(Limits::default());
    let hour = Duration::from_secs(3600);
    for wall in [
        SystemTime::now() - hour,
        SystemTime::now() + hour,
        SystemTime::UNIX_EPOCH - hour,
    ] {
        let stream = open(&fleet, "n");
        let then = Moment { wall, ..Moment::now() };
        stream.record_at(&Outcome::Sent(delivery("1")), then);
        let status = fleet.node(&"n".into()).unwrap();
        assert!(status.types[0].unanswered.is_none(), "{wall:?}");
        assert_eq!(fleet.census(then.steady).unanswered, 0, "{wall:?}");
        assert_eq!(fleet.census(then.steady + hour).unanswered, 1, "{wall:?}");
        let mut record = fleet.nodes.get_mut(&"n".into()).unwrap();
        record.close(&stream.record, then, 1);
        drop(record);
        fleet.expire(then.steady);
        assert_eq!(fleet.len(), 1, "{wall:?}");
        drop(stream);
    }
}
