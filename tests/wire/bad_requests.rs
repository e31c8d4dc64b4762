//! Requests that no correct client sends: each is refused with its reason, and the server goes on.

use bytes::{BufMut as _, Bytes};
use chancery::{
    resource::ResourceType::Cluster,
    settings::{ByteSize, Layer, XdsLayer},
};
use tonic::{Code, Status, body::Body, codegen::Service as _};

use crate::{
    client::{Ask, Client, Form, call, node},
    config::clusters,
    server::Server,
};

/// The final status of a stream whose first message is this.
async fn end_of(server: &Server, form: Form, message: Bytes) -> Status {
    let client = Client::open(server, form, &Cluster, "n").await;
    client.send_raw(message);
    let end = client.end().await.expect_err("the stream ends with an error");
    server.await_no_streams().await;
    end
}

/// Asserts that a new client is served.
async fn expect_alive(server: &Server) {
    for form in Form::ALL {
        let mut client = Client::open(server, form, &Cluster, "fine").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
    }
}

async fn server() -> Server {
    Server::serving(&clusters(&[("a", 1)])).await
}

#[tokio::test]
async fn message_that_does_not_decode_ends_the_stream() {
    let server = server().await;
    let mut bad_utf8 = Vec::new();
    bad_utf8.put_slice(&[4 << 3 | 2, 2, 0xff, 0xfe]);
    let mut bad_name = Ask::of(&Cluster).node(node("n")).encode(Form::SotwAds).to_vec();
    bad_name.put_slice(&[3 << 3 | 2, 1, 0x80]);
    let garbage = vec![0xff; 64];
    for message in [bad_utf8, bad_name, garbage] {
        for form in Form::ALL {
            let end = end_of(&server, form, message.clone().into()).await;
            assert!(
                matches!(end.code(), Code::InvalidArgument | Code::Internal),
                "{form:?}: {end:?}"
            );
        }
    }
    expect_alive(&server).await;
}

#[tokio::test]
async fn message_that_does_not_decode_ends_a_stream_that_was_served() {
    let server = server().await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        client.send_raw(Bytes::from_static(&[0xff; 8]));
        let end = client.end().await.unwrap_err();
        assert!(
            matches!(end.code(), Code::InvalidArgument | Code::Internal),
            "{form:?}: {end:?}"
        );
    }
    server.await_no_streams().await;
    expect_alive(&server).await;
}

#[tokio::test]
async fn oversized_request_is_refused_before_it_is_read() {
    let server = Server::with(Layer {
        xds: XdsLayer {
            max_request_bytes: Some(ByteSize(1 << 20)),
            ..XdsLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let name = "x".repeat(1000);
    for form in Form::ALL {
        let names = vec![name.as_str(); 1100];
        let message = Ask::of(&Cluster).node(node("n")).names(&names).encode(form);
        assert!(message.len() > 1 << 20);
        let end = end_of(&server, form, message).await;
        assert!(
            matches!(end.code(), Code::OutOfRange | Code::ResourceExhausted),
            "{form:?}: {end:?}"
        );
    }
    expect_alive(&server).await;
}

#[tokio::test]
async fn node_id_of_unreasonable_length_is_refused() {
    let server = server().await;
    for form in Form::ALL {
        let fits = "n".repeat(1024);
        let mut client = Client::open(&server, form, &Cluster, &fits).await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        drop(client);
        let message = Ask::of(&Cluster).node(node(&"n".repeat(1025))).encode(form);
        let end = end_of(&server, form, message).await;
        assert_eq!(end.code(), Code::InvalidArgument, "{form:?}: {end:?}");
        assert!(end.message().contains("1025 bytes"), "{end:?}");
    }
}

#[tokio::test]
async fn resource_name_of_unreasonable_length_is_refused() {
    let server = server().await;
    let long = "x".repeat(4097);
    for form in Form::ALL {
        let message = Ask::of(&Cluster).node(node("n")).names(&[&long]).encode(form);
        let end = end_of(&server, form, message).await;
        assert_eq!(end.code(), Code::InvalidArgument, "{form:?}: {end:?}");
    }
}

#[tokio::test]
async fn too_many_types_on_a_stream_are_refused() {
    let server = server().await;
    for form in [Form::SotwAds, Form::DeltaAds] {
        let client = Client::open(&server, form, &Cluster, "n").await;
        for number in 0..100 {
            let type_url = format!("type.googleapis.com/foo.Bar{number}");
            let ask = Ask {
                type_url,
                ..Ask::default().node(node("n"))
            };
            // Beyond the limit the stream ends.
            client.try_send(ask);
        }
        let end = client.end().await.unwrap_err();
        assert_eq!(end.code(), Code::ResourceExhausted, "{form:?}: {end:?}");
    }
}

#[tokio::test]
async fn unknown_methods_are_unimplemented() {
    let server = server().await;
    for path in [
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/Nothing",
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/FetchAggregatedResources",
        "/envoy.service.route.v3.VirtualHostDiscoveryService/StreamVirtualHosts",
        "/envoy.service.cluster.v3.ClusterDiscoveryService/streamclusters",
        "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck",
        "/envoy.api.v2.ClusterDiscoveryService/StreamClusters",
        "/grpc.health.v1.Health/Check",
        "/",
        "/a/b/c",
    ] {
        let message = Ask::of(&Cluster).node(node("n")).encode(Form::SotwAds);
        let refused = call(server.connect().await, path, tokio_stream::once(message)).await;
        let status = refused.expect_err("no such method");
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
    assert_eq!(server.open_streams(), 0);
    expect_alive(&server).await;
}

#[tokio::test]
async fn compressed_requests_are_refused_by_name() {
    let server = server().await;
    for form in Form::ALL {
        for encoding in ["gzip", "zstd", "unheard-of"] {
            let message = Ask::of(&Cluster).node(node("n")).encode(form);
            let mut framed = vec![1];
            framed.put_u32(u32::try_from(message.len()).unwrap());
            framed.put_slice(&message);
            let request = http::Request::post(form.path(&Cluster))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("grpc-encoding", encoding)
                .body(Body::new(http_body_util::Full::new(Bytes::from(framed))))
                .unwrap();
            let mut channel = server.connect().await;
            std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
            let response = channel.call(request).await.unwrap();
            let status = Status::from_header_map(response.headers()).expect("a status at once");
            assert_eq!(status.code(), Code::Unimplemented, "{form:?} {encoding}: {status:?}");
            let accepted = response.headers().get("grpc-accept-encoding");
            assert_eq!(accepted.unwrap(), "identity");
        }
    }
    assert_eq!(server.open_streams(), 0);
}
