//! Rules D, W and R of the incremental variant.

use std::sync::Arc;

use super::fixture::*;
use crate::{
    protocol::{Contents, Lists, Outcome, Policy, Scope, Session, Variant},
    resource::ResourceType,
    snapshot::Revision,
};

fn config() -> Config {
    Config::default()
        .with(Cluster, "a", "1")
        .with(Cluster, "b", "1")
        .with(Endpoint, "a", "1")
        .with(Endpoint, "b", "1")
}

fn stream() -> Stream {
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config());
    stream
}

fn versions(names: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    names
        .iter()
        .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
        .collect()
}

fn version_of(kind: &ResourceType, name: &str) -> String {
    config().at(1, None).resource(kind, name).unwrap().version.to_string()
}

// D-2
#[test]
fn subscription_counts_whatever_the_nonce() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["a"], &[]);
    assert_eq!(gist(&stream.one()), "endpoint[a]");
    let mut request = delta(&Endpoint, &["b"], &[]);
    request.response_nonce = "bogus".into();
    stream.send_delta(&request);
    assert_eq!(gist(&stream.one()), "endpoint[b]");
}

// D-3
#[test]
fn acks_in_any_order_provoke_nothing() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["a"], &[]);
    let one = stream.one();
    stream.delta(&Endpoint, &["b"], &[]);
    let two = stream.one();
    stream.ack_delta(&two);
    stream.silence();
    stream.ack_delta(&one);
    stream.silence();
    stream.publish(&config().with(Endpoint, "a", "2"));
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

// D-4
#[test]
fn name_subscribed_again_is_sent_again() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["a"], &[]);
    let response = stream.one();
    stream.ack_delta(&response);
    stream.delta(&Endpoint, &["a"], &[]);
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

// D-5
#[test]
fn presented_versions_decide_what_is_sent_at_reconnect() {
    let mut stream = stream();
    let current = version_of(&Endpoint, "a");
    let mut request = delta(&Endpoint, &["a", "b", "gone"], &[]);
    request.initial_resource_versions = versions(&[("a", &current), ("b", "old"), ("gone", "1")]);
    stream.send_delta(&request);
    assert_eq!(gist(&stream.one()), "endpoint[b -gone]");
}

// D-5
#[test]
fn wildcard_that_presents_all_current_versions_is_sent_nothing() {
    let mut stream = stream();
    let mut request = delta(&Cluster, &[], &[]);
    request.initial_resource_versions =
        versions(&[("a", &version_of(&Cluster, "a")), ("b", &version_of(&Cluster, "b"))]);
    stream.send_delta(&request);
    stream.silence();
    assert!(matches!(stream.outcomes.last(), Some(Outcome::Synced(_))));
    stream.publish(&config().with(Cluster, "b", "2"));
    assert_eq!(gist(&stream.one()), "cluster[b]");
}

// D-5
#[test]
fn only_what_differs_is_kept_of_the_presented_versions() {
    let all = ["a", "b", "c", "d"];
    let config = all.iter().fold(Config::default(), |config, name| {
        config.with(Cluster, name, "1").with(Endpoint, name, "1")
    });
    let snapshot = config.at(1, None);
    let version = |kind: &ResourceType, name: &str| snapshot.resource(kind, name).unwrap().version.to_string();
    let held = |kind: &ResourceType, names: &[&'static str]| -> Vec<(&'static str, String)> {
        names.iter().map(|name| (*name, version(kind, name))).collect()
    };
    let present = |held: Vec<(&str, String)>| {
        held.into_iter()
            .map(|(name, version)| (name.to_owned(), version))
            .collect()
    };
    for (kind, names, sent) in [
        (Cluster, vec![], "cluster[c d -gone]"),
        (Endpoint, vec!["a", "b", "c", "d", "gone"], "endpoint[c d -gone]"),
    ] {
        let reconnected = |held: Vec<(&str, String)>| {
            let mut stream = Stream::new(Variant::Delta);
            stream.publish(&config);
            let mut request = delta(&kind, &names, &[]);
            request.initial_resource_versions = present(held);
            stream.send_delta(&request);
            stream
        };
        let stray = [("d", "old".to_owned()), ("gone", "1".to_owned())];
        let half = [held(&kind, &["a", "b"]), stray.to_vec()].concat();
        assert_eq!(gist(&reconnected(half).one()), sent);

        let most = [held(&kind, &["a", "b", "c"]), stray.to_vec()].concat();
        let mut stream = reconnected(most);
        let kept: Vec<_> = stream.session.types[0]
            .view
            .held()
            .keys()
            .map(ToString::to_string)
            .collect();
        assert_eq!(kept, ["d", "gone"], "{kind}");
        assert_eq!(gist(&stream.one()), sent.replace("c d", "d"));

        let lacking = if kind == Cluster {
            "cluster[d]"
        } else {
            "endpoint[d -gone]"
        };
        assert_eq!(gist(&reconnected(held(&kind, &["a", "b", "c"])).one()), lacking);
    }
}

#[test]
fn streams_that_ask_for_the_same_names_share_what_they_are_sent() {
    let lists = Arc::new(KnownLists::default());
    let mut streams = [["a", "b", "z"], ["z", "b", "a"]].map(|names| {
        let mut stream = stream();
        let policy = Arc::new(Policy::default());
        let session = Session::new(Variant::Delta, Scope::Aggregated, policy, "s".into(), "node".into());
        stream.session = session.with_names(Arc::clone(&lists) as Arc<dyn Lists>);
        stream.publish(&config());
        stream.delta(&Endpoint, &names, &[]);
        stream
    });
    let changed = config().with(Endpoint, "a", "2");
    let snapshot = changed.at(2, Some(&config().at(1, None)));
    let mut sent = streams.each_mut().map(|stream| {
        // Both streams share one snapshot, as from the cache.
        stream.session.on_snapshot(Arc::clone(&snapshot));
        let response = stream.one();
        assert_eq!(gist(&response), "endpoint[a b -z]");
        stream.ack_delta(&response);
        response.resources
    });
    assert_eq!(lists.0.lock().unwrap().len(), 1);
    let shared = |sent: &[Contents; 2]| match sent {
        [Contents::Selected(one), Contents::Selected(two)] => Arc::ptr_eq(one, two),
        _ => false,
    };
    assert!(shared(&sent), "{sent:?}");
    let snapshot = config().with(Endpoint, "b", "2").at(3, Some(&snapshot));
    sent = streams.each_mut().map(|stream| {
        stream.session.on_snapshot(Arc::clone(&snapshot));
        stream.one().resources
    });
    assert!(shared(&sent), "{sent:?}");
}

// D-5
#[test]
fn later_presented_versions_are_ignored() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["a"], &[]);
    let response = stream.one();
    stream.ack_delta(&response);
    let mut request = delta(&Endpoint, &["b"], &[]);
    request.initial_resource_versions = versions(&[("b", &version_of(&Endpoint, "b"))]);
    stream.send_delta(&request);
    assert_eq!(gist(&stream.one()), "endpoint[b]");
}

// D-6, D-13
#[test]
fn endpoints_of_a_cluster_that_changed_meanwhile_are_sent_at_their_presented_version() {
    let config = Config::default().eds_cluster("c", "2").with(Endpoint, "c", "1");
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config);
    let mut request = delta(&Cluster, &[], &[]);
    request.initial_resource_versions = versions(&[("c", "old")]);
    stream.send_delta(&request);
    assert_eq!(gist(&stream.one()), "cluster[c]");
    let version = config.at(1, None).resource(&Endpoint, "c").unwrap().version.to_string();
    let mut request = delta(&Endpoint, &["c"], &[]);
    request.initial_resource_versions = versions(&[("c", &version)]);
    stream.send_delta(&request);
    assert_eq!(gist(&stream.one()), "endpoint[c]");
}

// D-8, R-4
#[test]
fn missing_name_is_answered_as_removed_and_sent_when_it_appears() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["z"], &[]);
    let response = stream.one();
    assert_eq!(gist(&response), "endpoint[-z]");
    stream.ack_delta(&response);
    stream.publish(&config().with(Endpoint, "z", "1"));
    assert_eq!(gist(&stream.one()), "endpoint[z]");
}

// D-9
#[test]
fn name_given_up_under_a_wildcard_is_answered() {
    let mut stream = stream();
    stream.delta(&Cluster, &["*", "a", "z"], &[]);
    let response = stream.one();
    assert_eq!(gist(&response), "cluster[a b -z]");
    stream.ack_delta(&response);
    stream.delta(&Cluster, &[], &["a", "z"]);
    assert_eq!(gist(&stream.one()), "cluster[a -z]");
}

// D-10
#[test]
fn plain_and_phantom_unsubscribe_are_met_with_silence() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["a"], &[]);
    let response = stream.one();
    stream.ack_delta(&response);
    stream.delta(&Endpoint, &[], &["a", "never"]);
    stream.silence();
    stream.publish(&config().with(Endpoint, "a", "2"));
    stream.silence();
}

// D-11
#[test]
fn giving_up_the_wildcard_keeps_the_names() {
    let mut stream = stream();
    stream.delta(&Cluster, &["*", "a"], &[]);
    let response = stream.one();
    stream.ack_delta(&response);
    stream.delta(&Cluster, &[], &["*"]);
    stream.silence();
    stream.publish(&config().with(Cluster, "a", "2").with(Cluster, "b", "2"));
    assert_eq!(gist(&stream.one()), "cluster[a]");
}

// D-12
#[test]
fn unknown_virtual_host_comes_back_without_a_resource() {
    let config = Config::default().with(VirtualHost, "r/known", "1");
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config);
    stream.delta(&VirtualHost, &["r/known", "r/unknown"], &[]);
    let response = stream.one();
    assert_eq!(gist(&response), "virtual_host[r/known]");
    assert_eq!(response.unresolved, ["r/unknown".into()]);
}

// D-12
#[test]
fn virtual_hosts_follow_a_change_of_their_route_configuration() {
    let config = Config::default().with(Route, "r", "1").with(VirtualHost, "r/host", "1");
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config);
    stream.delta(&Route, &["r"], &[]);
    stream.delta(&VirtualHost, &["r/host"], &[]);
    for response in stream.drain() {
        stream.ack_delta(&response);
    }
    stream.publish(&config.with(Route, "r", "2"));
    assert_eq!(gists(&stream.drain()), ["route[r]", "virtual_host[r/host]"]);
}

// D-13
#[test]
fn first_wildcard_is_answered_even_if_empty() {
    let mut stream = Stream::new(Variant::Delta);
    stream.delta(&Cluster, &[], &[]);
    stream.silence();
    stream.publish(&Config::default());
    assert_eq!(gist(&stream.one()), "cluster[]");
}

// D-13
#[test]
fn missing_snapshot_removes_nothing_of_what_is_presented() {
    let mut stream = Stream::new(Variant::Delta);
    let mut request = delta(&Cluster, &[], &[]);
    request.initial_resource_versions = versions(&[("a", "1")]);
    stream.send_delta(&request);
    stream.silence();
}

// D-15
#[test]
fn refused_versions_are_not_sent_again_and_better_ones_are() {
    let mut stream = stream();
    stream.delta(&Cluster, &[], &[]);
    let response = stream.one();
    stream.ack_delta(&response);
    stream.publish(&config().with(Cluster, "a", "bad"));
    let bad = stream.one();
    stream.nack_delta(&bad);
    stream.silence();
    stream.publish(&config().with(Cluster, "a", "bad").with(Cluster, "b", "2"));
    let other = stream.one();
    assert_eq!(gist(&other), "cluster[b]");
    stream.ack_delta(&other);
    stream.silence();
    assert!(matches!(stream.outcomes.last(), Some(Outcome::Blocked(_))));
    stream.publish(&config().with(Cluster, "b", "2"));
    let back = stream.one();
    assert_eq!(gist(&back), "cluster[a]", "the content from before the refusal");
    stream.ack_delta(&back);
    stream.silence();
    assert!(matches!(stream.outcomes.last(), Some(Outcome::Synced(_))));
}

// D-16
#[test]
fn thousand_publishes_without_an_ack_are_one_response_of_the_newest() {
    let mut stream = stream();
    stream.delta(&Cluster, &[], &[]);
    let first = stream.one();
    for n in 0..1000 {
        stream.publish(&config().with(Cluster, "a", &n.to_string()));
        stream.silence();
    }
    stream.ack_delta(&first);
    let newest = stream.one();
    assert_eq!(gist(&newest), "cluster[a]");
    assert_eq!(newest.delivery.revision.0, 1001);
}

// D-16
#[test]
fn answers_in_flight_are_bounded() {
    let mut stream = stream();
    for _ in 0..1000 {
        stream.delta(&Endpoint, &["a"], &[]);
        assert!(stream.drain().len() <= 1);
    }
    let sent = stream.outcomes.iter().filter(|o| matches!(o, Outcome::Sent(_))).count();
    assert!(sent <= 32, "{sent}");
}

// R-3
#[test]
fn removal_names_what_is_gone() {
    let mut stream = stream();
    stream.delta(&Cluster, &[], &[]);
    stream.delta(&Endpoint, &["a", "b"], &[]);
    for response in stream.drain() {
        stream.ack_delta(&response);
    }
    stream.publish(&config().without(Cluster, "a").without(Endpoint, "b"));
    let removals = stream.drain();
    // Neither resource refers to the other.
    assert_eq!(gists(&removals), ["cluster[-a]", "endpoint[-b]"]);
}

// R-4
#[test]
fn removed_name_that_returns_unchanged_is_sent() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["a"], &[]);
    let response = stream.one();
    stream.ack_delta(&response);
    stream.publish(&config().without(Endpoint, "a"));
    let removal = stream.one();
    stream.ack_delta(&removal);
    stream.publish(&config());
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

// X-2
#[test]
fn glob_follows_its_members_and_an_empty_one_is_answered_by_its_name() {
    let config = Config::default().with(Endpoint, "d/x", "1");
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config);
    stream.delta(&Endpoint, &["d/*"], &[]);
    let first = stream.one();
    assert_eq!(gist(&first), "endpoint[d/x]");
    stream.ack_delta(&first);
    stream.delta(&Endpoint, &["e/*"], &[]);
    let empty = stream.one();
    assert_eq!(gist(&empty), "endpoint[-e/*]");
    stream.ack_delta(&empty);
    stream.publish(&config.with(Endpoint, "e/y", "1"));
    assert_eq!(gist(&stream.one()), "endpoint[e/y]");
}

// X-6
#[test]
fn locator_is_a_name_and_no_wildcard() {
    use crate::proto::discovery::ResourceLocator;

    let mut stream = stream();
    let mut request = delta(&Cluster, &[], &[]);
    request.resource_locators_subscribe = vec![ResourceLocator {
        name: "a".into(),
        ..ResourceLocator::default()
    }];
    stream.send_delta(&request);
    assert_eq!(gist(&stream.one()), "cluster[a]");
}

// D-15: Envoy stops at the first bad resource of a response; the others must not be lost with it.
#[test]
fn what_was_refused_with_a_bad_resource_is_sent_once_more_on_its_own() {
    let mut stream = stream();
    stream.delta(&Endpoint, &["a", "b"], &[]);
    let both = stream.one();
    stream.nack_delta(&both);
    stream.silence();
    stream.publish(&config().with(Endpoint, "a", "2"));
    let fixed = stream.one();
    assert_eq!(gist(&fixed), "endpoint[a]");
    stream.ack_delta(&fixed);
    let other = stream.one();
    assert_eq!(gist(&other), "endpoint[b]");
    stream.nack_delta(&other);
    stream.silence();
    stream.publish(&config().with(Endpoint, "a", "3"));
    assert_eq!(gist(&stream.one()), "endpoint[a]");
}

/// 40 clusters; those in `changed` have the content of `round`.
fn forty(changed: &[usize], round: usize) -> Config {
    (0..40).fold(Config::default(), |config, number| {
        let content = if changed.contains(&number) { round } else { 0 };
        config.with(Cluster, &format!("c{number:02}"), &content.to_string())
    })
}

#[test]
fn who_refuses_everything_is_sent_what_changes_alone() {
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&forty(&[], 0));
    stream.delta(&Cluster, &["*"], &[]);
    for round in 1..=3 {
        let response = stream.one();
        assert_eq!(
            response.resources.as_slice().len(),
            40,
            "it is unknown which cluster is at fault"
        );
        stream.nack_delta(&response);
        stream.publish(&forty(&[0], round));
    }
    let response = stream.one();
    assert_eq!(gist(&response), "cluster[c00]");
    stream.nack_delta(&response);
    stream.publish(&forty(&[0], 9));
    let response = stream.drain();
    assert_eq!(response[0].resources.as_slice().len(), 1, "{:?}", gists(&response));
}

#[test]
fn who_refuses_everything_is_sent_nothing_again_however_few_suspects_are_left() {
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&forty(&[], 0));
    stream.delta(&Cluster, &["*"], &[]);
    for round in 1..=3 {
        let response = stream.one();
        stream.nack_delta(&response);
        stream.publish(&forty(&[0], round));
    }
    for number in 0..40 {
        let response = stream.one();
        assert_eq!(gist(&response), format!("cluster[c{number:02}]"));
        stream.nack_delta(&response);
        stream.silence();
        let changed: Vec<usize> = (0..number + 2).collect();
        // Each round changes one more cluster; the others keep their last content.
        stream.publish(&forty(&changed, 3));
    }
}

#[test]
fn who_refused_everything_is_sent_the_rest_once_it_accepts_something() {
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&forty(&[], 0));
    stream.delta(&Cluster, &["*"], &[]);
    for round in 1..=3 {
        let response = stream.one();
        stream.nack_delta(&response);
        stream.publish(&forty(&[0], round));
    }
    let response = stream.one();
    stream.ack_delta(&response);
    let rest = stream.one();
    assert_eq!(rest.resources.as_slice().len(), 39);
    stream.ack_delta(&rest);
    stream.silence();
    assert!(stream.outcomes.contains(&Outcome::Synced(Revision(4))));
}
