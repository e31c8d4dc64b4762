//! Rates and sizes: the excess is delayed, divided or refused with a time to retry, and reported.

use std::time::{Duration, Instant};

use chancery::{
    resource::ResourceType::{Cluster, Endpoint},
    settings::{ByteSize, FleetLayer, Layer, LimitsLayer, ProtocolLayer, Share, Span, XdsLayer},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    client::{Ask, Client, Form, call, node},
    config::{Config, all, clusters},
    server::Server,
};

fn rates(new_streams: u32, requests: u32) -> Layer {
    Layer {
        xds: XdsLayer {
            new_streams_per_second: Some(new_streams),
            requests_per_second: Some(requests),
            ..XdsLayer::default()
        },
        limits: LimitsLayer {
            max_peer_share: Some(Share(1.0)),
            ..LimitsLayer::default()
        },
        ..Layer::default()
    }
}

/// Opens streams until one is refused.
async fn refusal(server: &Server) -> (usize, Status) {
    let channel = server.connect().await;
    let mut open = Vec::new();
    loop {
        let message = Ask::of(&Cluster).node(node("n")).encode(Form::SotwAds);
        let path = Form::SotwAds.path(&Cluster);
        match call(channel.clone(), &path, tokio_stream::once(message)).await {
            Ok(stream) => open.push(stream),
            Err(status) => return (open.len(), status),
        }
        assert!(open.len() < 10_000, "streams are never refused");
    }
}

#[tokio::test]
async fn streams_that_begin_all_at_once_are_refused_with_the_time_to_come_again() {
    let server = Server::with(rates(2, 0)).await;
    let (let_in, status) = refusal(&server).await;
    assert!(let_in >= 20, "a burst is let in, not only {let_in}");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    assert!(retry.is_some_and(|delay| delay >= Duration::from_secs(1)), "{retry:?}");
}

#[tokio::test]
async fn refusal_of_too_many_streams_says_when_to_come_again() {
    let server = Server::with(Layer {
        xds: XdsLayer {
            max_streams: Some(3),
            ..XdsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    // Streams that wait for a snapshot stay open as long as their client.
    let held: Vec<Client> = {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(Client::open(&server, Form::SotwAds, &Cluster, "n").await);
        }
        held
    };
    let (_, status) = refusal(&server).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    drop(held);
}

#[tokio::test]
async fn requests_beyond_the_rate_wait_and_none_is_refused() {
    for form in [Form::SotwAds, Form::DeltaAds] {
        let server = Server::with(rates(0, 50)).await;
        server.publish(&all(&Endpoint, &[("a", 1), ("b", 1)])).await;
        let mut client = Client::open(&server, form, &Endpoint, "n").await;
        let begun = Instant::now();
        client.subscribe(&Endpoint, &["a"]);
        client.accept(&Endpoint, &["a"]).await;
        for _ in 0..548 {
            client.send(
                Ask::of(&Endpoint)
                    .nonce("stale")
                    .names(if form.is_sotw() { &["a"] } else { &[] }),
            );
        }
        client.subscribe(&Endpoint, &["a", "b"]);
        let last = client.next().await;
        assert!(last.names().contains(&"b"), "{last:?}");
        // 551 requests: 500 at once and the others at 50 per second, so at least one second on any machine.
        assert!(begun.elapsed() >= Duration::from_secs(1), "after {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn response_that_is_not_answered_is_in_the_status() {
    for form in Form::ALL {
        let server = Server::with(Layer {
            fleet: FleetLayer {
                unanswered_after: Some(Span(Duration::ZERO)),
                ..FleetLayer::default()
            },
            ..Layer::default()
        })
        .await;
        server.publish(&clusters(&[("a", 1)])).await;
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let first = client.expect(&Cluster, &["a"]).await;
        let named = |nonce: &str| {
            let nonce = nonce.to_owned();
            move |row: &chancery::proto::admin::TypeStatus| {
                row.unanswered
                    .as_ref()
                    .is_some_and(|late| late.nonce == nonce && late.age.is_some())
            }
        };
        server.await_status("n", &Cluster, named(&first.nonce)).await;
        client.nack(&first, "no such thing");
        server
            .await_status("n", &Cluster, |row| row.unanswered.is_none() && row.nack.is_some())
            .await;
        // A client that warms a refused cluster does not answer the next response: the status shows both.
        server.publish(&clusters(&[("a", 1), ("b", 1)])).await;
        let second = client.next().await;
        server.await_status("n", &Cluster, named(&second.nonce)).await;
        let row = server.status("n", &Cluster).await;
        assert_eq!(row.nack.unwrap().message, "no such thing");
        client.ack(&second);
        server.await_status("n", &Cluster, |row| row.unanswered.is_none()).await;
    }
}

#[tokio::test]
async fn large_delta_response_is_divided_and_a_large_sotw_response_is_shown() {
    let server = Server::with(Layer {
        protocol: ProtocolLayer {
            max_response_bytes: Some(ByteSize(4096)),
            ..ProtocolLayer::default()
        },
        ..Layer::default()
    })
    .await;
    let note = "x".repeat(1000);
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let config = names.iter().fold(Config::new(), |config, name| {
        config.plain(&Cluster, &format!("name: {name}, alt_stat_name: {note}"))
    });
    server.publish(&config).await;
    let mut delta = Client::open(&server, Form::DeltaAds, &Cluster, "delta")
        .await
        .says(|node| "gRPC Go".clone_into(&mut node.user_agent_name));
    delta.subscribe(&Cluster, &[]);
    let parts = delta.due().await;
    assert!(parts.len() > 1, "more than one response");
    assert!(parts.iter().all(|part| part.names().len() <= 3), "{parts:?}");
    let all: Vec<&str> = parts.iter().flat_map(|part| part.names()).collect();
    assert_eq!(all, names);
    parts.iter().for_each(|part| delta.ack(part));
    delta.silent().await;
    assert_eq!(server.status("delta", &Cluster).await.large_response_bytes, 0);

    let mut sotw = Client::open(&server, Form::SotwAds, &Cluster, "sotw").await;
    sotw.subscribe(&Cluster, &[]);
    sotw.accept(&Cluster, &names).await;
    server
        .await_status("sotw", &Cluster, |row| row.large_response_bytes > 7000)
        .await;
    server.publish(&clusters(&[("a", 1)])).await;
    // First a response with the changes, then one without the removed resources.
    sotw.accept(&Cluster, &names).await;
    sotw.accept(&Cluster, &["a"]).await;
    server
        .await_status("sotw", &Cluster, |row| row.large_response_bytes == 0)
        .await;
}
