//! Requests that anybody who reaches the port may send: each here would take many times its size, or stay for ever. Each is
//! refused with the name of the exceeded limit, and counted.

use std::{convert::Infallible, time::Duration};

use bytes::{BufMut as _, Bytes};
use chancery::{
    proto::envoy::{
        config::{core::v3::Node, endpoint::v3::ClusterStats},
        service::load_stats::v3::LoadStatsRequest,
    },
    resource::ResourceType::Cluster,
    settings::{ByteSize, Layer, LimitsLayer, Share, Span, XdsLayer},
};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status, body::Body, codegen::Service as _};

use crate::{
    client::{Ask, Client, Form, call, node},
    config::clusters,
    server::{PATIENCE, Server},
};

const LRS: &str = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";

/// A field with this many empty messages.
fn empties(field: u8, count: usize) -> Vec<u8> {
    [field << 3 | 2, 0].repeat(count)
}

/// A field of bytes.
fn of_bytes(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![field << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut message);
    message.extend_from_slice(bytes);
    message
}

/// The final status of a call with this message.
async fn end_of(server: &Server, path: &str, message: Vec<u8>) -> Status {
    let messages = tokio_stream::once(Bytes::from(message));
    // The client keeps its request side open, as it would until it is told to stop.
    let messages = messages.chain(tokio_stream::pending());
    let mut stream = match call(server.connect().await, path, messages).await {
        Ok(stream) => stream,
        Err(status) => return status,
    };
    let end = tokio::time::timeout(PATIENCE, stream.message()).await;
    end.expect("an end in time").expect_err("an end with an error")
}

fn limits(limits: LimitsLayer) -> Layer {
    Layer {
        limits,
        ..Layer::default()
    }
}

fn refused(reason: &str) -> String {
    format!("xds_requests_refused_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn nodes_that_would_grow_as_they_are_decoded_are_refused() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let id = node("n").encode_to_vec();
    let features = empties(10, 100_000);
    let metadata = of_bytes(3, &empties(1, 100_000));
    let extensions = empties(9, 1_000_000);
    let mut count = 0.0;
    for (what, text) in [
        (features, "the used part of node is "),
        (metadata, "the used part of node is "),
        (extensions, "node is 20000"),
    ] {
        let said = [id.clone(), what].concat();
        let fetch = "/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters";
        let paths = Form::ALL.map(|form| (form.path(&Cluster), if form.is_sotw() { 2 } else { 1 }));
        for (path, field) in paths.into_iter().chain([(fetch.to_owned(), 2), (LRS.to_owned(), 1)]) {
            let end = end_of(&server, &path, of_bytes(field, &said)).await;
            assert_eq!(end.code(), Code::ResourceExhausted, "{path}: {end:?}");
            assert!(end.message().starts_with(text), "{path}: {end:?}");
            count += 1.0;
        }
    }
    server.await_metric(&refused("limit"), count).await;
    server.await_no_streams().await;
}

#[tokio::test]
async fn extensions_of_a_node_cost_nothing() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let mut client = Client::open(&server, Form::SotwAds, &Cluster, "n")
        .await
        .says(|node| node.extensions = vec![Default::default(); 100_000]);
    client.subscribe(&Cluster, &[]);
    client.accept(&Cluster, &["a"]).await;
}

#[tokio::test]
async fn lists_that_would_grow_as_they_are_decoded_are_refused() {
    let server = Server::with(limits(LimitsLayer {
        max_names: Some(1000),
        ..LimitsLayer::default()
    }))
    .await;
    let said = node("n").encode_to_vec();
    for (form, node, field, text) in [
        (Form::SotwAds, 2, 3, "resource names: more than 1000"),
        (Form::DeltaAds, 1, 3, "resource names: more than 1000"),
        (Form::DeltaAds, 1, 4, "resource names to unsubscribe: more than 1000"),
        (Form::DeltaAds, 1, 5, "initial_resource_versions: more than 1000"),
    ] {
        let message = [of_bytes(node, &said), empties(field, 2_000_000)].concat();
        let end = end_of(&server, &form.path(&Cluster), message).await;
        assert_eq!(end.code(), Code::ResourceExhausted, "{end:?}");
        assert!(end.message().starts_with(text), "{end:?}");
    }
    let globs: Vec<String> = (0..1001).map(|number| format!("dir-{number}/*")).collect();
    let mut client = Client::open(&server, Form::DeltaAds, &Cluster, "n").await;
    client.subscribe(&Cluster, &globs[..1000].iter().map(String::as_str).collect::<Vec<_>>());
    client.send(Ask::of(&Cluster).names(&[&globs[1000]]));
    let end = client.end().await.unwrap_err();
    assert_eq!(end.code(), Code::ResourceExhausted, "{end:?}");
}

#[tokio::test]
async fn load_reports_that_would_grow_as_they_are_decoded_are_refused() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let report = |stats: Vec<ClusterStats>| LoadStatsRequest {
        node: Some(node("n")),
        cluster_stats: stats,
    };
    let many = report(vec![ClusterStats::default(); 20_001]).encode_to_vec();
    let end = end_of(&server, LRS, many).await;
    assert_eq!(end.code(), Code::ResourceExhausted, "{end:?}");
    assert!(end.message().starts_with("cluster_stats: more than 20000"), "{end:?}");
    let large = report(Vec::new()).encode_to_vec();
    let end = end_of(&server, LRS, [large, vec![0; 5 << 20]].concat()).await;
    assert_eq!(end.code(), Code::OutOfRange, "{end:?}");
    server.await_metric(&refused("limit"), 2.0).await;
}

#[tokio::test]
async fn texts_that_would_be_kept_are_short() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let long = "x".repeat(2000);
    let texts: [fn(&mut Node, String); 2] = [
        |node, text| node.cluster = text,
        |node, text| node.user_agent_name = text,
    ];
    for form in Form::ALL {
        for text in texts {
            let mut said = node("n");
            text(&mut said, long.clone());
            let message = Ask::of(&Cluster).node(said).encode(form).to_vec();
            let end = end_of(&server, &form.path(&Cluster), message).await;
            assert_eq!(end.code(), Code::InvalidArgument, "{end:?}");
            assert!(end.message().contains("2000 bytes long, more than 1024"), "{end:?}");
        }
        let ask = || Ask::of(&Cluster).node(node("n"));
        let long = "x".repeat(5 << 20);
        for ask in [ask().version(&long), ask().nonce(&long)] {
            if !form.is_sotw() && !ask.version.is_empty() {
                continue;
            }
            let end = end_of(&server, &form.path(&Cluster), ask.encode(form).to_vec()).await;
            assert_eq!(end.code(), Code::ResourceExhausted, "{end:?}");
        }
    }
}

#[tokio::test]
async fn messages_of_strangers_come_back_short_and_escaped() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let forged = format!("x\n\u{1b}[31m INFO all is well \u{9b}\u{202e}{}", "y".repeat(3000));
    for form in [Form::SotwAds, Form::DeltaAds] {
        let ask = Ask {
            type_url: forged.clone(),
            ..Ask::default().node(node("n"))
        };
        let end = end_of(&server, &form.path(&Cluster), ask.encode(form).to_vec()).await;
        assert_eq!(end.code(), Code::InvalidArgument, "{end:?}");
        assert!(end.message().contains(r"x\n\u{1b}[31m INFO"), "{end:?}");
        assert!(!end.message().contains(chancery::text::is_unsafe), "{end:?}");
        assert!(end.message().len() < 400, "{} bytes", end.message().len());

        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.send(Ask::of(&Cluster).node(node(&forged)));
        let end = client.end().await.unwrap_err();
        assert!(end.message().len() < 600, "{} bytes", end.message().len());
        assert!(!end.message().contains(chancery::text::is_unsafe), "{end:?}");
    }
}

/// The response body of a stream that sends only the beginning of a message.
async fn unfinished(server: &Server, form: Form, part: usize, whole: usize) -> Body {
    let mut begin = vec![0];
    begin.put_u32(u32::try_from(whole).unwrap());
    begin.resize(5 + part, 0);
    let frames = tokio_stream::once(Ok::<_, Infallible>(Frame::data(Bytes::from(begin))));
    let request = http::Request::post(form.path(&Cluster))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(StreamBody::new(frames.chain(tokio_stream::pending()))))
        .unwrap();
    let mut channel = server.connect().await;
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    channel.call(request).await.unwrap().into_body()
}

/// The status at the end of a body, or `None` if it does not end.
async fn status_of(mut body: Body) -> Option<Status> {
    let end = async {
        loop {
            let frame = body.frame().await.expect("trailers").unwrap();
            if let Some(trailers) = frame.trailers_ref() {
                return Status::from_header_map(trailers).unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.ok()
}

#[tokio::test]
async fn request_that_stays_unfinished_ends_its_stream() {
    let server = Server::with(limits(LimitsLayer {
        request_timeout: Some(Span(Duration::from_millis(50))),
        ..LimitsLayer::default()
    }))
    .await;
    for form in Form::ALL {
        for part in [0, 100_000] {
            let end = status_of(unfinished(&server, form, part, 200_000).await).await.unwrap();
            assert_eq!(end.code(), Code::DeadlineExceeded, "{end:?}");
            assert_eq!(end.message(), "a request was unfinished for 50ms");
        }
    }
    let seen = server.metrics().await;
    assert_eq!(seen[&refused("slow")], 8.0);
    server.await_no_streams().await;
}

#[tokio::test]
async fn unfinished_requests_have_a_limit_over_all_streams_of_an_address() {
    let server = Server::with(Layer {
        xds: XdsLayer {
            max_request_bytes: Some(ByteSize(256 << 10)),
            ..XdsLayer::default()
        },
        ..limits(LimitsLayer {
            max_unfinished_bytes: Some(ByteSize(1 << 20)),
            ..LimitsLayer::default()
        })
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let mut bodies = Vec::new();
    for _ in 0..8 {
        bodies.push(unfinished(&server, Form::SotwAds, 180 << 10, 200 << 10).await);
    }
    // One address may use half a MiB: two requests of 192 KiB fit.
    server.await_metric(&refused("unfinished"), 6.0).await;
    let mut ends = tokio::task::JoinSet::new();
    bodies.into_iter().for_each(|body| drop(ends.spawn(status_of(body))));
    for _ in 0..6 {
        let end = ends.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(end.code(), Code::ResourceExhausted, "{end:?}");
        assert!(end.message().contains("from one address"), "{end:?}");
    }
    // A request that fits into one frame does not count.
    let mut client = Client::open(&server, Form::SotwAds, &Cluster, "fine").await;
    client.subscribe(&Cluster, &[]);
    client.accept(&Cluster, &["a"]).await;
}

#[tokio::test]
async fn one_address_begins_its_share_of_streams_and_no_more() {
    let server = Server::with(Layer {
        xds: XdsLayer {
            new_streams_per_second: Some(4),
            ..XdsLayer::default()
        },
        ..limits(LimitsLayer {
            max_peer_share: Some(Share(0.25)),
            ..LimitsLayer::default()
        })
    })
    .await;
    let channel = server.connect().await;
    let mut open = Vec::new();
    let status = loop {
        let message = Ask::of(&Cluster).node(node("n")).encode(Form::SotwAds);
        let path = Form::SotwAds.path(&Cluster);
        match call(channel.clone(), &path, tokio_stream::once(message)).await {
            Ok(stream) => open.push(stream),
            Err(status) => break status,
        }
        assert!(open.len() < 30, "more than its share");
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("from one address"), "{status:?}");
    server
        .await_metric(r#"xds_streams_refused_total{reason="peer_rate"}"#, 1.0)
        .await;
}

#[tokio::test]
async fn streams_of_one_node_are_counted() {
    let server = Server::with(limits(LimitsLayer {
        max_streams_per_node: Some(2),
        ..LimitsLayer::default()
    }))
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::open(&server, Form::DeltaAds, &Cluster, "n").await;
        client.subscribe(&Cluster, &[]);
        client.accept(&Cluster, &["a"]).await;
        held.push(client);
    }
    let mut third = Client::open(&server, Form::DeltaAds, &Cluster, "n").await;
    third.subscribe(&Cluster, &[]);
    let end = third.end().await.unwrap_err();
    assert_eq!(
        (end.code(), end.message()),
        (Code::ResourceExhausted, "more than 2 streams of one node are open")
    );
    let mut other = Client::open(&server, Form::DeltaAds, &Cluster, "other").await;
    other.subscribe(&Cluster, &[]);
    other.accept(&Cluster, &["a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_many_names_are_served_apart_from_the_others() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let names: Vec<String> = (0..40_000).map(|number| format!("cluster-{number:06}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["a"]).collect();
    for form in Form::ALL {
        let mut many = Vec::new();
        for number in 0..4 {
            let mut client = Client::open(&server, form, &Cluster, &format!("n{number}")).await;
            client.subscribe(&Cluster, &names);
            many.push(client);
        }
        for client in &mut many {
            client.accept(&Cluster, &["a"]).await;
        }
    }
}
