//! Many streams, many names, many publishes: no state is left, and no client waits for another.

use std::time::Duration;

use chancery::{
    resource::ResourceType::{Cluster, Endpoint},
    settings::{FleetLayer, Layer, XdsLayer},
};
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    client::{Ask, Client, Form},
    config::{all, clusters},
    server::Server,
};

const NODES: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_leave_nothing_behind() {
    let server = Server::with(Layer {
        fleet: FleetLayer {
            max_nodes: Some(NODES),
            ..FleetLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let mut lanes = JoinSet::new();
    for (lane, form) in Form::ALL.into_iter().cycle().take(20).enumerate() {
        let connection = server.connect().await;
        lanes.spawn(async move {
            for number in 0..500 {
                let id = format!("node-{lane}-{number}");
                let mut client = Client::open_on(connection.clone(), form, &Cluster, &id).await;
                client.subscribe(&Cluster, &[]);
                let answer = client.expect(&Cluster, &["a"]).await;
                match number % 3 {
                    0 => drop(client),
                    1 => {
                        client.ack(&answer);
                        client.half_close();
                        client.end().await.unwrap();
                    }
                    _ => {
                        client.send(Ask::of(&Cluster).node(crate::client::node("other")));
                        assert_eq!(client.end().await.unwrap_err().code(), Code::InvalidArgument);
                    }
                }
            }
        });
    }
    lanes.join_all().await;
    server.await_no_streams().await;
    let remembered = server.nodes().await.len();
    // A node that connects while all others are connected is accepted beyond the bound.
    assert!(remembered <= NODES + 20, "{remembered} nodes are remembered");
}

#[tokio::test]
async fn five_hundred_streams_share_a_connection() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let connection = server.connect().await;
    let mut clients = Vec::new();
    for number in 0..500 {
        let form = Form::ALL[number % 4];
        let mut client = Client::open_on(connection.clone(), form, &Cluster, &format!("n{number}")).await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        clients.push(client);
    }
    assert_eq!(server.open_streams(), 500);
    server.publish(&clusters(&[("a", 2)])).await;
    for client in &mut clients {
        client.accept(&Cluster, &["a"]).await;
    }
    drop(clients);
    server.await_no_streams().await;
}

#[tokio::test]
async fn clients_that_connect_all_at_once_are_let_in() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    // The server shares this thread, so it accepts no connection before all of them are open.
    let connect = |_| std::net::TcpStream::connect_timeout(&server.xds(), Duration::from_millis(500));
    let waiting: Vec<_> = (0..300).map(connect).collect::<Result<_, _>>().unwrap();
    let mut client = Client::open(&server, Form::SotwAds, &Cluster, "n").await;
    client.subscribe(&Cluster, &[]);
    client.accept(&Cluster, &["a"]).await;
    drop(waiting);
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_at_once() {
    let server = Server::with(Layer {
        xds: XdsLayer {
            max_streams: Some(2),
            ..XdsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let one = Client::open(&server, form, &Cluster, "n").await;
        let two = Client::open(&server, form, &Cluster, "n").await;
        let refused = crate::client::call(server.connect().await, &form.path(&Cluster), tokio_stream::pending()).await;
        let status = refused.expect_err("too many");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        drop((one, two));
        server.await_no_streams().await;
    }
}

#[tokio::test]
async fn first_request_may_name_two_hundred_thousand() {
    let server = Server::serving(&all(&Endpoint, &[("name-000007", 1), ("name-199999", 1)])).await;
    let names: Vec<String> = (0..200_000).map(|number| format!("name-{number:06}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        let ask = Ask::of(&Endpoint).names(&names);
        if form.is_sotw() {
            client.ask(ask);
        } else {
            let held: Vec<(&str, &str)> = names.iter().map(|name| (*name, "old")).collect();
            client.ask(ask.held(&held));
        }
        let answer = client.expect(&Endpoint, &["name-000007", "name-199999"]).await;
        // Missing names are reported in responses small enough for every client.
        let mut removed = answer.removed.len();
        while !form.is_sotw() && removed < 199_998 {
            let part = client.next().await;
            assert_eq!(part.names(), Vec::<&str>::new());
            removed += part.removed.len();
            client.ack(&part);
        }
        assert_eq!(removed, if form.is_sotw() { 0 } else { 199_998 });
        assert_eq!(server.status("n", &Endpoint).await.names, 200_000);
        drop(client);
        server.await_no_streams().await;
    }
}

#[tokio::test]
async fn publishes_wait_for_nobody_and_only_the_last_is_sent() {
    const PUBLISHES: u16 = 1000;
    let server = Server::serving(&clusters(&[("a", 0)])).await;
    let mut behind = Vec::new();
    for form in Form::ALL {
        // One client never answers a response, and another does not even read.
        let mut waiting = Client::open(&server, form, &Cluster, "waiting").await;
        waiting.subscribe(&Cluster, &[]);
        let held = waiting.expect(&Cluster, &["a"]).await;
        let mut deaf = Client::open(&server, form, &Cluster, "deaf").await;
        deaf.subscribe(&Cluster, &[]);
        behind.push((form, waiting, held, deaf));
    }
    let mut prompt = Client::open(&server, Form::DeltaAds, &Cluster, "prompt").await;
    prompt.subscribe(&Cluster, &[]);
    prompt.accept(&Cluster, &["a"]).await;
    for content in 1..=PUBLISHES {
        server.publish(&clusters(&[("a", content)])).await;
        prompt.accept(&Cluster, &["a"]).await;
    }
    let mut fresh = Client::open(&server, Form::DeltaAds, &Cluster, "fresh").await;
    fresh.subscribe(&Cluster, &[]);
    let newest = fresh.accept(&Cluster, &["a"]).await.resources;
    for (form, mut waiting, held, mut deaf) in behind {
        waiting.silent().await;
        waiting.ack(&held);
        let next = waiting.accept(&Cluster, &["a"]).await;
        assert_eq!(next.resources, newest, "{form:?}: everything in between is passed over");
        waiting.silent().await;
        assert_ne!(held.resources, newest);
        deaf.accept(&Cluster, &["a"]).await;
        let next = deaf.accept(&Cluster, &["a"]).await;
        assert_eq!(next.resources, newest, "{form:?}");
        deaf.silent().await;
    }
}
