//! Responses, ACKs and NACKs in all four kinds of stream (S, W, D).

use std::collections::BTreeSet;

use chancery::{
    proto::admin::type_status::State,
    resource::ResourceType::{Cluster, Endpoint, Listener, Secret},
};

use crate::{
    client::{Ask, Client, Form},
    config::{Config, all, clusters},
    server::Server,
};

fn endpoints(of: &[(&str, u16)]) -> Config {
    all(&Endpoint, of)
}

#[tokio::test]
async fn node_without_a_snapshot_is_met_with_silence_until_there_is_one() {
    for form in Form::ALL {
        let server = Server::start().await;
        server.publish_to("other", &clusters(&[("x", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.nothing_comes().await;
        server.publish(&clusters(&[("a", 1)])).await;
        client.accept(&Cluster, &["a"]).await;
        client.silent().await;
        // Deleting the group's snapshot removes nothing from the client.
        server.delete("demo").await;
        client.silent().await;
    }
}

#[tokio::test]
async fn empty_snapshot_is_delivered_as_empty_once() {
    let server = Server::serving(&Config::new()).await;
    for form in Form::ALL {
        for kind in [Cluster, Listener] {
            let mut client = Client::open(&server, form, &kind, "n").await;
            client.subscribe(&kind, &[]);
            let answer = client.accept(&kind, &[]).await;
            assert!(!answer.nonce.is_empty() && !answer.version.is_empty() && answer.removed.is_empty());
            client.silent().await;
        }
    }
}

#[tokio::test]
async fn ack_is_met_with_silence_and_shown_as_synced() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let id = format!("{form:?}");
        let mut client = Client::open(&server, form, &Cluster, &id).await;
        client.subscribe(&Cluster, &[]);
        let answer = client.expect(&Cluster, &["a"]).await;
        client.silent().await;
        assert_eq!(server.status(&id, &Cluster).await.state(), State::Stale);
        client.ack(&answer);
        client.silent().await;
        client.ack(&answer);
        client.silent().await;
        let row = server.status(&id, &Cluster).await;
        assert_eq!(row.state(), State::Synced);
        assert_eq!(row.acked.unwrap().nonce, answer.nonce);
        assert_eq!(row.sent_total, 1);
    }
}

#[tokio::test]
async fn refused_content_is_not_sent_again_until_it_changes() {
    for form in Form::ALL {
        let server = Server::serving(&clusters(&[("a", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let good = client.accept(&Cluster, &["a"]).await;

        server.publish(&clusters(&[("a", 2)])).await;
        let bad = client.expect(&Cluster, &["a"]).await;
        client.nack(&bad, "a is bad");
        client.silent().await;
        // The client repeats its NACK, and an unrelated resource changes: no content is sent again.
        client.nack(&bad, "a is bad");
        client.nack(&bad, "a is bad");
        server.publish(&clusters(&[("a", 2)]).with(&Secret, "s", 1)).await;
        client.silent().await;
        let row = server.status("n", &Cluster).await;
        assert_eq!(row.state(), State::Error, "{form:?}");
        assert_eq!((row.sent_total, row.nack_total), (2, 1), "{form:?}");
        assert_eq!(row.acked.unwrap().version, good.version);
        let nack = row.nack.unwrap();
        assert_eq!((nack.message.as_str(), nack.code), ("a is bad", 13));
        assert_eq!((nack.nonce, nack.version), (bad.nonce, bad.version.clone()));

        server.publish(&clusters(&[("a", 3)])).await;
        let better = client.accept(&Cluster, &["a"]).await;
        assert_ne!(better.version, bad.version);
        client.silent().await;
        assert_eq!(server.status("n", &Cluster).await.state(), State::Synced, "{form:?}");
    }
}

#[tokio::test]
async fn other_types_go_on_behind_a_refusal() {
    for form in [Form::SotwAds, Form::DeltaAds] {
        let config = |cluster, secret| clusters(&[("a", cluster)]).with(&Secret, "s", secret);
        let server = Server::serving(&config(1, 1)).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        client.subscribe(&Secret, &["s"]);
        client.accept(&Secret, &["s"]).await;
        server.publish(&config(2, 1)).await;
        let bad = client.expect(&Cluster, &["a"]).await;
        client.nack(&bad, "no");
        client.silent().await;
        server.publish(&config(2, 2)).await;
        client.accept(&Secret, &["s"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn nack_with_the_version_of_the_response_is_a_nack() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let id = format!("{form:?}");
        let mut client = Client::open(&server, form, &Cluster, &id).await;
        client.subscribe(&Cluster, &[]);
        let answer = client.expect(&Cluster, &["a"]).await;
        client.send(
            Ask::of(&Cluster)
                .nonce(&answer.nonce)
                .version(&answer.version)
                .error("no"),
        );
        client.silent().await;
        assert_eq!(server.status(&id, &Cluster).await.state(), State::Error, "{form:?}");
    }
}

#[tokio::test]
async fn flood_of_nacks_is_entered_once() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let id = format!("{form:?}");
        let mut client = Client::open(&server, form, &Cluster, &id).await;
        client.subscribe(&Cluster, &[]);
        let answer = client.expect(&Cluster, &["a"]).await;
        for number in 0..1000 {
            client.nack(&answer, &format!("number {number}"));
        }
        client.silent().await;
        let row = server.status(&id, &Cluster).await;
        assert_eq!((row.sent_total, row.nack_total), (1, 1), "{form:?}");
        assert_eq!(row.nack.unwrap().message, "number 0");
    }
}

#[tokio::test]
async fn first_request_is_answered_whatever_nonce_and_version_it_carries() {
    let server = Server::serving(&clusters(&[("a", 1)]).with(&Endpoint, "a", 1)).await;
    for form in Form::ALL {
        for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"][..])] {
            let mut client = Client::open(&server, form, &kind, "n").await;
            client.ask(Ask::of(&kind).names(names).nonce("xyz-1").version("old"));
            client.accept(&kind, &["a"]).await;
            client.silent().await;
        }
    }
}

#[tokio::test]
async fn unknown_nonce_is_no_reason_to_answer_or_to_end() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut other = Client::open(&server, form, &Cluster, "m").await;
        other.subscribe(&Cluster, &[]);
        let foreign = other.expect(&Cluster, &["a"]).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        for nonce in ["xyz", foreign.nonce.as_str()] {
            client.send(Ask::of(&Cluster).nonce(nonce).version(&foreign.version));
            client.send(Ask::of(&Cluster).nonce(nonce).error("not yours"));
        }
        client.silent().await;
        assert_eq!(server.status("n", &Cluster).await.nack_total, 0);
    }
}

#[tokio::test]
async fn resource_asked_for_again_is_sent_again() {
    let server = Server::serving(&endpoints(&[("a", 1), ("b", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &["a", "b"]);
        let first = client.accept(&Endpoint, &["a", "b"]).await;
        client.subscribe(&Endpoint, &["a"]);
        client.silent().await;
        client.subscribe(&Endpoint, &["a", "b"]);
        let again = client.accept(&Endpoint, &["b"]).await;
        assert_eq!(again.resources[0], first.resources[1]);
        client.silent().await;
    }
}

#[tokio::test]
async fn no_names_left_is_nothing_not_everything() {
    for form in Form::ALL {
        let server = Server::serving(&endpoints(&[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &["a"]);
        client.accept(&Endpoint, &["a"]).await;
        client.subscribe(&Endpoint, &[]);
        client.silent().await;
        server.publish(&endpoints(&[("a", 2), ("b", 2)])).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn empty_first_request_of_endpoints_asks_for_none() {
    let server = Server::serving(&endpoints(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &[]);
        client.silent().await;
        client.subscribe(&Endpoint, &["*"]);
        client.accept(&Endpoint, &["a"]).await;
    }
}

#[tokio::test]
async fn names_stay_where_the_wildcard_goes() {
    for form in Form::ALL {
        let server = Server::serving(&clusters(&[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &["*"]);
        client.accept(&Cluster, &["a", "b"]).await;
        client.subscribe(&Cluster, &["*", "a"]);
        // A SotW response of clusters is complete; no name is in it twice.
        client
            .accept(&Cluster, if form.is_sotw() { &["a", "b"] } else { &["a"] })
            .await;
        client.subscribe(&Cluster, &["a"]);
        client.silent().await;
        server.publish(&clusters(&[("a", 1), ("b", 2)])).await;
        client.silent().await;
        server.publish(&clusters(&[("a", 2), ("b", 2)])).await;
        client.accept(&Cluster, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn name_that_does_not_exist_yet_is_sent_when_it_does() {
    for form in Form::ALL {
        let server = Server::serving(&endpoints(&[("a", 1)])).await;
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &["a", "z"]);
        let answer = client.accept(&Endpoint, &["a"]).await;
        assert_eq!(answer.removed, if form.is_sotw() { vec![] } else { vec!["z"] });
        server.publish(&endpoints(&[("a", 1), ("z", 1)])).await;
        client.accept(&Endpoint, &["z"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn resource_that_comes_back_as_it_was_is_sent_again() {
    for form in Form::ALL {
        let server = Server::serving(&endpoints(&[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &["a", "b"]);
        client.accept(&Endpoint, &["a", "b"]).await;
        server.publish(&endpoints(&[("b", 1)])).await;
        if form.is_sotw() {
            client.silent().await;
        } else {
            let gone = client.accept(&Endpoint, &[]).await;
            assert_eq!(gone.removed, ["a"]);
        }
        server.publish(&endpoints(&[("a", 1), ("b", 1)])).await;
        client.accept(&Endpoint, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn names_repeated_or_odd_are_names() {
    let server = Server::serving(&endpoints(&[("a", 1), ("b", 1)])).await;
    let long = "x".repeat(2048);
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &["a", "b", "a", "", "nul\0", "line\nbreak", &long]);
        let answer = client.accept(&Endpoint, &["a", "b"]).await;
        let expected: BTreeSet<&str> = ["", "nul\0", "line\nbreak", &long].into();
        let removed: BTreeSet<&str> = answer.removed.iter().map(String::as_str).collect();
        assert_eq!(removed, if form.is_sotw() { BTreeSet::new() } else { expected });
        client.silent().await;
    }
}

#[tokio::test]
async fn responses_name_their_server_their_type_and_a_nonce_of_their_own() {
    let server = Server::serving(&clusters(&[("a", 1)]).with(&Listener, "l", 1)).await;
    let mut nonces = BTreeSet::new();
    let mut identifiers = BTreeSet::new();
    for number in 0..3 {
        for form in Form::ALL {
            let mut client = Client::open(&server, form, &Cluster, &format!("n{number}")).await;
            client.subscribe(&Cluster, &[]);
            let mut answers = vec![client.accept(&Cluster, &["a"]).await];
            if form.is_ads() {
                client.subscribe(&Listener, &[]);
                answers.push(client.accept(&Listener, &["l"]).await);
            }
            for answer in answers {
                assert_eq!(answer.any_urls, BTreeSet::from([answer.type_url.clone()]));
                assert!(!answer.version.is_empty());
                assert_eq!(
                    answer.versions.len(),
                    usize::from(!form.is_sotw()),
                    "D-14: names and versions in delta"
                );
                assert!(nonces.insert(answer.nonce.clone()), "{} was given before", answer.nonce);
                identifiers.insert(answer.identifier);
            }
        }
    }
    assert_eq!(nonces.len(), 3 * 6);
    assert_eq!(identifiers.len(), 1, "one server identifier");
    assert!(identifiers.first().unwrap().starts_with("chancery/"), "{identifiers:?}");
}

#[tokio::test]
async fn change_of_one_type_leaves_the_others_alone() {
    for form in [Form::SotwAds, Form::DeltaAds] {
        let config = |cluster| clusters(&[("a", cluster)]).with(&Listener, "l", 1);
        let server = Server::serving(&config(1)).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        client.subscribe(&Listener, &[]);
        client.accept(&Listener, &["l"]).await;
        server.publish(&config(2)).await;
        client.accept(&Cluster, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn endpoints_follow_their_changed_cluster_unasked() {
    for form in [Form::SotwAds, Form::DeltaAds] {
        let config = |cluster| {
            let ours = Config::new().eds_cluster("a", cluster).eds_cluster("b", 1);
            ours.with(&Endpoint, "a", 1).with(&Endpoint, "b", 1)
        };
        let server = Server::serving(&config(1)).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a", "b"]).await;
        client.subscribe(&Endpoint, &["a", "b"]);
        client.accept(&Endpoint, &["a", "b"]).await;
        server.publish(&config(2)).await;
        // Envoy ACKs clusters once they are warm, so endpoints must not wait for the ACK.
        let changed = client
            .expect(&Cluster, if form.is_sotw() { &["a", "b"] } else { &["a"] })
            .await;
        client.accept(&Endpoint, &["a"]).await;
        client.ack(&changed);
        client.silent().await;
    }
}

#[tokio::test]
async fn cluster_without_endpoints_is_given_an_empty_assignment() {
    let server = Server::serving(&Config::new().eds_cluster("a", 1)).await;
    for form in [Form::SotwAds, Form::DeltaAds] {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        client.subscribe(&Endpoint, &["a"]);
        client.accept(&Endpoint, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn new_comes_before_old_goes_each_behind_an_ack() {
    for form in [Form::SotwAds, Form::DeltaAds] {
        let config = |cluster, listener| clusters(&[(cluster, 1)]).with(&Listener, listener, 1);
        let server = Server::serving(&config("a", "l1")).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        client.subscribe(&Listener, &[]);
        client.accept(&Listener, &["l1"]).await;
        server.publish(&config("b", "l2")).await;

        // Neither type refers to the other, so both changes go at once. The old cluster waits for the ACK of the new one; the old
        // listener gives up its address to the new one in the same response.
        let sotw = form.is_sotw();
        let clusters = client.expect(&Cluster, if sotw { &["a", "b"] } else { &["b"] }).await;
        assert!(clusters.removed.is_empty(), "{clusters:?}");
        let listeners = client.expect(&Listener, &["l2"]).await;
        assert_eq!(listeners.removed.concat(), if sotw { "" } else { "l1" });
        client.silent().await;
        client.ack(&listeners);
        client.silent().await;
        client.ack(&clusters);
        let removal = client.accept(&Cluster, if sotw { &["b"] } else { &[] }).await;
        assert_eq!(removal.removed.concat(), if sotw { "" } else { "a" });
        client.silent().await;
    }
}
