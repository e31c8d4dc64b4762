//! Health, reflection, readiness, and the errors that gRPC clients receive.

use std::future::poll_fn;

use bytes::Bytes;
use chancery::proto::admin::{
    Document, PublishOptions, Rejection, ReplaceSnapshotRequest, WatchNodesRequest, WatchSnapshotsRequest,
    node_service_client::NodeServiceClient, snapshot_service_client::SnapshotServiceClient, watch_nodes_response,
    watch_snapshots_response::Event,
};
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_service::Service as _;

use crate::harness::{PATIENCE, Server, clusters};

const SERVICES: [&str; 3] = [
    "chancery.admin.v1.SnapshotService",
    "chancery.admin.v1.NodeService",
    "envoy.service.status.v3.ClientStatusDiscoveryService",
];

fn replace(group: &str, content: String) -> ReplaceSnapshotRequest {
    ReplaceSnapshotRequest {
        group: group.to_owned(),
        documents: vec![Document {
            name: "a.yaml".to_owned(),
            content: content.into_bytes(),
            ..Document::default()
        }],
        ..ReplaceSnapshotRequest::default()
    }
}

#[test]
fn every_service_is_healthy() {
    let server = Server::start();
    let mut health = HealthClient::new(server.channel());
    for service in SERVICES.into_iter().chain([""]) {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let response = server.runtime.block_on(health.check(request)).unwrap().into_inner();
        assert_eq!(response.status, 1, "{service}");
    }
    let request = HealthCheckRequest {
        service: "no.Such".to_owned(),
    };
    assert_eq!(
        server.runtime.block_on(health.check(request)).unwrap_err().code(),
        Code::NotFound
    );
}

macro_rules! reflects {
    ($test:ident, $version:ident) => {
        #[test]
        fn $test() {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };

            let server = Server::start();
            let mut client = ServerReflectionClient::new(server.channel());
            let mut ask = |request: MessageRequest| {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(request),
                };
                server.runtime.block_on(async {
                    let stream = client
                        .server_reflection_info(tokio_stream::iter([request]))
                        .await
                        .unwrap();
                    stream
                        .into_inner()
                        .message()
                        .await
                        .unwrap()
                        .unwrap()
                        .message_response
                        .unwrap()
                })
            };
            let MessageResponse::ListServicesResponse(listed) = ask(MessageRequest::ListServices(String::new())) else {
                panic!("not a list of services");
            };
            let names: Vec<&str> = listed
                .service
                .iter()
                .map(|service| service.name.as_str())
                .collect();
            for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
                assert!(names.contains(&service), "{names:?}");
            }
            let foreign = |name: &&str| name.starts_with("envoy.") && !SERVICES.contains(name);
            assert!(!names.iter().any(foreign), "{names:?}");
            for symbol in [
                SERVICES[0],
                SERVICES[2],
                "chancery.admin.v1.NodeStatus",
                "google.protobuf.Any",
            ] {
                let found = ask(MessageRequest::FileContainingSymbol(symbol.to_owned()));
                assert!(
                    matches!(found, MessageResponse::FileDescriptorResponse(_)),
                    "{symbol}: {found:?}"
                );
            }
        }
    };
}

reflects!(reflection_v1_describes_the_api, v1);
reflects!(reflection_v1alpha_describes_the_api, v1alpha);

#[test]
fn a_refused_publish_carries_its_findings() {
    let server = Server::start();
    let mut client = SnapshotServiceClient::new(server.channel());
    let bad = replace("demo", clusters(&["a", "a"]));
    let status = server.runtime.block_on(client.replace_snapshot(bad)).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = tonic_types::Status::decode(status.details()).unwrap().details;
    let rejection = Rejection::decode(details[0].value.as_slice()).unwrap();
    assert_eq!(
        (rejection.findings[0].document.as_str(), rejection.findings[0].line),
        ("a.yaml", 3)
    );
    assert!(
        status.message().contains(&rejection.findings[0].code),
        "{}",
        status.message()
    );

    let mut stale = replace("demo", clusters(&["a"]));
    stale.options = Some(PublishOptions {
        expected_revision: Some(3),
        ..PublishOptions::default()
    });
    let status = server.runtime.block_on(client.replace_snapshot(stale)).unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.metadata["expected"].as_str(), info.metadata["current"].as_str()),
        ("3", "0")
    );
}

#[test]
fn watches_begin_with_what_is_and_end_at_shutdown() {
    let server = Server::start();
    let mut snapshots = SnapshotServiceClient::new(server.channel());
    let mut nodes = NodeServiceClient::new(server.channel());
    let (published, changed) = server.runtime.block_on(async {
        snapshots
            .replace_snapshot(replace("demo", clusters(&["a"])))
            .await
            .unwrap();
        snapshots
            .replace_snapshot(replace("other", clusters(&["a"])))
            .await
            .unwrap();
        let request = WatchSnapshotsRequest {
            group: "demo".to_owned(),
        };
        let mut published = snapshots.watch_snapshots(request).await.unwrap().into_inner();
        let first = published.next().await.unwrap().unwrap();
        assert!(matches!(first.event, Some(Event::Published(summary)) if summary.revision == 1));
        snapshots
            .replace_snapshot(replace("other", clusters(&["b"])))
            .await
            .unwrap();
        snapshots
            .replace_snapshot(replace("demo", clusters(&["b"])))
            .await
            .unwrap();
        let second = published.next().await.unwrap().unwrap();
        assert!(matches!(second.event, Some(Event::Published(summary)) if summary.revision == 4));
        let mut changed = nodes
            .watch_nodes(WatchNodesRequest::default())
            .await
            .unwrap()
            .into_inner();
        let marker = changed.next().await.unwrap().unwrap();
        assert!(matches!(marker.event, Some(watch_nodes_response::Event::Synced(_))));
        (published, changed)
    });
    let ended = server.runtime.spawn(async move {
        let (mut published, mut changed) = (published, changed);
        (
            published.next().await.unwrap().unwrap_err().code(),
            changed.next().await.unwrap().unwrap_err().code(),
        )
    });
    let runtime = server.runtime.handle().clone();
    let stopped = std::thread::spawn(move || {
        let started = std::time::Instant::now();
        (server.shutdown(), started.elapsed())
    });
    let codes = runtime.block_on(async { tokio::time::timeout(PATIENCE, ended).await });
    let codes = codes.expect("watches end").unwrap();
    assert_eq!(codes, (Code::Unavailable, Code::Unavailable));
    let (complete, took) = stopped.join().unwrap();
    assert!(complete, "shutdown was forced after {took:?}");
}

#[test]
fn live_streams_do_not_hold_up_a_shutdown() {
    let server = Server::start();
    let mut client = SnapshotServiceClient::new(server.channel());
    let publish = client.replace_snapshot(replace("demo", clusters(&["a"])));
    server.runtime.block_on(publish).unwrap();
    let mut streams: Vec<_> = (0..20).map(|index| server.envoy(&format!("envoy-{index}"))).collect();
    server.runtime.block_on(async {
        for stream in &mut streams {
            let response = stream.next().await;
            stream.ack(&response).await;
        }
    });
    assert!(server.shutdown(), "shutdown was forced");
}

#[test]
fn requests_that_a_browser_page_could_send_are_refused() {
    let server = Server::start();
    let call = |headers: &[(&str, &str)]| {
        let mut channel = server.channel();
        let path = "http://localhost/chancery.admin.v1.SnapshotService/ListSnapshots";
        let request = headers
            .iter()
            .fold(http::Request::post(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        // An empty message.
        let request = request
            .body(tonic::body::Body::new(http_body_util::Full::new(Bytes::from_static(
                &[0; 5],
            ))))
            .unwrap();
        let response = server.runtime.block_on(async {
            poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
            channel.call(request).await.unwrap()
        });
        let status = response.headers().get("grpc-status");
        status.map(|status| status.to_str().unwrap().to_owned())
    };
    let grpc = ("content-type", "application/grpc");
    assert_eq!(call(&[grpc]), None, "the call is answered, and the status follows");
    for headers in [
        &[("content-type", "text/plain")][..],
        &[],
        &[grpc, ("origin", "https://page.example")],
    ] {
        assert_eq!(call(headers).as_deref(), Some("7"), "{headers:?}");
    }
}
