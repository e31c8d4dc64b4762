//! D-5: a client that reconnects and presents what it holds. Most clients hold everything, which is found without a
//! look at each resource. The responses are the same whether that shortcut is taken or not.

use proptest::prelude::*;

use super::fixture::*;
use crate::{
    protocol::{Request, Variant},
    resource::ResourceType,
    snapshot::Snapshot,
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Clusters and endpoints of the first four names, with the content `round`.
fn config(round: &str) -> Config {
    NAMES[..4].iter().fold(Config::default(), |config, name| {
        config.eds_cluster(name, "1").with(Endpoint, name, round)
    })
}

/// The versions that a client presents: of each name the current version, another one, or none.
fn held() -> impl Strategy<Value = Vec<(&'static str, bool)>> {
    let each = NAMES.map(|name| {
        prop_oneof![
            6 => Just(Some((name, true))),
            1 => Just(Some((name, false))),
            1 => Just(None),
        ]
    });
    let each: Vec<_> = each.into();
    each.prop_map(|held| held.into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
}

fn asked() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        Just(Vec::new()),
        Just(vec!["*"]),
        prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_shuffle(),
        Just(vec!["*", "a"]),
    ]
}

/// The responses after the client's first request, and after the next publish.
fn observed(
    kind: &ResourceType,
    names: &[&str],
    held: &[(&'static str, bool)],
    at: &Snapshot,
    stutter: bool,
) -> Vec<Vec<String>> {
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config("1"));
    let version = |name: &str, is_current: bool| match at.resource(kind, name) {
        Some(resource) if is_current => resource.version.to_string(),
        _ => "old".to_owned(),
    };
    let mut presented: Vec<(&str, String)> = held
        .iter()
        .map(|(name, is_current)| (*name, version(name, *is_current)))
        .collect();
    if stutter && let Some((first, _)) = presented.first().cloned() {
        // The last version of a name counts, so the meaning is the same; but the shortcut is not taken.
        presented.insert(0, (first, "older".to_owned()));
    }
    let held = presented.iter().map(|(name, version)| (*name, version.as_str()));
    let request = Request {
        type_url: kind.type_url(),
        names: names.to_vec().into(),
        presented: held.collect::<Vec<_>>().into(),
        ..Request::default()
    };
    stream.session.on_request(&request).unwrap();
    let mut observed = Vec::new();
    for round in ["1", "2"] {
        stream.publish(&config(round));
        let responses = stream.drain();
        observed.push(gists(&responses));
        responses.iter().for_each(|response| stream.ack_delta(response));
        observed.push(gists(&stream.drain()));
    }
    observed.push(stream.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect());
    observed
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn who_holds_all_is_told_what_a_look_at_each_resource_tells(
        kind in prop_oneof![Just(Cluster), Just(Endpoint)],
        names in asked(),
        held in held(),
    ) {
        let at = config("1").at(1, None);
        let known = observed(&kind, &names, &held, &at, false);
        prop_assert_eq!(known, observed(&kind, &names, &held, &at, true));
    }
}

#[test]
fn who_holds_all_in_any_order_is_sent_nothing_but_what_changes() {
    let at = config("1").at(1, None);
    for (kind, names) in [(Cluster, &["*"][..]), (Endpoint, &["d", "b", "c", "a"][..])] {
        let held = [("c", true), ("a", true), ("d", true), ("b", true)];
        let observed = observed(&kind, names, &held, &at, false);
        assert!(observed[0].is_empty() && observed[1].is_empty(), "{observed:?}");
        let next = if kind == Endpoint {
            vec!["endpoint[a b c d]"]
        } else {
            vec![]
        };
        assert_eq!(observed[2], next);
    }
}
