//! Long answers come in pages, and the command line follows them.

use chancery::proto::{
    admin::{
        Document, ListNodesRequest, ListSnapshotsRequest, ReplaceSnapshotRequest,
        node_service_client::NodeServiceClient, snapshot_service_client::SnapshotServiceClient,
    },
    envoy::service::status::v3::{
        ClientStatusRequest, client_status_discovery_service_client::ClientStatusDiscoveryServiceClient,
    },
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

use crate::harness::{FakeEnvoy, Server, clusters};

/// Nodes `n0` to `n4` in group `demo`, and one in another.
fn fleet(server: &Server) -> Vec<FakeEnvoy> {
    let file = server.file("a.yaml", clusters(&["a"]));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
    let mut envoys: Vec<FakeEnvoy> = (0..5).map(|number| server.envoy(&format!("n{number}"))).collect();
    for envoy in &mut envoys {
        server.runtime.block_on(envoy.next());
    }
    let mut other = server.envoy_of("other", "n3-other");
    let file = server.file("b.yaml", clusters(&["b"]));
    server.expect(0, &["replace", "-g", "other", "-f", &file]);
    server.runtime.block_on(other.next());
    envoys.push(other);
    envoys
}

#[test]
fn nodes_come_in_pages() {
    let server = Server::start();
    let _fleet = fleet(&server);
    let mut client = NodeServiceClient::new(server.channel());
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListNodesRequest {
            group: "demo".to_owned(),
            page_size: 2,
            page_token,
        };
        let page = server
            .runtime
            .block_on(client.list_nodes(request))
            .unwrap()
            .into_inner();
        pages.push(page.nodes.into_iter().map(|node| node.id).collect::<Vec<_>>());
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    assert_eq!(pages, [vec!["n0", "n1"], vec!["n2", "n3"], vec!["n4"]]);
    let foreign = ListNodesRequest {
        page_token: "?".to_owned(),
        ..ListNodesRequest::default()
    };
    let refused = server.runtime.block_on(client.list_nodes(foreign)).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
}

#[test]
fn client_status_comes_in_pages() {
    let server = Server::start();
    let _fleet = fleet(&server);
    let mut client = ClientStatusDiscoveryServiceClient::new(server.channel());
    let of = |config: Vec<chancery::proto::envoy::service::status::v3::ClientConfig>| {
        let ids = config.into_iter().map(|client| client.node.unwrap_or_default().id);
        ids.collect::<Vec<_>>()
    };
    let mut token = None;
    let mut pages = Vec::new();
    loop {
        let mut request = Request::new(ClientStatusRequest::default());
        request.metadata_mut().insert("page-size", "4".parse().unwrap());
        if let Some(token) = token {
            request.metadata_mut().insert("page-token", token);
        }
        let answer = server.runtime.block_on(client.fetch_client_status(request)).unwrap();
        token = answer.metadata().get("next-page-token").cloned();
        pages.push(of(answer.into_inner().config));
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["n0", "n1", "n2", "n3"], vec!["n3-other", "n4"]]);

    let streamed = server.runtime.block_on(async {
        let mut request = Request::new(tokio_stream::once(ClientStatusRequest::default()));
        request.metadata_mut().insert("page-size", "4".parse().unwrap());
        let answers = client.stream_client_status(request).await.unwrap().into_inner();
        answers
            .map(|answer| of(answer.unwrap().config))
            .collect::<Vec<_>>()
            .await
    });
    assert_eq!(streamed, pages);
}

#[test]
fn snapshots_come_in_pages_and_the_command_line_follows_them() {
    let server = Server::start();
    let groups: Vec<String> = (0..1005).map(|number| format!("g{number:04}")).collect();
    let mut client = SnapshotServiceClient::new(server.channel());
    server.runtime.block_on(async {
        for group in &groups {
            let request = ReplaceSnapshotRequest {
                group: group.clone(),
                documents: vec![Document {
                    name: "a.yaml".to_owned(),
                    content: clusters(&["a"]).into(),
                    ..Document::default()
                }],
                ..ReplaceSnapshotRequest::default()
            };
            client.replace_snapshot(request).await.unwrap();
        }
    });
    let mut list = |request| {
        server
            .runtime
            .block_on(client.list_snapshots(request))
            .unwrap()
            .into_inner()
    };
    let first = list(ListSnapshotsRequest::default());
    assert_eq!(
        first.snapshots.len(),
        1000,
        "a page has a bound where none is asked for"
    );
    let rest = list(ListSnapshotsRequest {
        page_token: first.next_page_token,
        ..ListSnapshotsRequest::default()
    });
    let listed: Vec<String> = first
        .snapshots
        .into_iter()
        .chain(rest.snapshots)
        .map(|snapshot| snapshot.group)
        .collect();
    assert_eq!(listed, groups);
    assert_eq!(rest.next_page_token, "");
    let output: serde_json::Value = serde_json::from_str(&server.expect(0, &["get", "-o", "json"]).stdout).unwrap();
    assert_eq!(output["snapshots"].as_array().map(Vec::len), Some(groups.len()));
}
