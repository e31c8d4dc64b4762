//! Rules of delta alone, over ADS and per type (D).

use chancery::resource::ResourceType::{Cluster, Endpoint};

use crate::{
    client::{Ask, Client, Form},
    config::{Config, all, clusters},
    server::Server,
};

const FORMS: [Form; 2] = [Form::DeltaAds, Form::DeltaPerType];

#[tokio::test]
async fn what_a_reconnecting_client_holds_is_not_sent_again() {
    let server = Server::serving(
        &all(&Endpoint, &[("a", 1), ("b", 1)])
            .with(&Cluster, "a", 1)
            .with(&Cluster, "b", 1),
    )
    .await;
    for form in FORMS {
        for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a", "b", "gone"][..])] {
            let mut before = Client::open(&server, form, &kind, "n").await;
            before.subscribe(&kind, names);
            let held = before.accept(&kind, &["a", "b"]).await;
            drop(before);

            let mut same = Client::open(&server, form, &kind, "n").await;
            let current = [("a", held.versions["a"].as_str()), ("b", held.versions["b"].as_str())];
            let existing = &names[..names.len().min(2)];
            same.ask(Ask::of(&kind).names(existing).held(&current));
            if kind == Cluster {
                // The response to a wildcard may be empty.
                let mut same = same;
                if let Ok(answer) = tokio::time::timeout(std::time::Duration::from_millis(150), same.next()).await {
                    assert!(answer.resources.is_empty() && answer.removed.is_empty(), "{answer:?}");
                }
            } else {
                same.silent().await;
            }

            let mut behind = Client::open(&server, form, &kind, "n").await;
            let held = [current[0], ("b", "old"), ("gone", "1")];
            behind.ask(Ask::of(&kind).names(names).held(&held));
            let answer = behind.accept(&kind, &["b"]).await;
            assert_eq!(answer.removed, ["gone"]);
            // Only the first request presents versions.
            behind.send(Ask::of(&kind).names(&["a"]).held(&current));
            behind.accept(&kind, &["a"]).await;
            behind.silent().await;
        }
    }
}

#[tokio::test]
async fn nothing_is_taken_from_a_client_whose_group_has_no_snapshot() {
    for form in FORMS {
        let server = Server::start().await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.ask(Ask::of(&Cluster).held(&[("a", "1"), ("b", "2")]));
        client.nothing_comes().await;
        server.publish(&clusters(&[("a", 1)])).await;
        let answer = client.accept(&Cluster, &["a"]).await;
        assert_eq!(answer.removed, ["b"]);
    }
}

#[tokio::test]
async fn subscribed_and_unsubscribed_in_one_request_is_not_subscribed() {
    for form in FORMS {
        let server = Server::serving(&all(&Endpoint, &[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.ask(Ask::of(&Endpoint).names(&["a", "b"]).unsubscribe(&["a"]));
        client.accept(&Endpoint, &["b"]).await;
        server.publish(&all(&Endpoint, &[("a", 2), ("b", 1)])).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn name_that_does_not_exist_is_answered_as_removed_and_stays_subscribed() {
    for form in FORMS {
        let server = Server::serving(&Config::new()).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &["z"]);
        let answer = client.accept(&Cluster, &[]).await;
        assert_eq!(answer.removed, ["z"]);
        server.publish(&clusters(&[("z", 1)])).await;
        client.accept(&Cluster, &["z"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn name_subscribed_twice_is_answered_twice() {
    let server = Server::serving(&all(&Endpoint, &[("a", 1)])).await;
    for form in FORMS {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.ask(Ask::of(&Endpoint).names(&["a"]));
        client.accept(&Endpoint, &["a"]).await;
        client.send(Ask::of(&Endpoint).names(&["a"]));
        client.accept(&Endpoint, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn subscription_counts_whatever_the_nonce() {
    let server = Server::serving(&all(&Endpoint, &[("a", 1), ("b", 1), ("c", 1)])).await;
    for form in FORMS {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.ask(Ask::of(&Endpoint).names(&["a"]));
        let first = client.expect(&Endpoint, &["a"]).await;
        client.send(Ask::of(&Endpoint).nonce("bogus").names(&["b"]));
        let second = client.expect(&Endpoint, &["b"]).await;
        // One request with an ACK and a subscription.
        client.send(Ask::of(&Endpoint).nonce(&second.nonce).names(&["c"]));
        let third = client.expect(&Endpoint, &["c"]).await;
        client.ack(&third);
        client.ack(&first);
        client.silent().await;
    }
}

#[tokio::test]
async fn name_given_up_under_the_wildcard_is_answered() {
    let server = Server::serving(&clusters(&[("a", 1), ("b", 1)])).await;
    for form in FORMS {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &["*", "a", "z"]);
        let all = client.accept(&Cluster, &["a", "b"]).await;
        assert_eq!(all.removed, ["z"]);
        client.subscribe(&Cluster, &["*"]);
        let answer = client.accept(&Cluster, &["a"]).await;
        assert_eq!(answer.removed, ["z"]);
        client.silent().await;
    }
}

#[tokio::test]
async fn giving_up_is_not_answered_without_the_wildcard() {
    let server = Server::serving(&all(&Endpoint, &[("a", 1)])).await;
    for form in FORMS {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.ask(Ask::of(&Endpoint).names(&["a"]));
        client.accept(&Endpoint, &["a"]).await;
        client.send(Ask::of(&Endpoint).unsubscribe(&["a", "never-seen"]));
        client.silent().await;
    }
}

#[tokio::test]
async fn legacy_wildcard_stays_when_a_name_is_added() {
    for form in FORMS {
        let server = Server::serving(&clusters(&[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.ask(Ask::of(&Cluster));
        client.accept(&Cluster, &["a", "b"]).await;
        client.send(Ask::of(&Cluster).names(&["a"]));
        client.accept(&Cluster, &["a"]).await;
        server.publish(&clusters(&[("a", 1), ("b", 2)])).await;
        client.accept(&Cluster, &["b"]).await;
        client.send(Ask::of(&Cluster).unsubscribe(&["*"]));
        client.silent().await;
        server.publish(&clusters(&[("a", 2), ("b", 3)])).await;
        client.accept(&Cluster, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn only_what_changed_is_sent_and_what_is_gone_is_named() {
    for form in FORMS {
        let server = Server::serving(&clusters(&[("a", 1), ("b", 1), ("c", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.ask(Ask::of(&Cluster));
        let first = client.accept(&Cluster, &["a", "b", "c"]).await;
        server.publish(&clusters(&[("a", 1), ("b", 2), ("c", 1)])).await;
        let second = client.accept(&Cluster, &["b"]).await;
        assert_ne!(first.versions["b"], second.versions["b"]);
        server.publish(&clusters(&[("b", 2), ("c", 1)])).await;
        let third = client.accept(&Cluster, &[]).await;
        assert_eq!(third.removed, ["a"]);
        client.silent().await;
    }
}
