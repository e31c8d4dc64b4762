//! Metrics of streams, from outside.

use std::collections::BTreeSet;

use chancery::resource::ResourceType::{self, Cluster};

use crate::{
    client::{Ask, Client, Form, node},
    config::clusters,
    server::Server,
};

#[tokio::test]
async fn outcomes_of_responses_are_counted() {
    for (form, protocol) in [(Form::SotwAds, "sotw"), (Form::DeltaAds, "delta")] {
        let server = Server::serving(&clusters(&[("a", 1)])).await;
        let of_clusters = |name: &str| format!("{name}{{protocol=\"{protocol}\",type=\"cluster\"}}");
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        server.await_metric(&of_clusters("xds_acks_total"), 1.0).await;
        let seen = server.metrics().await;
        assert_eq!(seen[&of_clusters("xds_responses_total")], 1.0);
        assert!(seen[&of_clusters("xds_response_bytes_total")] > 50.0);
        assert_eq!(seen[&format!("xds_streams{{protocol=\"{protocol}\"}}")], 1.0);
        assert_eq!(seen[r#"xds_nodes{state="connected"}"#], 1.0);
        let pushes = r#"xds_push_seconds_count{type="cluster"}"#;
        assert_eq!(seen[pushes], 0.0, "the publish came before the stream");

        server.publish(&clusters(&[("a", 2)])).await;
        client.accept(&Cluster, &["a"]).await;
        server.await_metric(pushes, 1.0).await;

        server.publish(&clusters(&[("a", 3)])).await;
        let refused = client.next().await;
        client.nack(&refused, "no such luck");
        server.await_metric("xds_nodes_refusing", 1.0).await;
        let seen = server.metrics().await;
        assert_eq!(seen[&of_clusters("xds_nacks_total")], 1.0);
        assert_eq!(seen[pushes], 1.0);
        assert_eq!(seen[&format!("xds_requests_total{{protocol=\"{protocol}\"}}")], 4.0);

        client.half_close();
        client.end().await.unwrap();
        server.await_metric(r#"xds_nodes{state="gone"}"#, 1.0).await;
        server.await_metric(r#"xds_streams_ended_total{code="ok"}"#, 1.0).await;
        let seen = server.metrics().await;
        assert_eq!(seen[&format!("xds_streams{{protocol=\"{protocol}\"}}")], 0.0);
        assert_eq!(seen["xds_nodes_refusing"], 0.0, "the node has disconnected");
    }
}

#[tokio::test]
async fn stale_nonces_are_counted_by_type_and_protocol() {
    for form in Form::ALL {
        let server = Server::serving(&clusters(&[("a", 1)])).await;
        let protocol = if form.is_sotw() { "sotw" } else { "delta" };
        let stale = format!("xds_stale_nonces_total{{protocol=\"{protocol}\",type=\"cluster\"}}");
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        let first = client.expect(&Cluster, &["a"]).await;
        client.ack(&first);
        server.publish(&clusters(&[("a", 2)])).await;
        let second = client.expect(&Cluster, &["a"]).await;
        assert_eq!(server.metrics().await[&stale], 0.0, "{form:?}");
        // The nonce of the response before, and an unknown nonce.
        for nonce in [first.nonce.as_str(), "of-nobody"] {
            client.send(Ask::of(&Cluster).nonce(nonce));
        }
        server.await_metric(&stale, 2.0).await;
        client.ack(&second);
        client.silent().await;
        let seen = server.metrics().await;
        assert_eq!(seen[&stale], 2.0, "{form:?}");
        let all: f64 = seen
            .iter()
            .filter(|(series, _)| series.starts_with("xds_stale_nonces_total"))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(all, 2.0, "{form:?}: no other series counts them");
    }
}

#[tokio::test]
async fn random_nodes_types_and_names_make_no_series() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let series = async || -> BTreeSet<String> { server.metrics().await.into_keys().collect() };
    let before = series().await;
    let mut open = Vec::new();
    for number in 0..50 {
        for form in [Form::SotwAds, Form::DeltaAds] {
            let mut who = node(&format!("node-{number}-{form:?}-\"}}\n"));
            who.cluster = format!("group-{number}");
            who.user_agent_name = format!("agent-{number}");
            let kind = ResourceType::from_type_url(&format!("type.googleapis.com/random.Type{number}")).unwrap();
            let client = Client::open(&server, form, &Cluster, "n").await;
            let asked = Ask::of(&kind).node(who).names(&[&format!("name-{number}")]);
            client.send(asked);
            open.push(client);
        }
    }
    for protocol in ["sotw", "delta"] {
        let requests = format!("xds_requests_total{{protocol=\"{protocol}\"}}");
        server.await_metric(&requests, 50.0).await;
    }
    assert_eq!(series().await, before);
}
