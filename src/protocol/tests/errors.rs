//! Section E: names that do not exist, as clients and operators see them.

use super::fixture::*;
use crate::{
    protocol::{Features, Outcome, Policy, Response, Variant},
    resource::ResourceType,
};

fn config() -> Config {
    Config::default()
        .with(Cluster, "a", "1")
        .with(Endpoint, "a", "1")
        .with(Endpoint, "b", "1")
}

fn stream(variant: Variant, bare_errors: bool, resource_errors: bool) -> Stream {
    let policy = Policy {
        resource_errors,
        ..Policy::default()
    };
    let features = Features {
        bare_errors,
        ..Features::default()
    };
    let mut stream = Stream::featured(variant, policy, features);
    stream.publish(&config());
    stream
}

/// The names in the errors, all of which must be `NOT_FOUND`.
fn errors(response: &Response) -> Vec<&str> {
    assert!(response.errors.iter().all(|error| error.code == 5), "{response:?}");
    response.errors.iter().map(|error| error.name.as_str()).collect()
}

/// The number and names of the missing resources that were last reported.
fn missing(stream: &Stream, kind: &ResourceType) -> Option<(usize, Vec<String>)> {
    stream.outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::Missing {
            resource_type,
            names,
            sample,
        } if resource_type == kind => Some((*names, sample.iter().map(ToString::to_string).collect())),
        _ => None,
    })
}

// E-1
#[test]
fn missing_name_is_an_error_beside_its_removal_in_delta() {
    let mut stream = stream(Variant::Delta, false, true);
    stream.delta(&Endpoint, &["a", "z"], &[]);
    let response = stream.one();
    assert_eq!(gist(&response), "endpoint[a -z]");
    assert_eq!(errors(&response), ["z"]);
}

// E-2
#[test]
fn error_is_told_once_and_ends_with_the_resource() {
    for variant in [Variant::Sotw, Variant::Delta] {
        let mut stream = stream(variant, true, true);
        match variant {
            Variant::Sotw => stream.sotw(&Endpoint, &["a", "z"]),
            Variant::Delta => stream.delta(&Endpoint, &["a", "z"], &[]),
        }
        let first = stream.one();
        assert_eq!(errors(&first), ["z"]);
        let ack = |stream: &mut Stream, response: &Response| match variant {
            Variant::Sotw => stream.ack(response, &["a", "z"]),
            Variant::Delta => stream.ack_delta(response),
        };
        ack(&mut stream, &first);
        stream.silence();
        stream.publish(&config().with(Endpoint, "a", "2"));
        let change = stream.one();
        assert_eq!((gist(&change).as_str(), errors(&change).len()), ("endpoint[a]", 0));
        ack(&mut stream, &change);
        stream.publish(&config().with(Endpoint, "a", "2").with(Endpoint, "z", "1"));
        let there = stream.one();
        assert_eq!((gist(&there).as_str(), errors(&there).len()), ("endpoint[z]", 0));
    }
}

// E-4
#[test]
fn error_alone_is_sent_in_sotw_to_clients_that_take_it() {
    let mut grpc = stream(Variant::Sotw, true, true);
    grpc.sotw(&Endpoint, &["z"]);
    let response = grpc.one();
    assert_eq!((gist(&response).as_str(), errors(&response)), ("endpoint[]", vec!["z"]));
    grpc.ack(&response, &["z"]);
    grpc.silence();

    let mut envoy = stream(Variant::Sotw, false, true);
    envoy.sotw(&Endpoint, &["z"]);
    envoy.silence();
}

// E-4
#[test]
fn full_state_holds_all_resources_beside_its_errors() {
    let mut stream = stream(Variant::Sotw, false, true);
    stream.sotw(&Cluster, &["a", "z"]);
    let response = stream.one();
    assert_eq!((gist(&response).as_str(), errors(&response)), ("cluster[a]", vec!["z"]));
    stream.ack(&response, &["a", "z"]);
    stream.publish(&config().without(Cluster, "a"));
    let removal = stream.one();
    assert_eq!((gist(&removal).as_str(), errors(&removal)), ("cluster[]", vec!["a"]));
}

// E-3
#[test]
fn what_is_only_late_is_no_error() {
    let before = Config::default()
        .eds_cluster("old", "1")
        .refers(Route, "r", "1", &[(Cluster, "old")]);
    let after = before
        .clone()
        .eds_cluster("new", "1")
        .refers(Route, "s", "1", &[(Cluster, "new")]);
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&before);
    stream.delta(&Cluster, &[], &[]);
    stream.delta(&Route, &["r"], &[]);
    let unanswered = stream.drain();
    assert_eq!(gists(&unanswered), ["cluster[old]", "route[r]"]);
    stream.publish(&after);
    // The new cluster waits for the ACK of the old one, and its route for the new cluster.
    stream.delta(&Route, &["s", "z"], &[]);
    let answer = stream.one();
    assert_eq!((gist(&answer).as_str(), errors(&answer)), ("route[-z]", vec!["z"]));
    assert_eq!(missing(&stream, &Route), Some((1, vec!["z".to_owned()])));
}

// E-5
#[test]
fn empty_glob_is_an_error_of_its_own_name_and_a_wildcard_is_none() {
    let mut stream = stream(Variant::Delta, false, true);
    stream.delta(&Endpoint, &["x/*"], &[]);
    assert_eq!(errors(&stream.one()), ["x/*"]);
    stream.delta(&Listener, &["*"], &[]);
    assert!(errors(&stream.one()).is_empty());
}

// E-6
#[test]
fn errors_can_be_switched_off() {
    let mut delta = stream(Variant::Delta, false, false);
    delta.delta(&Endpoint, &["z"], &[]);
    let response = delta.one();
    assert_eq!((gist(&response).as_str(), errors(&response).len()), ("endpoint[-z]", 0));
    let mut sotw = stream(Variant::Sotw, true, false);
    sotw.sotw(&Endpoint, &["z"]);
    sotw.silence();
}

// E-7
#[test]
fn missing_names_are_reported_to_operators() {
    for variant in [Variant::Sotw, Variant::Delta] {
        let mut stream = stream(variant, false, true);
        let subscribe = |stream: &mut Stream, names: &[&str], dropped: &[&str]| match variant {
            Variant::Sotw => stream.sotw(&Endpoint, names),
            Variant::Delta => stream.delta(&Endpoint, names, dropped),
        };
        let settle = |stream: &mut Stream| {
            let mut due = stream.drain();
            while !due.is_empty() {
                for response in &due {
                    match variant {
                        Variant::Sotw => stream.ack(response, &["a", "b", "y", "z"]),
                        Variant::Delta => stream.ack_delta(response),
                    }
                }
                due = stream.drain();
            }
        };
        subscribe(&mut stream, &["a", "b", "y", "z"], &[]);
        settle(&mut stream);
        assert_eq!(
            missing(&stream, &Endpoint),
            Some((2, vec!["y".to_owned(), "z".to_owned()]))
        );
        stream.publish(&config().without(Endpoint, "b").with(Endpoint, "y", "1"));
        settle(&mut stream);
        assert_eq!(
            missing(&stream, &Endpoint),
            Some((2, vec!["b".to_owned(), "z".to_owned()]))
        );
        subscribe(&mut stream, &["a", "y"], &["b", "z"]);
        stream.drain();
        assert_eq!(missing(&stream, &Endpoint), Some((0, Vec::new())));
    }
}
