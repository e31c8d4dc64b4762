//! Section T: TTLs and the heartbeats that renew them.

use std::time::Duration;

use super::fixture::*;
use crate::{
    node::Node,
    proto::envoy::config::core::v3 as core,
    protocol::{Features, Outcome, Policy, Response, Variant},
};

const TTL: Duration = Duration::from_secs(30);
const THIRD: Duration = Duration::from_secs(10);
const BOTH: [Variant; 2] = [Variant::Sotw, Variant::Delta];

fn stream(variant: Variant) -> Stream {
    let features = Features {
        ttl: true,
        ..Features::default()
    };
    Stream::featured(variant, Policy::default(), features)
}

fn subscribe(stream: &mut Stream, variant: Variant, kind: &crate::resource::ResourceType, names: &[&str]) {
    match variant {
        Variant::Sotw => stream.sotw(kind, names),
        Variant::Delta => stream.delta(kind, names, &[]),
    }
}

fn ack(stream: &mut Stream, variant: Variant, response: &Response, names: &[&str]) {
    match variant {
        Variant::Sotw => stream.ack(response, names),
        Variant::Delta => stream.ack_delta(response),
    }
}

fn heartbeats(response: &Response) -> Vec<&str> {
    assert!(response.resources.is_empty(), "{response:?}");
    response
        .heartbeats
        .iter()
        .map(|resource| resource.name.as_str())
        .collect()
}

fn config() -> Config {
    Config::default()
        .expiring(Endpoint, "a", "1", TTL)
        .expiring(Endpoint, "slow", "1", TTL * 3)
        .with(Endpoint, "b", "1")
}

const NAMES: [&str; 3] = ["a", "b", "slow"];

/// A client that holds `config`, and the response that brought it.
fn holding(variant: Variant) -> (Stream, Response) {
    let mut stream = stream(variant);
    stream.publish(&config());
    subscribe(&mut stream, variant, &Endpoint, &NAMES);
    let response = stream.one();
    assert!(response.ttl, "the TTL goes with the resource");
    ack(&mut stream, variant, &response, &NAMES);
    stream.silence();
    (stream, response)
}

// T-1
#[test]
fn ttl_is_for_clients_that_say_that_they_take_it() {
    let features = |names: &[&str], variant, force| {
        let node = Node::from(core::Node {
            id: "n".into(),
            client_features: names.iter().map(|name| (*name).to_owned()).collect(),
            ..core::Node::default()
        });
        Features::of(&node, variant, force).ttl
    };
    let ttl = "xds.config.supports-resource-ttl";
    for variant in BOTH {
        assert!(!features(&[], variant, false));
        assert!(features(&[], variant, true), "the group is set to be sent TTLs");
    }
    assert!(features(&[ttl], Variant::Delta, false));
    assert!(
        !features(&[ttl], Variant::Sotw, false),
        "only a wrapped resource can have a TTL"
    );
    for wrapped in ["xds.config.resource-in-sotw", "xds.config.supports-resource-in-sotw"] {
        assert!(features(&[ttl, wrapped], Variant::Sotw, false));
        assert!(!features(&[wrapped], Variant::Delta, false));
    }
}

// T-3
#[test]
fn heartbeats_renew_what_has_a_ttl_three_times_before_it_expires() {
    for variant in BOTH {
        let (mut stream, first) = holding(variant);
        let mut renewed = Vec::new();
        for _ in 0..6 {
            assert_eq!(stream.session.poll_timeout(), Some(stream.now + THIRD));
            stream.pass(THIRD / 2);
            stream.silence();
            stream.pass(THIRD / 2);
            let heartbeat = stream.one();
            assert_ne!(heartbeat.delivery.nonce, first.delivery.nonce);
            assert_eq!(heartbeat.delivery.version, first.delivery.version);
            renewed.push(heartbeats(&heartbeat).join(" "));
            ack(&mut stream, variant, &heartbeat, &NAMES);
            stream.silence();
        }
        assert_eq!(renewed, ["a slow", "a", "a", "a slow", "a", "a"], "{variant:?}");
        let sent = stream
            .outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Sent(_)));
        assert_eq!(sent.count(), 1, "heartbeats are not in the records");
    }
}

// T-3
#[test]
fn heartbeat_names_the_version_that_was_accepted() {
    for variant in BOTH {
        let (mut stream, first) = holding(variant);
        stream.publish(&config().expiring(Endpoint, "a", "2", TTL));
        let change = stream.one();
        match variant {
            Variant::Sotw => stream.nack(&change, &NAMES, first.delivery.version.as_str()),
            Variant::Delta => stream.nack_delta(&change),
        }
        stream.silence();
        stream.pass(THIRD);
        let heartbeat = stream.one();
        if variant == Variant::Sotw {
            assert_eq!(heartbeat.delivery.version, first.delivery.version);
        }
        let old = first
            .resources
            .as_slice()
            .iter()
            .find(|r| r.name.as_str() == "a")
            .unwrap();
        assert_eq!(heartbeat.heartbeats[0].version, old.version);
        ack(&mut stream, variant, &heartbeat, &NAMES);
        stream.silence();
        let blocked = stream
            .outcomes
            .iter()
            .rev()
            .find(|o| !matches!(o, Outcome::Standing(_)));
        assert!(
            matches!(blocked, Some(Outcome::Blocked(_))),
            "the refusal stands: {blocked:?}"
        );
    }
}

// T-3
#[test]
fn sotw_heartbeat_waits_for_the_answer_that_is_due() {
    let (mut stream, _) = holding(Variant::Sotw);
    stream.publish(&config().expiring(Endpoint, "a", "2", TTL));
    let change = stream.one();
    stream.pass(THIRD);
    stream.silence();
    stream.ack(&change, &NAMES);
    let heartbeat = stream.one();
    assert_eq!(heartbeat.delivery.version, change.delivery.version);
    assert_eq!(heartbeats(&heartbeat), ["a", "slow"]);
}

// T-4
#[test]
fn client_without_the_feature_gets_neither_ttl_nor_heartbeat() {
    for variant in BOTH {
        let mut stream = Stream::new(variant);
        stream.publish(&config());
        subscribe(&mut stream, variant, &Endpoint, &NAMES);
        let response = stream.one();
        assert!(!response.ttl);
        ack(&mut stream, variant, &response, &NAMES);
        stream.silence();
        assert_eq!(stream.session.poll_timeout(), None);
        stream.pass(TTL * 10);
        stream.silence();
    }
}

// T-5
#[test]
fn full_state_in_sotw_is_renewed_by_the_full_state() {
    for (kind, names) in [(Cluster, &[][..]), (Cluster, &["a", "b"]), (Secret, &["a", "b"])] {
        let mut stream = stream(Variant::Sotw);
        stream.publish(
            &Config::default()
                .expiring(kind.clone(), "a", "1", TTL)
                .with(kind.clone(), "b", "1"),
        );
        stream.sotw(&kind, names);
        let first = stream.one();
        stream.ack(&first, names);
        stream.silence();
        stream.pass(THIRD);
        let renewal = stream.one();
        assert_eq!(gist(&renewal), gist(&first));
        assert!(renewal.heartbeats.is_empty() && renewal.ttl);
        assert_eq!(renewal.delivery.version, first.delivery.version);
        stream.ack(&renewal, names);
        stream.silence();
    }
}

// T-5
#[test]
fn virtual_hosts_have_no_heartbeats() {
    let mut stream = stream(Variant::Delta);
    stream.publish(&Config::default().expiring(VirtualHost, "r/a", "1", TTL));
    stream.delta(&VirtualHost, &["r/a"], &[]);
    let first = stream.one();
    stream.ack_delta(&first);
    stream.silence();
    stream.pass(TTL);
    stream.silence();
}

// T-6
#[test]
fn another_ttl_is_a_change() {
    for variant in BOTH {
        let (mut stream, _) = holding(variant);
        stream.publish(&config().expiring(Endpoint, "a", "1", TTL * 2));
        assert_eq!(gist(&stream.one()), "endpoint[a]");
    }
}

#[test]
fn what_is_gone_is_not_renewed() {
    let mut stream = stream(Variant::Delta);
    stream.publish(&Config::default().expiring(Runtime, "a", "1", TTL));
    stream.delta(&Runtime, &["a"], &[]);
    let first = stream.one();
    stream.ack_delta(&first);
    stream.silence();
    stream.publish(&Config::default());
    let removal = stream.one();
    stream.ack_delta(&removal);
    stream.silence();
    stream.pass(TTL);
    stream.silence();
}
