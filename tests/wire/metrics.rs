//! What is counted of streams, from outside.

use chancery::resource::ResourceType::Cluster;

use crate::{
    client::{Client, Form},
    config::clusters,
    server::Server,
};

#[tokio::test]
async fn what_becomes_of_responses_is_counted() {
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
        assert_eq!(seen[pushes], 0.0, "it was published before the stream was there");

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
        assert_eq!(seen["xds_nodes_refusing"], 0.0, "it is not there any more");
    }
}
