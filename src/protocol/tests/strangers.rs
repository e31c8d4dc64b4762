//! Streams that ask for as much as they may. Each of these tests took minutes when one edit cost as much as all names.

use super::fixture::*;
use crate::protocol::{Policy, ProtocolError, Scope, StreamLimits, Variant};

/// The number of names of a long list.
const MANY: usize = 100_000;
/// The number of edits of it, one name each.
const EDITS: usize = 2000;

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A stream that asks for many missing names, of a type whose missing names are reported.
fn crowded() -> Stream {
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&Config::default().with(Endpoint, "a", "1").with(Cluster, "a", "1"));
    stream.delta(&Endpoint, &texts(&names("missing-", MANY)), &[]);
    for response in stream.drain() {
        stream.ack_delta(&response);
    }
    stream.silence();
    stream
}

#[test]
fn edits_of_a_long_list_cost_what_they_change() {
    let mut stream = crowded();
    for name in names("one-", EDITS) {
        stream.delta(&Endpoint, &[&name], &[]);
        for response in stream.drain() {
            stream.ack_delta(&response);
        }
        stream.delta(&Endpoint, &[], &[&name]);
        stream.silence();
    }
    let missing = stream.outcomes.iter().rev().find_map(|outcome| match outcome {
        crate::protocol::Outcome::Missing { names, sample, .. } => Some((*names, sample.len())),
        _ => None,
    });
    assert_eq!(missing, Some((MANY, 16)));
}

#[test]
fn names_given_up_before_they_are_answered_cost_what_they_are() {
    let mut stream = crowded();
    let all = names("missing-", MANY);
    let more = names("more-", MANY);
    stream.delta(&Endpoint, &texts(&more), &[]);
    let response = stream.session.poll_response(stream.now);
    assert!(response.is_some());
    stream.delta(&Endpoint, &[], &texts(&more));
    stream.delta(&Endpoint, &[], &texts(&all));
    stream.drain();
}

#[test]
fn globs_count_as_names() {
    let policy = Policy {
        limits: StreamLimits {
            names_per_type: 10,
            ..StreamLimits::default()
        },
        ..Policy::default()
    };
    let mut stream = Stream::with_policy(Variant::Delta, Scope::Aggregated, policy);
    stream.publish(&Config::default().with(Endpoint, "a", "1"));
    let globs: Vec<String> = (0..10).map(|number| format!("dir-{number}/*")).collect();
    stream.delta(&Endpoint, &texts(&globs), &[]);
    stream.drain();
    let one_more = delta(&Endpoint, &["dir-x/*"], &[]);
    let refused = stream.session.on_request(&(&one_more).into());
    assert_eq!(refused, Err(ProtocolError::TooManyNames(10, Endpoint)));
}

#[test]
fn globs_cost_what_they_change_however_many_there_are() {
    let mut config = Config::default();
    for name in names("dir-0/", 5000) {
        config = config.with(Endpoint, &name, "1");
    }
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config);
    let globs: Vec<String> = (0..MANY).map(|number| format!("dir-{number}/*")).collect();
    stream.delta(&Endpoint, &texts(&globs), &[]);
    let responses = stream.drain();
    assert_eq!(responses[0].resources.len(), 5000);
    assert_eq!(responses[0].removed.len(), MANY - 1, "the globs without members");
    for response in responses {
        stream.ack_delta(&response);
    }
    // A glob that is requested repeatedly before it is answered is owed once.
    for _ in 0..EDITS {
        stream.delta(&Endpoint, &["dir-1/*"], &[]);
    }
    for (number, name) in names("more-", EDITS).iter().enumerate() {
        let glob = format!("{name}/*");
        stream.delta(&Endpoint, &[&glob], &[]);
        if number % 100 == 0 {
            stream.drain().iter().for_each(|response| stream.ack_delta(response));
        }
    }
}

#[test]
fn names_to_give_up_and_versions_presented_are_counted() {
    let limits = StreamLimits {
        names_per_type: 10,
        ..StreamLimits::default()
    };
    let policy = Policy {
        limits,
        ..Policy::default()
    };
    let many = names("n", 11);
    let mut presented = delta(&Endpoint, &[], &[]);
    presented.initial_resource_versions = many.iter().map(|name| (name.clone(), String::new())).collect();
    for request in [delta(&Endpoint, &[], &texts(&many)), presented] {
        let mut stream = Stream::with_policy(Variant::Delta, Scope::Aggregated, policy.clone());
        let refused = stream.session.on_request(&(&request).into());
        assert_eq!(refused, Err(ProtocolError::TooManyNames(10, Endpoint)));
    }
}

#[test]
fn names_of_a_stream_have_a_limit_in_bytes_over_all_types() {
    let limits = StreamLimits {
        subscribed_bytes: 100,
        ..StreamLimits::default()
    };
    let policy = Policy {
        limits,
        ..Policy::default()
    };
    let long = ["x".repeat(60), "y".repeat(39), format!("{}/*", "z".repeat(30))];
    for variant in [Variant::Sotw, Variant::Delta] {
        let mut stream = Stream::with_policy(variant, Scope::Aggregated, policy.clone());
        let mut ask = |kind: &crate::resource::ResourceType, name: &str| match variant {
            Variant::Sotw => stream.session.on_request(&(&sotw(kind, &[name], "", "")).into()),
            Variant::Delta => stream.session.on_request(&(&delta(kind, &[name], &[])).into()),
        };
        assert_eq!(ask(&Endpoint, &long[0]), Ok(()));
        assert_eq!(ask(&Route, &long[1]), Ok(()));
        assert_eq!(ask(&Secret, &long[2]), Err(ProtocolError::TooManyNameBytes(100)));
    }
    // Names that are unsubscribed no longer count, one by one and all at once.
    let mut stream = Stream::with_policy(Variant::Delta, Scope::Aggregated, policy);
    for _ in 0..3 {
        stream.delta(&Endpoint, &[&long[0]], &[]);
        stream.delta(&Endpoint, &[], &[&long[0]]);
        stream.delta(&Endpoint, &[&long[2]], &[]);
        stream.delta(&Endpoint, &[], &[&long[2]]);
    }
}
