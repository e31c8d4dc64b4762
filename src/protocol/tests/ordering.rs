//! Section O: make before break, gated by ACKs, in both variants.

use std::time::Duration;

use super::fixture::*;
use crate::{
    protocol::{Hold, Outcome, Policy, Response, Scope, Standing, Variant},
    resource::ResourceType,
};

const BOTH: [Variant; 2] = [Variant::Sotw, Variant::Delta];

/// A listener with RDS, its route configuration, and the cluster to which it routes.
fn config(route_to: &str) -> Config {
    Config::default()
        .refers(Listener, "l", "1", &[(Route, "r")])
        .refers(Route, "r", "1", &[(Cluster, route_to)])
        .eds_cluster(route_to, "1")
        .with(Endpoint, route_to, "1")
}

/// An Envoy as far as subscriptions go: CDS and LDS by wildcard, EDS and RDS by the names in their parents.
struct Envoy {
    stream: Stream,
    variant: Variant,
}

impl Envoy {
    fn running(variant: Variant, config: &Config) -> Self {
        let mut envoy = Self {
            stream: Stream::new(variant),
            variant,
        };
        envoy.stream.publish(config);
        envoy.subscribe(&Cluster, &[]);
        envoy.subscribe(&Endpoint, &["old"]);
        envoy.subscribe(&Listener, &[]);
        envoy.subscribe(&Route, &["r"]);
        for response in envoy.stream.drain() {
            envoy.ack(&response, names_of(&response.delivery.resource_type, &["old"]));
        }
        envoy.stream.silence();
        envoy
    }

    fn subscribe(&mut self, kind: &ResourceType, names: &[&str]) {
        match self.variant {
            Variant::Sotw => self.stream.sotw(kind, names),
            Variant::Delta => self.stream.delta(kind, names, &[]),
        }
    }

    fn ack(&mut self, response: &Response, names: &[&str]) {
        match self.variant {
            Variant::Sotw => self.stream.ack(response, names),
            Variant::Delta => self.stream.ack_delta(response),
        }
    }

    /// The progress of the change that was last reported.
    fn standing(&self) -> Standing {
        let reported = self.stream.outcomes.iter().rev().find_map(|outcome| match outcome {
            Outcome::Standing(standing) => Some(standing.clone()),
            _ => None,
        });
        reported.unwrap_or_default()
    }

    fn nack(&mut self, response: &Response, names: &[&str]) {
        match self.variant {
            Variant::Sotw => self.stream.nack(response, names, ""),
            Variant::Delta => self.stream.nack_delta(response),
        }
    }
}

impl Standing {
    fn holds(&self, cluster: &str) -> bool {
        let is_it = |hold: &Hold| hold.resource_type == Cluster && hold.name.as_str() == cluster;
        self.holds.iter().any(is_it)
    }
}

fn names_of<'a>(kind: &ResourceType, endpoints: &'a [&'a str]) -> &'a [&'a str] {
    match kind {
        Endpoint => endpoints,
        Route => &["r"],
        _ => &[],
    }
}

/// Compares the gist of a response, which SotW sends in full and delta in part.
fn expect(variant: Variant, response: &Response, sotw: &str, delta: &str) {
    let expected = match variant {
        Variant::Sotw => sotw,
        Variant::Delta => delta,
    };
    assert_eq!(gist(response), expected, "{variant:?}");
}

// O-3
#[test]
fn route_moves_only_after_its_new_cluster_was_acked_and_the_old_one_goes_last() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        envoy.stream.publish(&config("new"));
        let clusters = envoy.stream.one();
        expect(variant, &clusters, "cluster[new old]", "cluster[new]");
        envoy.subscribe(&Endpoint, &["old", "new"]);
        let endpoints = envoy.stream.one();
        expect(variant, &endpoints, "endpoint[new]", "endpoint[new old]");
        envoy.ack(&endpoints, &["old", "new"]);
        envoy.stream.silence();
        envoy.ack(&clusters, &[]);
        let route = envoy.stream.one();
        assert_eq!(gist(&route), "route[r]");
        envoy.ack(&route, &["r"]);
        let removal = envoy.stream.one();
        expect(variant, &removal, "cluster[new]", "cluster[-old]");
        envoy.ack(&removal, &[]);
        for response in envoy.stream.drain() {
            expect(variant, &response, "", "endpoint[-old]");
            envoy.ack(&response, &[]);
        }
        envoy.stream.silence();
        assert!(matches!(envoy.stream.outcomes.last(), Some(Outcome::Synced(r)) if r.0 == 2));
    }
}

// O-4
#[test]
fn refused_cluster_stops_the_change_and_the_next_good_one_finishes_it() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        envoy.stream.publish(&config("bad"));
        let clusters = envoy.stream.one();
        envoy.nack(&clusters, &[]);
        envoy.stream.silence();
        envoy.stream.pass(Duration::from_secs(3600));
        envoy.stream.silence();
        let last = envoy.stream.outcomes.last();
        assert!(matches!(last, Some(Outcome::Blocked(r)) if r.0 == 2), "{last:?}");

        envoy.stream.publish(&config("good"));
        let clusters = envoy.stream.one();
        expect(variant, &clusters, "cluster[good old]", "cluster[good -bad]");
        envoy.ack(&clusters, &[]);
        let route = envoy.stream.one();
        assert_eq!(gist(&route), "route[r]");
        envoy.ack(&route, &["r"]);
        let removal = envoy.stream.one();
        expect(variant, &removal, "cluster[good]", "cluster[-old]");
    }
}

// O-4
#[test]
fn newer_snapshot_does_not_let_a_route_overtake_its_cluster() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        envoy.stream.publish(&config("new"));
        let clusters = envoy.stream.one();
        let second = config("new").refers(Route, "r", "2", &[(Cluster, "new")]);
        envoy.stream.publish(&second);
        envoy.stream.silence();
        envoy.ack(&clusters, &[]);
        let route = envoy.stream.one();
        assert_eq!(gist(&route), "route[r]");
        assert_eq!(route.delivery.revision.0, 3);
    }
}

// O-4
#[test]
fn timeout_lets_changes_through_but_never_removals() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        envoy.stream.publish(&config("new"));
        let _unanswered = envoy.stream.one();
        envoy.stream.silence();
        let wake = envoy.stream.session.poll_timeout().expect("a gate has a timeout");
        assert_eq!(wake, envoy.stream.now + Duration::from_secs(30));
        envoy.stream.pass(Duration::from_secs(30));
        let route = envoy.stream.one();
        assert_eq!(gist(&route), "route[r]");
        envoy.ack(&route, &["r"]);
        envoy.stream.pass(Duration::from_secs(3600));
        envoy.stream.silence();
    }
}

// O-2
#[test]
fn answers_are_not_delayed_by_the_order() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        let next =
            config("new")
                .refers(Listener, "l2", "1", &[(Route, "r2")])
                .refers(Route, "r2", "1", &[(Cluster, "new")]);
        envoy.stream.publish(&next);
        let clusters = envoy.stream.one();
        envoy.ack(&clusters, &[]);
        let [listeners, moved] = &envoy.stream.drain()[..] else {
            panic!("the new listener and the moved route");
        };
        expect(variant, listeners, "listener[l l2]", "listener[l2]");
        assert_eq!(gist(moved), "route[r]", "{variant:?}");
        envoy.ack(moved, &["r"]);
        envoy.subscribe(&Route, &["r", "r2"]);
        let answers = envoy.stream.drain();
        expect(variant, &answers[0], "route[r2]", "route[r r2]");
    }
}

// O-6, O-5
#[test]
fn endpoints_follow_a_changed_cluster_without_a_request_and_without_its_ack() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        envoy.stream.publish(&config("old").eds_cluster("old", "2"));
        let responses = envoy.stream.drain();
        assert_eq!(gists(&responses), ["cluster[old]", "endpoint[old]"], "{variant:?}");
    }
}

// O-6
#[test]
fn endpoints_of_unchanged_clusters_are_not_sent_again() {
    for variant in BOTH {
        let config = config("old").eds_cluster("other", "1").with(Endpoint, "other", "1");
        let mut envoy = Envoy::running(variant, &config);
        envoy.subscribe(&Endpoint, &["old", "other"]);
        for response in envoy.stream.drain() {
            envoy.ack(&response, &["old", "other"]);
        }
        envoy.stream.publish(&config.eds_cluster("other", "2"));
        let responses = envoy.stream.drain();
        assert_eq!(gist(&responses[1]), "endpoint[other]", "{variant:?}");
    }
}

// O-12
#[test]
fn removed_cluster_is_held_while_a_drained_route_configuration_names_it() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        let next = Config::default()
            .refers(Listener, "l", "2", &[(Route, "r2")])
            .refers(Route, "r2", "1", &[(Cluster, "new")])
            .eds_cluster("new", "1")
            .with(Endpoint, "new", "1");
        envoy.stream.publish(&next);
        let clusters = envoy.stream.one();
        envoy.ack(&clusters, &[]);
        let listeners = envoy.stream.one();
        assert_eq!(gist(&listeners), "listener[l]");
        envoy.subscribe(&Route, &["r", "r2"]);
        for response in envoy.stream.drain() {
            envoy.ack(&response, &["r", "r2"]);
        }
        envoy.ack(&listeners, &[]);
        for response in envoy.stream.drain() {
            assert!(!gist(&response).contains("cluster"), "{variant:?}: {response:?}");
            envoy.ack(&response, &["r", "r2"]);
        }
        envoy.stream.pass(Duration::from_secs(600));
        envoy.stream.silence();
        match variant {
            Variant::Sotw => envoy.stream.send(&sotw(&Route, &["r2"], "", "stale")),
            Variant::Delta => envoy.stream.delta(&Route, &[], &["r"]),
        }
        let removal = envoy.stream.one();
        expect(variant, &removal, "cluster[new]", "cluster[-old]");
    }
}

// O-12
#[test]
fn hold_of_a_removed_cluster_has_an_end() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        envoy.stream.publish(&config("old").without(Cluster, "old"));
        envoy.stream.silence();
        let wake = envoy.stream.session.poll_timeout().expect("a hold has an end");
        assert_eq!(wake, envoy.stream.now + Duration::from_secs(900));
        envoy.stream.pass(Duration::from_secs(900));
        let removal = envoy.stream.one();
        expect(variant, &removal, "cluster[]", "cluster[-old]");
    }
}

// O-13
#[test]
fn route_follows_a_listener_that_newly_names_it() {
    for variant in BOTH {
        let config = config("old").refers(Listener, "l2", "1", &[]);
        let mut envoy = Envoy::running(variant, &config);
        envoy
            .stream
            .publish(&config.refers(Listener, "l2", "2", &[(Route, "r")]));
        let responses = envoy.stream.drain();
        expect(variant, &responses[0], "listener[l l2]", "listener[l2]");
        assert_eq!(gist(&responses[1]), "route[r]", "{variant:?}");
    }
}

#[test]
fn removal_waits_for_the_set_delay() {
    for variant in BOTH {
        let mut policy = Policy::default();
        policy.ordering.removal_delay = Duration::from_secs(5);
        let mut stream = Stream::with_policy(variant, Scope::Aggregated, policy);
        stream.publish(&Config::default().with(Cluster, "a", "1"));
        match variant {
            Variant::Sotw => stream.sotw(&Cluster, &[]),
            Variant::Delta => stream.delta(&Cluster, &[], &[]),
        }
        let response = stream.one();
        match variant {
            Variant::Sotw => stream.ack(&response, &[]),
            Variant::Delta => stream.ack_delta(&response),
        }
        stream.publish(&Config::default());
        stream.silence();
        assert_eq!(stream.session.poll_timeout(), Some(stream.now + Duration::from_secs(5)));
        stream.pass(Duration::from_secs(5));
        expect(variant, &stream.one(), "cluster[]", "cluster[-a]");
    }
}

// O-12
#[test]
fn changes_that_follow_one_another_do_not_put_off_removals() {
    for variant in BOTH {
        let mut policy = Policy::default();
        policy.ordering.removal_delay = Duration::from_secs(5);
        let mut envoy = Envoy {
            stream: Stream::with_policy(variant, Scope::Aggregated, policy),
            variant,
        };
        let only = |name| Config::default().with(Cluster, name, "1");
        envoy.subscribe(&Cluster, &[]);
        for (name, sotw, delta) in [
            ("a", "cluster[a]", "cluster[a]"),
            ("b", "cluster[a b]", "cluster[b]"),
            ("c", "cluster[a b c]", "cluster[c]"),
        ] {
            envoy.stream.publish(&only(name));
            let response = envoy.stream.one();
            expect(variant, &response, sotw, delta);
            envoy.ack(&response, &[]);
            envoy.stream.silence();
            envoy.stream.pass(Duration::from_secs(3));
        }
        // `b` took the place of `a` six seconds ago, `c` that of `b` three seconds ago.
        let removal = envoy.stream.one();
        expect(variant, &removal, "cluster[b c]", "cluster[-a]");
        envoy.ack(&removal, &[]);
        envoy.stream.silence();
        assert_eq!(
            envoy.stream.session.poll_timeout(),
            Some(envoy.stream.now + Duration::from_secs(2))
        );
        envoy.stream.pass(Duration::from_secs(2));
        expect(variant, &envoy.stream.one(), "cluster[c]", "cluster[-b]");
    }
}

// O-3, O-12
#[test]
fn standing_names_what_waits_and_what_is_held() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        assert_eq!(envoy.standing(), Standing::default());
        envoy.stream.publish(&config("new"));
        let clusters = envoy.stream.one();
        let standing = envoy.standing();
        assert_eq!(standing.waits.len(), 1, "{standing:?}");
        assert_eq!(standing.waits[0].resource_type, Route);
        assert!(
            standing.waits[0].on.iter().any(|on| on.resource_type == Cluster),
            "{standing:?}"
        );
        assert!(standing.holds("old"), "{standing:?}");
        envoy.ack(&clusters, &[]);
        let route = envoy.stream.one();
        envoy.ack(&route, &["r"]);
        let removal = envoy.stream.one();
        envoy.ack(&removal, &[]);
        envoy.stream.drain();
        let standing = envoy.standing();
        assert!(standing.waits.is_empty() && !standing.holds("old"), "{standing:?}");
    }
}

#[test]
fn standing_names_the_route_that_still_needs_a_held_cluster() {
    for variant in BOTH {
        let mut envoy = Envoy::running(variant, &config("old"));
        envoy.stream.publish(&config("old").without(Cluster, "old"));
        envoy.stream.silence();
        let standing = envoy.standing();
        let needed_by = standing.holds.iter().find(|hold| hold.resource_type == Cluster);
        let needed_by = needed_by.and_then(|hold| hold.needed_by.clone());
        assert_eq!(needed_by.map(|(_, route)| route.to_string()).as_deref(), Some("r"));
        assert_eq!(standing.held, standing.holds.len());
    }
}

// O-10
#[test]
fn stream_of_one_type_removes_at_once() {
    for variant in BOTH {
        let mut stream = Stream::scoped(variant, Scope::Single(Cluster));
        stream.publish(&Config::default().with(Cluster, "a", "1"));
        match variant {
            Variant::Sotw => stream.sotw(&Cluster, &[]),
            Variant::Delta => stream.delta(&Cluster, &[], &[]),
        }
        let response = stream.one();
        match variant {
            Variant::Sotw => stream.ack(&response, &[]),
            Variant::Delta => stream.ack_delta(&response),
        }
        stream.publish(&Config::default());
        expect(variant, &stream.one(), "cluster[]", "cluster[-a]");
    }
}
