//! A refusal from the NACK to the fix, as the command line shows it.

use std::net::SocketAddr;

use chancery::proto::{
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
    envoy::config::core::v3::Node,
    google::rpc,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};

use crate::harness::{CLUSTER, Server, clusters};

/// A delta client in group `demo` that subscribes to all clusters, and refuses those called `bad`.
struct DeltaEnvoy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl DeltaEnvoy {
    async fn connect(xds: SocketAddr, id: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{xds}")).unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(endpoint.connect().await.unwrap());
        let (requests, stream) = mpsc::channel(16);
        let first = DeltaDiscoveryRequest {
            type_url: CLUSTER.to_owned(),
            node: Some(Node {
                id: id.to_owned(),
                cluster: "demo".to_owned(),
                ..Node::default()
            }),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).await.unwrap();
        let responses = client.delta_aggregated_resources(ReceiverStream::new(stream)).await;
        let responses = responses.unwrap().into_inner();
        Self { requests, responses }
    }

    /// Answers all responses until the stream ends.
    async fn answer_all(mut self) {
        while let Ok(Some(response)) = self.responses.message().await {
            let is_bad = response.resources.iter().any(|resource| resource.name == "bad");
            let request = DeltaDiscoveryRequest {
                type_url: CLUSTER.to_owned(),
                response_nonce: response.nonce,
                error_detail: is_bad.then(|| rpc::Status {
                    code: 13,
                    message: "not to my taste".to_owned(),
                    details: Vec::new(),
                }),
                ..DeltaDiscoveryRequest::default()
            };
            self.requests.send(request).await.ok();
        }
    }
}

/// Publishes these clusters, waits for the node, and returns the output.
#[track_caller]
fn publish(server: &Server, names: &[&str], code: i32) -> String {
    let file = server.file("a.yaml", clusters(names));
    let args = ["replace", "-g", "demo", "-f", &file, "--allow-removals", "--wait"];
    server.expect(code, &args).stderr
}

#[test]
fn refusal_is_told_until_it_is_mended_whatever_else_is_acked() {
    let server = Server::start();
    let envoy = DeltaEnvoy::connect(server.addresses.xds, "one");
    let envoy = server.runtime.block_on(envoy);
    server.runtime.spawn(envoy.answer_all());
    publish(&server, &["a"], 0);
    let told = publish(&server, &["a", "bad"], 1);
    assert!(told.contains("not to my taste"), "{told}");

    // Another cluster arrives and is accepted; the first one stays refused.
    let told = publish(&server, &["a", "bad", "c"], 1);
    assert!(told.contains("not to my taste"), "{told}");
    assert!(told.contains("node one still refuses cluster \"bad\""), "{told}");
    server.expect(1, &["wait", "-g", "demo"]);
    let table = server.expect(0, &["status", "one"]).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains("cluster") && lines[1].contains("ERROR"), "{table}");
    assert_eq!(lines[2].trim(), "refused: cluster \"bad\"", "{table}");
    assert!(lines[3].contains("not to my taste"), "{table}");
    let of_third = ["history", "-g", "demo", "--revision", "3"];
    let history = server.expect(0, &of_third).stdout;
    assert!(
        history.contains("NACKED") && history.contains("not to my taste"),
        "{history}"
    );

    // The refused cluster is removed, and the last NACK stays in the status.
    publish(&server, &["a", "c", "d"], 0);
    let table = server.expect(0, &["status", "one"]).stdout;
    assert!(table.contains("SYNCED") && !table.contains("refused"), "{table}");
    let history = server.expect(0, &of_third).stdout;
    assert!(history.contains("NACKED"), "{history}");
}
