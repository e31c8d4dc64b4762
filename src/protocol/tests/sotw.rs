//! Rules S, W and R of the state-of-the-world variant.

use super::fixture::*;
use crate::{
    protocol::{Outcome, Scope, Variant},
    resource::ResourceType,
};

fn config() -> Config {
    Config::default()
        .with(Cluster, "a", "1")
        .with(Cluster, "b", "1")
        .with(Endpoint, "a", "1")
        .with(Endpoint, "b", "1")
}

fn stream() -> Stream {
    let mut stream = Stream::new(Variant::Sotw);
    stream.publish(&config());
    stream
}

// S-9
#[test]
fn silence_until_the_group_is_published() {
    let mut stream = Stream::new(Variant::Sotw);
    stream.sotw(&Cluster, &[]);
    stream.silence();
    stream.publish(&config());
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// S-9
#[test]
fn empty_snapshot_is_delivered_as_empty() {
    let mut stream = Stream::new(Variant::Sotw);
    stream.publish(&Config::default());
    stream.sotw(&Cluster, &[]);
    stream.sotw(&Listener, &[]);
    let responses = stream.drain();
    assert_eq!(gists(&responses), ["cluster[]", "listener[]"]);
    assert!(responses.iter().all(|r| !r.delivery.version.as_str().is_empty()));
}

// S-1
#[test]
fn every_response_has_a_nonce_of_its_own() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    stream.sotw(&Endpoint, &["a"]);
    let responses = stream.drain();
    assert_ne!(responses[0].delivery.nonce, responses[1].delivery.nonce);
}

// S-2
#[test]
fn change_of_one_type_leaves_the_others_alone() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    stream.sotw(&Listener, &[]);
    for response in stream.drain() {
        stream.ack(&response, &[]);
    }
    stream.publish(&config().with(Cluster, "a", "2"));
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// S-4
#[test]
fn first_request_is_fresh_whatever_nonce_it_carries() {
    let mut stream = stream();
    stream.send(&sotw(&Cluster, &[], "old", "xyz"));
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// S-5
#[test]
fn pure_wildcard_that_presents_the_current_version_is_not_sent_it_again() {
    let mut first = stream();
    first.sotw(&Cluster, &[]);
    let version = first.one().delivery.version.to_string();
    let mut again = stream();
    again.send(&sotw(&Cluster, &[], &version, ""));
    again.silence();
    assert!(again.outcomes.iter().any(|o| matches!(o, Outcome::Presented(_))));
    again.publish(&config().with(Cluster, "a", "2"));
    assert_eq!(gist(&again.one()), "cluster[a b]");
}

// S-5
#[test]
fn named_types_are_answered_on_a_new_stream_at_an_equal_version() {
    let mut first = stream();
    first.sotw(&Endpoint, &["a"]);
    let version = first.one().delivery.version.to_string();
    let mut again = stream();
    again.send(&sotw(&Endpoint, &["a"], &version, ""));
    assert_eq!(gist(&again.one()), "endpoint[a]");
}

// S-6, S-7
#[test]
fn nack_is_recorded_and_the_same_content_never_sent_again() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    let response = stream.one();
    let version = response.delivery.version.to_string();
    stream.nack(&response, &[], &version);
    stream.silence();
    assert!(
        stream
            .outcomes
            .iter()
            .any(|o| matches!(o, Outcome::Nack { code: 13, message, .. } if message == "no"))
    );
    stream.publish(&config().with(Endpoint, "a", "2"));
    stream.silence();
    stream.publish(&config().with(Cluster, "a", "2"));
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// S-8: also the way back after a refusal.
#[test]
fn content_that_returns_to_what_was_before_the_refusal_is_sent() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    let response = stream.one();
    stream.ack(&response, &[]);
    stream.publish(&config().with(Cluster, "a", "bad"));
    let refused = stream.one();
    stream.nack(&refused, &[], response.delivery.version.as_str());
    stream.silence();
    stream.publish(&config());
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// S-7, Z-5
#[test]
fn repeated_nack_is_one_event() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    let response = stream.one();
    for _ in 0..1000 {
        stream.nack(&response, &[], "");
        stream.silence();
    }
    let nacks = stream
        .outcomes
        .iter()
        .filter(|o| matches!(o, Outcome::Nack { .. }))
        .count();
    assert_eq!(nacks, 1);
}

// S-6b
#[test]
fn error_less_rejection_provokes_nothing() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a"]);
    let response = stream.one();
    stream.send(&sotw(&Endpoint, &[], "old", &response.delivery.nonce.to_string()));
    stream.silence();
    assert!(
        !stream
            .outcomes
            .iter()
            .any(|o| matches!(o, Outcome::Ack(_) | Outcome::Nack { .. }))
    );
}

// S-10
#[test]
fn missing_name_is_remembered_and_sent_when_it_appears() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a", "z"]);
    let response = stream.one();
    assert_eq!(gist(&response), "endpoint[a]");
    stream.ack(&response, &["a", "z"]);
    stream.silence();
    stream.publish(&config().with(Endpoint, "z", "1"));
    assert_eq!(gist(&stream.one()), "endpoint[z]");
}

// S-11
#[test]
fn ack_repeated_ack_and_unsubscription_are_met_with_silence() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a", "b"]);
    let response = stream.one();
    stream.ack(&response, &["a", "b"]);
    stream.silence();
    stream.ack(&response, &["a", "b"]);
    stream.silence();
    stream.ack(&response, &["a"]);
    stream.silence();
}

// S-12
#[test]
fn subscription_of_a_stale_request_is_kept_and_answered_after_the_ack() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a"]);
    let response = stream.one();
    stream.publish(&config().with(Endpoint, "a", "2"));
    stream.silence();
    stream.send(&sotw(&Endpoint, &["a", "b"], "", "xyz"));
    stream.silence();
    assert!(stream.outcomes.iter().any(|o| matches!(o, Outcome::StaleNonce { .. })));
    stream.ack(&response, &["a", "b"]);
    assert_eq!(gist(&stream.one()), "endpoint[a b]");
}

// S-14
#[test]
fn two_requests_before_any_response_converge() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a"]);
    let first = stream.one();
    stream.sotw(&Endpoint, &["a", "b"]);
    stream.silence();
    stream.ack(&first, &["a", "b"]);
    assert_eq!(gist(&stream.one()), "endpoint[b]");
}

// S-15
#[test]
fn thousand_publishes_without_an_ack_are_one_response_of_the_newest() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    let first = stream.one();
    for n in 0..1000 {
        stream.publish(&config().with(Cluster, "a", &n.to_string()));
        stream.silence();
    }
    stream.sotw(&Endpoint, &["a"]);
    let endpoint = stream.one();
    assert_eq!(gist(&endpoint), "endpoint[a]", "other types are not blocked");
    stream.ack(&first, &[]);
    let newest = stream.one();
    assert_eq!(newest.delivery.revision.0, 1001);
}

// S-17, W-2
#[test]
fn wildcard_and_name_together_send_each_resource_once() {
    let mut stream = stream();
    stream.sotw(&Cluster, &["*", "a"]);
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// S-18
#[test]
fn full_state_types_carry_everything_subscribed_and_others_what_changed() {
    let mut stream = stream();
    stream.sotw(&Cluster, &["a", "b"]);
    stream.sotw(&Endpoint, &["a", "b"]);
    for response in stream.drain() {
        stream.ack(&response, &["a", "b"]);
    }
    stream.publish(&config().with(Cluster, "a", "2").with(Endpoint, "a", "2"));
    assert_eq!(gists(&stream.drain()), ["cluster[a b]", "endpoint[a]"]);
}

// S-18
#[test]
fn secrets_are_sent_with_the_unchanged_ones() {
    let config = Config::default().with(Secret, "a", "1").with(Secret, "b", "1");
    let mut stream = Stream::new(Variant::Sotw);
    stream.publish(&config);
    stream.sotw(&Secret, &["a", "b"]);
    let response = stream.one();
    stream.ack(&response, &["a", "b"]);
    stream.publish(&config.clone().with(Secret, "a", "2"));
    let response = stream.one();
    assert_eq!(gist(&response), "secret[a b]");
    stream.ack(&response, &["a", "b"]);
    stream.publish(&Config::default());
    stream.silence();
}

// W-4
#[test]
fn empty_first_list_of_endpoints_asks_for_nothing() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &[]);
    stream.silence();
    stream.sotw(&Endpoint, &["a"]);
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

// W-6
#[test]
fn name_given_up_and_asked_for_again_is_sent_again() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a", "b"]);
    let response = stream.one();
    stream.ack(&response, &["a", "b"]);
    stream.ack(&response, &["a"]);
    stream.ack(&response, &["a", "b"]);
    assert_eq!(gist(&stream.one()), "endpoint[b]");
}

// W-7
#[test]
fn name_given_up_before_the_response_is_written_is_not_in_it() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a", "b"]);
    let response = stream.one();
    stream.publish(&config().with(Endpoint, "a", "2").with(Endpoint, "b", "2"));
    stream.ack(&response, &["a"]);
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

// W-8
#[test]
fn name_added_to_a_full_state_type_brings_all_names() {
    let mut stream = stream();
    stream.sotw(&Cluster, &["a"]);
    let response = stream.one();
    stream.ack(&response, &["a", "b"]);
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// W-2
#[test]
fn names_that_shrink_to_nothing_are_no_wildcard() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a"]);
    let response = stream.one();
    stream.ack(&response, &[]);
    stream.silence();
    stream.publish(&config().with(Endpoint, "a", "2"));
    stream.silence();
}

//
#[test]
fn removal_is_omission_and_removal_of_the_last_an_empty_response() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    let response = stream.one();
    stream.ack(&response, &[]);
    stream.publish(&config().without(Cluster, "a"));
    let response = stream.one();
    assert_eq!(gist(&response), "cluster[b]");
    stream.ack(&response, &[]);
    stream.publish(&Config::default());
    assert_eq!(gist(&stream.one()), "cluster[]");
}

//
#[test]
fn vanished_endpoints_are_silence_and_are_sent_when_they_return_unchanged() {
    let mut stream = stream();
    stream.sotw(&Endpoint, &["a"]);
    let response = stream.one();
    stream.ack(&response, &["a"]);
    stream.publish(&config().without(Endpoint, "a"));
    stream.silence();
    stream.publish(&config());
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

// O-7
#[test]
fn eds_cluster_without_endpoints_is_answered_with_an_empty_assignment() {
    let mut stream = Stream::new(Variant::Sotw);
    stream.publish(&Config::default().eds_cluster("a", "1"));
    stream.sotw(&Endpoint, &["a"]);
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

// L-4
#[test]
fn type_url_is_implied_on_a_stream_of_one_type_only() {
    let mut single = Stream::scoped(Variant::Sotw, Scope::Single(Cluster));
    single.publish(&config());
    let mut implied = sotw(&Cluster, &[], "", "");
    implied.type_url.clear();
    single.send(&implied);
    assert_eq!(gist(&single.one()), "cluster[a b]");
    let foreign = sotw(&Endpoint, &["a"], "", "");
    assert!(single.session.on_request(&(&foreign).into()).is_err());
    assert!(stream().session.on_request(&(&implied).into()).is_err());
}

// L-5
#[test]
fn unknown_type_on_ads_is_silence_and_the_others_flow() {
    let other = ResourceType::from_type_url("type.googleapis.com/foo.Bar").unwrap();
    let mut stream = stream();
    stream.sotw(&other, &["x"]);
    stream.silence();
    stream.sotw(&Cluster, &[]);
    assert_eq!(gist(&stream.one()), "cluster[a b]");
}

// L-3
#[test]
fn changed_node_id_ends_the_stream_and_a_repeated_one_does_not() {
    let mut stream = stream();
    let mut request = sotw(&Cluster, &[], "", "");
    let node = |id: &str| crate::proto::envoy::config::core::v3::Node {
        id: id.into(),
        ..Default::default()
    };
    request.node = Some(node("node"));
    stream.send(&request);
    request.node = Some(node("other"));
    assert!(stream.session.on_request(&(&request).into()).is_err());
}

#[test]
fn stream_is_synced_once_everything_was_acked() {
    let mut stream = stream();
    stream.sotw(&Cluster, &[]);
    let response = stream.one();
    let synced = |stream: &Stream| {
        stream
            .outcomes
            .iter()
            .filter(|o| matches!(o, Outcome::Synced(_)))
            .count()
    };
    assert_eq!(synced(&stream), 0);
    stream.ack(&response, &[]);
    stream.silence();
    stream.silence();
    assert_eq!(synced(&stream), 1);
    stream.publish(&config().with(Listener, "not subscribed", "1"));
    stream.silence();
    assert_eq!(synced(&stream), 2, "what is not subscribed needs no ACK");
}
