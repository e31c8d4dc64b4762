//! Large delta responses in several parts (L-13), and the settings of delta.

use super::fixture::*;
use crate::{
    protocol::{Features, Policy, Response, Scope, StreamLimits, Variant},
    resource::ResourceType,
};

/// A policy with room for two resources of 1000 bytes in a response.
fn policy() -> Policy {
    Policy {
        limits: StreamLimits {
            response_bytes: 3000,
            ..StreamLimits::default()
        },
        ..Policy::default()
    }
}

fn stream(variant: Variant) -> Stream {
    let features = Features {
        divided: true,
        ..Features::default()
    };
    Stream::featured(variant, policy(), features)
}

fn config(clusters: &[&str], mark: char) -> Config {
    let content = mark.to_string().repeat(1000);
    clusters
        .iter()
        .fold(Config::default(), |config, name| config.with(Cluster, name, &content))
}

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

fn ack_all(stream: &mut Stream, parts: &[Response]) {
    parts.iter().for_each(|part| stream.ack_delta(part));
}

// L-13
#[test]
fn large_delta_response_comes_in_parts() {
    let mut stream = stream(Variant::Delta);
    stream.publish(&config(&FIVE, '1'));
    stream.delta(&Cluster, &[], &[]);
    let parts = stream.drain();
    assert_eq!(gists(&parts), ["cluster[a b]", "cluster[c d]", "cluster[e]"]);
    assert!(
        parts
            .windows(2)
            .all(|pair| pair[0].delivery.nonce != pair[1].delivery.nonce)
    );
    assert!(
        parts
            .windows(2)
            .all(|pair| pair[0].delivery.version == pair[1].delivery.version)
    );
    ack_all(&mut stream, &parts);
    stream.silence();
    stream.publish(&Config::default());
    assert_eq!(gists(&stream.drain()), ["cluster[-a -b -c -d -e]"]);
}

// L-13, O-3
#[test]
fn next_step_waits_for_all_parts() {
    let mut stream = stream(Variant::Delta);
    let route = |config: Config, to: &str| config.refers(Route, "r", to, &[(Cluster, to)]);
    stream.publish(&route(config(&["old"], '1'), "old"));
    stream.delta(&Cluster, &[], &[]);
    stream.delta(&Route, &["r"], &[]);
    let first = stream.drain();
    ack_all(&mut stream, &first);
    stream.silence();
    stream.publish(&route(config(&FIVE, '1'), "e"));
    let parts = stream.drain();
    assert_eq!(gists(&parts), ["cluster[a b]", "cluster[c d]", "cluster[e]"]);
    for part in [&parts[2], &parts[0]] {
        stream.ack_delta(part);
        stream.silence();
    }
    stream.ack_delta(&parts[1]);
    assert_eq!(gist(&stream.one()), "route[r]");
}

// L-13
#[test]
fn refused_part_is_not_sent_again_and_the_others_stand() {
    let mut stream = stream(Variant::Delta);
    stream.publish(&config(&FIVE, '1'));
    stream.delta(&Cluster, &[], &[]);
    let parts = stream.drain();
    stream.ack_delta(&parts[0]);
    stream.nack_delta(&parts[1]);
    stream.ack_delta(&parts[2]);
    stream.silence();
    let content = "2".repeat(1000);
    stream.publish(&config(&FIVE, '1').with(Cluster, "c", &content));
    assert_eq!(gist(&stream.one()), "cluster[c d]", "`d` was refused with `c`");
}

// L-13, W-7
#[test]
fn part_that_waits_loses_what_is_given_up() {
    let mut stream = stream(Variant::Delta);
    stream.publish(&config(&FIVE, '1'));
    stream.delta(&Cluster, &FIVE, &[]);
    let first = stream.session.poll_response(stream.now).unwrap();
    assert_eq!(gist(&first), "cluster[a b]");
    stream.delta(&Cluster, &[], &["c", "e"]);
    assert_eq!(gists(&stream.drain()), ["cluster[d]", "cluster[]"]);
}

// L-13
#[test]
fn sotw_is_never_divided() {
    let mut stream = stream(Variant::Sotw);
    stream.publish(&config(&FIVE, '1'));
    stream.sotw(&Cluster, &[]);
    assert_eq!(gist(&stream.one()), "cluster[a b c d e]");
}

fn delta_with(kind: &ResourceType, policy: Policy, held: &[(&str, &str)]) -> Stream {
    let mut stream = Stream::with_policy(Variant::Delta, Scope::Aggregated, policy);
    stream.publish(
        &Config::default()
            .with(kind.clone(), "a", "1")
            .with(kind.clone(), "b", "1"),
    );
    let mut request = delta(kind, &["a", "b"], &[]);
    request.initial_resource_versions = held
        .iter()
        .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
        .collect();
    stream.send_delta(&request);
    stream
}

// R-5
#[test]
fn removal_of_a_quiet_type_is_not_told_and_its_return_is() {
    let mut stream = delta_with(&ExtensionConfig, Policy::default(), &[]);
    let both = stream.one();
    stream.ack_delta(&both);
    stream.silence();
    stream.publish(&Config::default().with(ExtensionConfig, "a", "1"));
    stream.silence();
    stream.publish(
        &Config::default()
            .with(ExtensionConfig, "a", "1")
            .with(ExtensionConfig, "b", "1"),
    );
    assert_eq!(gist(&stream.one()), "extension_config[b]");
    // D-8: a name that never existed is answered as removed in any case, so that the filter falls back at once.
    stream.delta(&ExtensionConfig, &["z"], &[]);
    assert_eq!(gist(&stream.one()), "extension_config[-z]");
}

// R-5
#[test]
fn which_types_are_quiet_can_be_set() {
    let policy = Policy {
        quiet_removals: [Endpoint].into(),
        ..Policy::default()
    };
    for (kind, sent) in [(Endpoint, false), (ExtensionConfig, true)] {
        let mut stream = delta_with(&kind, policy.clone(), &[]);
        let both = stream.one();
        stream.ack_delta(&both);
        stream.publish(&Config::default());
        assert_eq!(!stream.drain().is_empty(), sent);
    }
}

// D-6
#[test]
fn presented_versions_can_be_distrusted_type_by_type() {
    let current = {
        let mut stream = delta_with(&Endpoint, Policy::default(), &[]);
        stream.one().resources.as_slice()[0].version.to_string()
    };
    let held = [("a", current.as_str()), ("gone", "1")];
    let mut trusting = delta_with(&Endpoint, Policy::default(), &held);
    assert_eq!(gists(&trusting.drain()), ["endpoint[b]"]);
    let policy = Policy {
        resend_presented: [Endpoint].into(),
        ..Policy::default()
    };
    let mut distrusting = delta_with(&Endpoint, policy, &held);
    assert_eq!(gists(&distrusting.drain()), ["endpoint[a b]"]);
}
