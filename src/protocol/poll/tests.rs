//! H-4: the version that a poll presents shows the outcome of the last answer.

use super::*;

fn poll<'a>(names: &'a PolledNames, presented: &'a Version) -> Poll<'a> {
    Poll {
        names,
        presented,
        refusal: None,
    }
}

fn answer(version: &str, revision: u64) -> PollAnswer {
    PollAnswer {
        version: version.into(),
        revision: Revision(revision),
    }
}

/// `sent 1`, `unconfirmed 1`, …: the outcome and its version.
fn outcomes(polling: &mut Polling) -> Vec<String> {
    let mut outcomes = Vec::new();
    while let Some(outcome) = polling.poll_outcome() {
        outcomes.push(match outcome {
            PollOutcome::Unconfirmed(delivery) => format!("unconfirmed {}", delivery.version),
            PollOutcome::Known(Outcome::Sent(delivery)) => format!("sent {}", delivery.version),
            PollOutcome::Known(Outcome::Ack(delivery)) => format!("ack {}", delivery.version),
            PollOutcome::Known(Outcome::Nack { delivery, .. }) => format!("nack {}", delivery.version),
            PollOutcome::Known(Outcome::Ignored(delivery)) => format!("ignored {}", delivery.version),
            PollOutcome::Known(Outcome::Presented(delivery)) => format!("presented {}", delivery.version),
            PollOutcome::Known(Outcome::Subscribed { subscription, .. }) => {
                format!("subscribed {}", subscription.names().len())
            }
            PollOutcome::Known(Outcome::Synced(revision)) => format!("synced {revision}"),
            PollOutcome::Known(other) => panic!("no outcome of a poll: {other:?}"),
        });
    }
    outcomes
}

#[test]
fn first_same_new_and_old_versions_are_told_apart() {
    let mut polling = Polling::new(ResourceType::Cluster);
    let (all, now) = (None, Instant::now());
    let (none, one, two): (Version, Version, Version) = ("".into(), "1".into(), "2".into());
    assert_eq!(
        polling.on_poll(poll(&all, &none), Some(&answer("1", 1)), now),
        Reply::Send
    );
    assert_eq!(outcomes(&mut polling), ["subscribed 0", "sent 1"]);
    assert_eq!(
        polling.on_poll(poll(&all, &one), Some(&answer("1", 1)), now),
        Reply::NotModified
    );
    polling.on_snapshot(Revision(1), |_| Some("1".into()));
    assert_eq!(outcomes(&mut polling), ["ignored 1", "ack 1", "synced 1"]);
    // Another version is published, and the node presents the old one: it has not heard of the new one yet.
    assert_eq!(
        polling.on_poll(poll(&all, &one), Some(&answer("2", 2)), now),
        Reply::Send
    );
    assert_eq!(outcomes(&mut polling), ["sent 2"]);
    // The node presents the old version again: it rejected the new one, or has not applied it.
    assert_eq!(
        polling.on_poll(poll(&all, &one), Some(&answer("2", 2)), now),
        Reply::Send
    );
    assert_eq!(outcomes(&mut polling), ["unconfirmed 2", "ignored 2"]);
    assert_eq!(
        polling.on_poll(poll(&all, &two), Some(&answer("2", 2)), now),
        Reply::NotModified
    );
    assert_eq!(outcomes(&mut polling), Vec::<String>::new());
}

#[test]
fn refusal_in_so_many_words_is_a_nack_and_is_not_sent_the_same_again() {
    let mut polling = Polling::new(ResourceType::Cluster);
    let (all, now, none) = (None, Instant::now(), Version::from(""));
    polling.on_poll(poll(&all, &none), Some(&answer("1", 1)), now);
    outcomes(&mut polling);
    let refused = Poll {
        refusal: Some((13, "no")),
        ..poll(&all, &none)
    };
    assert_eq!(polling.on_poll(refused, Some(&answer("1", 1)), now), Reply::NotModified);
    assert_eq!(outcomes(&mut polling), ["nack 1", "ignored 1"]);
    assert_eq!(
        polling.on_poll(poll(&all, &none), Some(&answer("2", 2)), now),
        Reply::Send
    );
}

#[test]
fn node_that_comes_with_the_current_version_has_it() {
    let mut polling = Polling::new(ResourceType::Cluster);
    let (all, one) = (None, Version::from("1"));
    let reply = polling.on_poll(poll(&all, &one), Some(&answer("1", 1)), Instant::now());
    assert_eq!(reply, Reply::NotModified);
    assert_eq!(outcomes(&mut polling), ["subscribed 0", "presented 1"]);
}

#[test]
fn type_is_synced_once_no_list_lacks_anything() {
    let mut polling = Polling::new(ResourceType::Endpoint);
    let (a, b) = (Some(vec!["a".into()]), Some(vec!["b".into()]));
    let (none, one, now) = (Version::from(""), Version::from("1"), Instant::now());
    let is_synced = |polling: &mut Polling| {
        polling.on_snapshot(Revision(1), |_| Some("1".into()));
        outcomes(polling).last().is_some_and(|last| last.starts_with("synced"))
    };
    polling.on_poll(poll(&a, &none), Some(&answer("1", 1)), now);
    polling.on_poll(poll(&b, &none), Some(&answer("1", 1)), now);
    assert_eq!(polling.len(), 2);
    polling.on_poll(poll(&a, &one), Some(&answer("1", 1)), now);
    assert!(!is_synced(&mut polling));
    polling.on_poll(poll(&b, &one), Some(&answer("1", 1)), now);
    assert!(is_synced(&mut polling));
}

#[test]
fn lists_that_are_polled_for_no_more_are_forgotten_before_the_node_is() {
    let mut polling = Polling::new(ResourceType::Endpoint);
    let (none, start) = (Version::from(""), Instant::now());
    let at = |second: u64| start + Duration::from_secs(second);
    let ask = |polling: &mut Polling, name: &str, second: u64| {
        polling.on_poll(poll(&Some(vec![name.into()]), &none), None, at(second));
    };
    let remembered = |polling: &mut Polling, second: u64| {
        polling.on_time(Duration::from_secs(300), at(second));
        polling.len()
    };
    for second in 0..5 {
        ask(&mut polling, "a", second);
        ask(&mut polling, "b", second);
    }
    ask(&mut polling, "once", 5);
    assert_eq!(remembered(&mut polling, 10), 3);
    for second in 5..30 {
        ask(&mut polling, "a", second);
    }
    assert_eq!(
        remembered(&mut polling, 30),
        2,
        "`b` is abandoned; the usual time between polls for `once` is unknown"
    );
    assert_eq!(
        remembered(&mut polling, 200),
        2,
        "all lists are kept until the timeout of the node"
    );
    assert_eq!(remembered(&mut polling, 400), 0);
}
