//! The beginnings, ends and nodes of streams (L).

use chancery::{
    proto::envoy::config::core::v3::Node,
    resource::ResourceType::{self, Cluster, Endpoint, Listener},
};
use tonic::Code;

use crate::{
    client::{Ask, Client, Form, node},
    config::clusters,
    server::{GROUP, Server},
};

#[track_caller]
fn expect_code(end: Result<(), tonic::Status>, code: Code, form: Form) {
    let status = end.expect_err("the stream ends with an error");
    assert_eq!(status.code(), code, "{form:?}: {status:?}");
}

/// Sends these requests and returns the stream's end; no state is left.
async fn refused(server: &Server, form: Form, asks: Vec<Ask>) -> Result<(), tonic::Status> {
    let client = Client::open(server, form, &Cluster, "n").await;
    asks.into_iter().for_each(|ask| client.send(ask));
    let end = client.end().await;
    server.await_no_streams().await;
    end
}

#[tokio::test]
async fn first_request_without_a_usable_node_is_refused() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        for asks in [vec![Ask::of(&Cluster)], vec![Ask::of(&Cluster).node(Node::default())]] {
            expect_code(refused(&server, form, asks).await, Code::InvalidArgument, form);
        }
    }
    assert!(server.nodes().await.is_empty(), "nobody is remembered");
}

#[tokio::test]
async fn empty_node_id_is_served_where_the_cluster_names_the_group() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
    }
}

#[tokio::test]
async fn group_is_the_node_id_where_the_cluster_is_empty() {
    let server = Server::start().await;
    server.publish_to("alone", &clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "").await;
        client.send(Ask::of(&Cluster).node(Node {
            id: "alone".to_owned(),
            ..Node::default()
        }));
        client.accept(&Cluster, &["a"]).await;
    }
}

#[tokio::test]
async fn empty_type_url_is_refused_on_ads_and_implied_elsewhere() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let ask = Ask::default().node(node("n"));
        if form.is_ads() {
            expect_code(refused(&server, form, vec![ask]).await, Code::InvalidArgument, form);
        } else {
            let mut client = Client::open(&server, form, &Cluster, "n").await;
            client.send(ask);
            client.accept(&Cluster, &["a"]).await;
        }
    }
}

#[tokio::test]
async fn foreign_type_on_a_stream_of_one_type_is_refused() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in [Form::SotwPerType, Form::DeltaPerType] {
        let first = vec![Ask::of(&Endpoint).node(node("n"))];
        expect_code(refused(&server, form, first).await, Code::InvalidArgument, form);
        let later = vec![Ask::of(&Cluster).node(node("n")), Ask::of(&Listener)];
        expect_code(refused(&server, form, later).await, Code::InvalidArgument, form);
    }
}

#[tokio::test]
async fn malformed_type_url_is_refused() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in [Form::SotwAds, Form::DeltaAds] {
        for type_url in ["Cluster", "type.googleapis.com/", "type.googleapis.com/a b"] {
            let ask = Ask {
                type_url: type_url.to_owned(),
                ..Ask::default().node(node("n"))
            };
            expect_code(refused(&server, form, vec![ask]).await, Code::InvalidArgument, form);
        }
    }
}

#[tokio::test]
async fn node_is_kept_from_the_first_request() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let answer = client.expect(&Cluster, &["a"]).await;
        // The ACK and later requests have no node.
        client.ack(&answer);
        if form.is_ads() {
            client.subscribe(&Listener, &[]);
            client.accept(&Listener, &[]).await;
        }
        client.silent().await;
    }
}

#[tokio::test]
async fn node_may_be_repeated_but_not_changed() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let answer = client.expect(&Cluster, &["a"]).await;
        client.send(
            Ask::of(&Cluster)
                .node(node("n"))
                .nonce(&answer.nonce)
                .version(&answer.version),
        );
        client.silent().await;
        // A changed cluster alone does not move a stream to another snapshot.
        client.send(Ask::of(&Cluster).node(Node {
            cluster: "other".to_owned(),
            ..node("n")
        }));
        client.silent().await;
        client.send(Ask::of(&Cluster).node(node("someone-else")));
        expect_code(client.end().await, Code::InvalidArgument, form);
    }
    server.await_no_streams().await;
}

#[tokio::test]
async fn half_close_ends_the_stream_well_and_frees_it() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.expect(&Cluster, &["a"]).await;
        assert_eq!(server.open_streams(), 1);
        client.half_close();
        client.end().await.unwrap();
        server.await_no_streams().await;

        let mut silent = Client::open(&server, form, &Cluster, "n").await;
        silent.half_close();
        silent.end().await.unwrap();
        server.await_no_streams().await;
    }
}

#[tokio::test]
async fn reset_frees_the_stream() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let connection = server.connect().await;
        let mut kept = Client::open_on(connection.clone(), form, &Cluster, "kept").await;
        kept.subscribe(&Cluster, &[]);
        kept.accept(&Cluster, &["a"]).await;
        let mut reset = Client::open_on(connection, form, &Cluster, "reset").await;
        reset.subscribe(&Cluster, &[]);
        reset.expect(&Cluster, &["a"]).await;
        assert_eq!(server.open_streams(), 2);
        drop(reset);
        while server.open_streams() != 1 {
            tokio::task::yield_now().await;
        }
        // The other stream of the connection goes on.
        kept.silent().await;
        drop(kept);
        server.await_no_streams().await;
    }
}

#[tokio::test]
async fn two_streams_of_one_node_are_served_apart() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for (content, form) in (2..).zip(Form::ALL) {
        let id = format!("{form:?}");
        let mut old = Client::open(&server, form, &Cluster, &id).await;
        old.subscribe(&Cluster, &[]);
        let held = old.accept(&Cluster, &["a"]).await;
        let mut new = Client::open(&server, form, &Cluster, &id).await;
        new.subscribe(&Cluster, &[]);
        let same = new.accept(&Cluster, &["a"]).await;
        assert_eq!(held.version, same.version);
        let nodes = server.nodes().await;
        let node = nodes.iter().find(|status| status.id == id).unwrap();
        assert_eq!(node.streams.len(), 2, "{form:?}");
        assert_eq!(node.group, GROUP);

        drop(old);
        server.publish(&clusters(&[("a", content)])).await;
        let newer = new.accept(&Cluster, &["a"]).await;
        assert_ne!(newer.version, held.version);
        server
            .await_status(&id, &Cluster, |row| {
                row.acked.as_ref().is_some_and(|acked| acked.version == newer.version)
            })
            .await;
    }
}

#[tokio::test]
async fn nothing_comes_of_a_type_that_was_not_asked_for() {
    let config = |content| {
        clusters(&[("a", content)])
            .with(&Listener, "l", content)
            .with(&Endpoint, "a", content)
    };
    let server = Server::serving(&config(1)).await;
    for (content, form) in (2..).zip(Form::ALL) {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        server.publish(&config(content)).await;
        client.accept(&Cluster, &["a"]).await;
        client.silent().await;
    }
}

#[tokio::test]
async fn unknown_type_leaves_the_stream_as_it_is() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let unknown = ResourceType::from_type_url("type.googleapis.com/foo.Bar").unwrap();
    for form in [Form::SotwAds, Form::DeltaAds] {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&unknown, &["x"]);
        if !form.is_sotw() {
            let answer = client.accept(&unknown, &[]).await;
            assert_eq!(answer.removed, ["x"]);
        }
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        client.silent().await;
    }
}
