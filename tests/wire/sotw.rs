//! Rules of SotW alone, over ADS and per type.

use chancery::{
    proto::admin::type_status::State,
    resource::ResourceType::{Cluster, Endpoint},
};

use crate::{
    client::{Ask, Client, Form},
    config::{all, clusters},
    server::Server,
};

const FORMS: [Form; 2] = [Form::SotwAds, Form::SotwPerType];

#[tokio::test]
async fn reconnect_at_the_current_version_is_answered_for_names_and_not_for_the_wildcard() {
    let server = Server::serving(&clusters(&[("a", 1)]).with(&Endpoint, "a", 1)).await;
    for form in FORMS {
        for (kind, names) in [(Cluster, &[][..]), (Cluster, &["a"][..]), (Endpoint, &["a"][..])] {
            let mut before = Client::open(&server, form, &kind, "n").await;
            before.subscribe(&kind, names);
            let held = before.accept(&kind, &["a"]).await;
            drop(before);
            let mut after = Client::open(&server, form, &kind, "n").await;
            after.ask(Ask::of(&kind).names(names).version(&held.version));
            if !names.is_empty() {
                let again = after.accept(&kind, &["a"]).await;
                assert_eq!((again.version, again.resources), (held.version, held.resources));
            }
            after.silent().await;
            let row = server.status("n", &kind).await;
            assert_eq!(row.state(), State::Synced, "{form:?} {kind} {names:?}");
        }
    }
}

#[tokio::test]
async fn version_presented_at_reconnect_is_answered_where_it_is_not_current() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in FORMS {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.ask(Ask::of(&Cluster).version("1"));
        client.accept(&Cluster, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn empty_list_is_everything_only_until_a_name_was_sent() {
    for form in FORMS {
        let server = Server::serving(&clusters(&[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a", "b"]).await;
        client.subscribe(&Cluster, &["*", "a"]);
        client.accept(&Cluster, &["a", "b"]).await;
        client.subscribe(&Cluster, &["a"]);
        client.silent().await;
        client.subscribe(&Cluster, &[]);
        client.silent().await;
        server.publish(&clusters(&[("a", 2), ("b", 2)])).await;
        client.silent().await;
        client.subscribe(&Cluster, &["*"]);
        client.accept(&Cluster, &["a", "b"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn the_empty_name_is_a_name() {
    for form in FORMS {
        let server = Server::serving(&clusters(&[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &["a", "b"]);
        client.accept(&Cluster, &["a", "b"]).await;
        client.subscribe(&Cluster, &[""]);
        // A full state may be sent as empty, but contains neither resource.
        server.publish(&clusters(&[("a", 1), ("b", 2)])).await;
        let client = &mut client;
        if form.is_ads() {
            client.subscribe(&Endpoint, &["nothing"]);
        }
        server.publish(&clusters(&[("a", 2), ("b", 2)])).await;
        let mut answers = Vec::new();
        while let Ok(answer) = tokio::time::timeout(std::time::Duration::from_millis(150), client.next()).await {
            client.ack(&answer);
            answers.push(answer);
        }
        assert!(answers.iter().all(|answer| answer.resources.is_empty()), "{answers:?}");
    }
}

#[tokio::test]
async fn full_state_names_all_that_is_asked_for_by_name() {
    for form in FORMS {
        let server = Server::serving(&clusters(&[("a", 1), ("b", 1), ("c", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &["a"]);
        client.accept(&Cluster, &["a"]).await;
        client.subscribe(&Cluster, &["a", "b"]);
        client.accept(&Cluster, &["a", "b"]).await;
        server.publish(&clusters(&[("a", 2), ("b", 1), ("c", 2)])).await;
        client.accept(&Cluster, &["a", "b"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn removal_is_omission_down_to_nothing() {
    for form in FORMS {
        let server = Server::serving(&clusters(&[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let both = client.accept(&Cluster, &["a", "b"]).await;
        server.publish(&clusters(&[("a", 1)])).await;
        let one = client.accept(&Cluster, &["a"]).await;
        server.publish(&clusters(&[])).await;
        let none = client.accept(&Cluster, &[]).await;
        assert!(both.version != one.version && one.version != none.version);
        client.silent().await;
    }
}

#[tokio::test]
async fn stale_request_is_answered_after_the_ack_that_is_due() {
    for form in FORMS {
        let server = Server::serving(&all(&Endpoint, &[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &["a"]);
        let due = client.expect(&Endpoint, &["a"]).await;
        server.publish(&all(&Endpoint, &[("a", 2), ("b", 2)])).await;
        client.silent().await;
        client.send(Ask::of(&Endpoint).nonce("xyz").names(&["a", "b"]));
        client.silent().await;
        client.send(
            Ask::of(&Endpoint)
                .nonce(&due.nonce)
                .version(&due.version)
                .names(&["a", "b"]),
        );
        let newest = client.expect(&Endpoint, &["a", "b"]).await;
        assert_ne!(newest.version, due.version);
    }
}

#[tokio::test]
async fn two_requests_in_a_burst_come_to_what_the_second_asks() {
    let server = Server::serving(&all(&Endpoint, &[("a", 1), ("b", 1)])).await;
    for form in FORMS {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        client.subscribe(&Endpoint, &["a"]);
        client.subscribe(&Endpoint, &["a", "b"]);
        let mut held = Vec::new();
        while !(held.contains(&"a".to_owned()) && held.contains(&"b".to_owned())) {
            let answer = client.next().await;
            client.ack(&answer);
            held.extend(answer.names().into_iter().map(str::to_owned));
        }
        client.silent().await;
    }
}

#[tokio::test]
async fn answer_with_the_old_version_and_no_error_is_no_reason_to_send() {
    for form in FORMS {
        let server = Server::serving(&clusters(&[("a", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let old = client.accept(&Cluster, &["a"]).await;
        server.publish(&clusters(&[("a", 2)])).await;
        let new = client.expect(&Cluster, &["a"]).await;
        client.send(Ask::of(&Cluster).nonce(&new.nonce).version(&old.version));
        client.silent().await;
    }
}
